//! What the tokens of a vocabulary stand for.

use std::collections::BTreeMap;

use crate::tokenizer::TextTokenizer;

/// A vocabulary's tokens as text, without the marks of word boundaries.
///
/// `WordPiece` marks the pieces that continue a word by `##`, byte-level pairs those that begin one by `Ġ`.
#[derive(Debug, Clone)]
pub struct Pieces {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
struct Piece {
    text: String,
    continues: bool,
    special: bool,
}

const CONTINUATION: &str = "##";
const WORD_BEGIN: char = 'Ġ';

impl Pieces {
    /// The pieces of a tokenizer's vocabulary.
    pub fn of(tokenizer: &TextTokenizer) -> Self {
        let vocabulary = tokenizer.vocabulary();
        let special = tokenizer.special_ids();
        let is_byte_level = vocabulary.iter().any(|token| token.starts_with(WORD_BEGIN));
        let bytes = byte_characters();
        let piece = |(id, token): (usize, String)| {
            let special = special.binary_search(&(id as u32)).is_ok();
            let (text, continues) = if special || token.is_empty() {
                (token, false)
            } else if is_byte_level {
                let begins = token.starts_with(WORD_BEGIN);
                let text = decode_bytes(&token, &bytes);
                (text.strip_prefix(' ').unwrap_or(&text).to_owned(), !begins)
            } else {
                match token.strip_prefix(CONTINUATION) {
                    // `##` alone is a token like any other.
                    Some(rest) if !rest.is_empty() => (rest.to_owned(), true),
                    _ => (token, false),
                }
            };
            Piece {
                text,
                continues,
                special,
            }
        };
        Self {
            pieces: vocabulary.into_iter().enumerate().map(piece).collect(),
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The token's text; empty for an id that no token has.
    pub fn text(&self, id: u32) -> &str {
        self.pieces
            .get(id as usize)
            .map_or("", |piece| piece.text.as_str())
    }

    /// Whether the vocabulary marks the token as the continuation of a word.
    pub fn continues(&self, id: u32) -> bool {
        self.pieces
            .get(id as usize)
            .is_some_and(|piece| piece.continues)
    }

    /// Whether no text is meant to contain the token.
    pub fn is_special(&self, id: u32) -> bool {
        self.pieces
            .get(id as usize)
            .is_none_or(|piece| piece.special)
    }

    /// Ids that texts are made of, in order.
    pub fn ordinary_ids(&self) -> Vec<u32> {
        let ids = self.pieces.iter().zip(0..);
        ids.filter(|(piece, _)| !piece.special && !piece.text.is_empty())
            .map(|(_, id)| id)
            .collect()
    }
}

/// GPT-2's characters for bytes: printable ones stand for themselves, the others for 256 and on.
fn byte_characters() -> BTreeMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256;
    let mut characters = BTreeMap::new();
    for byte in 0..=255u8 {
        let code = if is_printable(byte) {
            u32::from(byte)
        } else {
            next += 1;
            next - 1
        };
        let character = char::from_u32(code).expect("codes below 512 are characters");
        characters.insert(character, byte);
    }
    characters
}

/// The text behind a byte-level token; what is no whole character of UTF-8 becomes U+FFFD.
fn decode_bytes(token: &str, bytes: &BTreeMap<char, u8>) -> String {
    let decoded: Option<Vec<u8>> = token.chars().map(|c| bytes.get(&c).copied()).collect();
    // An added token may be written in plain characters.
    decoded.map_or_else(
        || token.to_owned(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str) -> Pieces {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        Pieces::of(&TextTokenizer::open(&fixtures.join(name)).unwrap())
    }

    #[test]
    fn word_pieces_lose_their_marks() {
        let pieces = open("tiny-bert");
        let id = |token: &str| {
            let vocabulary = fs_err::read_to_string(
                std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../../fixtures/tiny-bert/vocab.txt"),
            );
            let vocabulary = vocabulary.unwrap();
            vocabulary.lines().position(|line| line == token).unwrap() as u32
        };
        let row = |token| {
            let id = id(token);
            (pieces.text(id), pieces.continues(id), pieces.is_special(id))
        };
        assert_eq!(row("##watch"), ("watch", true, false));
        assert_eq!(row("film"), ("film", false, false));
        assert_eq!(row("[MASK]"), ("[MASK]", false, true));
        assert_eq!(pieces.ordinary_ids().len() + 5, pieces.len());
    }

    #[test]
    fn byte_level_pairs_become_text() {
        let bytes = byte_characters();
        assert_eq!(bytes.len(), 256);
        assert_eq!(decode_bytes("Ġfilm", &bytes), " film");
        // GPT-2's token for "é" in two bytes, and a first half alone.
        assert_eq!(decode_bytes("CafÃ©", &bytes), "Café");
        assert_eq!(decode_bytes("Ã", &bytes), "\u{fffd}");
        let pieces = open("tiny-roberta");
        let movie = (0..pieces.len() as u32)
            .find(|&id| pieces.text(id) == "movie")
            .unwrap();
        assert!(!pieces.continues(movie));
    }
}
