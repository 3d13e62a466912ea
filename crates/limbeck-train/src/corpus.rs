//! Raw text as a language model reads it.

use std::path::{Path, PathBuf};

use limbeck_model::{Encoding, TextTokenizer, stream_key};
use limbeck_ops::mix64;
use limbeck_text::{DataSpec, Text, read_texts};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Where raw text comes from: `{ lines = "notes.txt" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TextSource {
    /// A text file with a sentence or a paragraph per line; blank lines are left out.
    Lines(PathBuf),
    /// A file of `WikiText`: headings and blank lines are left out, ` @-@ `, ` @,@ ` and ` @.@ ` become what they stand for.
    Wikitext(PathBuf),
    /// The texts of any data set; of a pair, both.
    Set(Box<DataSpec>),
}

impl TextSource {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Lines(path) | Self::Wikitext(path) => path,
            Self::Set(spec) => &spec.path,
        }
    }

    /// All texts in order, none of them blank.
    pub fn read(&self) -> Result<Vec<String>, TrainError> {
        let lines: Vec<String> = match self {
            Self::Lines(path) => split_lines(&fs_err::read_to_string(path)?),
            Self::Wikitext(path) => {
                let lines = split_lines(&fs_err::read_to_string(path)?);
                lines
                    .iter()
                    .filter(|line| !is_heading(line))
                    .map(|line| without_wikitext_marks(line))
                    .collect()
            }
            Self::Set(spec) => {
                let texts = read_texts(spec)?;
                let both = texts
                    .into_iter()
                    .flat_map(|Text { first, second }| std::iter::once(first).chain(second));
                both.filter(|text| !text.trim().is_empty()).collect()
            }
        };
        if lines.is_empty() {
            return Err(TrainError::NoText {
                path: self.path().to_owned(),
            });
        }
        Ok(lines)
    }
}

fn split_lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// `= Title =`, `= = Section = =` and deeper.
fn is_heading(line: &str) -> bool {
    line.len() > 3 && line.starts_with("= ") && line.ends_with(" =")
}

/// `WikiText` writes `well @-@ known` and `20 @,@ 000` so that tokens can be told apart by spaces.
fn without_wikitext_marks(line: &str) -> String {
    let line = line.replace(" @-@ ", "-").replace(" @,@ ", ",");
    line.replace(" @.@ ", ".")
}

/// Cuts off a share of the texts to judge by. Equal texts stay together; which ones go depends on seed and text alone.
///
/// Returns the rest and those held out.
pub fn hold_out(lines: Vec<String>, fraction: f64, seed: u64) -> (Vec<String>, Vec<String>) {
    let key = stream_key(seed, "held-out text");
    let share = |line: &str| {
        let hash = line
            .bytes()
            .fold(key, |hash, byte| mix64(hash ^ u64::from(byte)));
        (hash >> 11) as f64 / (1u64 << 53) as f64
    };
    lines.into_iter().partition(|line| share(line) >= fraction)
}

/// A sentence, and the number that tells its masks and its dropout from those of all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Counts from the first of the set.
    pub id: u64,
    /// Its tokens with the special ones around them.
    pub encoding: Encoding,
}

/// Texts cut into sentences, and sentences put into rows of nearly equal size: the examples of pretraining.
///
/// A text longer than `max_tokens` becomes several sentences. Short ones share a row, up to `max_tokens` in
/// all: each keeps its own special tokens and positions, and its tokens attend to no other's. Batches of
/// equally many rows so have about equally many tokens, and no padding is computed.
#[derive(Debug, Clone, Default)]
pub struct TextRows {
    rows: Vec<Vec<Sentence>>,
}

impl TextRows {
    /// Cuts and packs texts in order. A text of special tokens alone is left out.
    pub fn new(
        lines: &[String],
        tokenizer: &TextTokenizer,
        max_tokens: usize,
    ) -> Result<Self, TrainError> {
        let frame = Frame::of(tokenizer)?;
        let room = max_tokens.saturating_sub(frame.before.len() + frame.after.len());
        if room == 0 {
            return Err(TrainError::Setting {
                setting: "max-tokens",
                found: max_tokens.to_string(),
                expected: "room for a token beside the special ones".into(),
            });
        }
        let special = tokenizer.special_ids();
        let texts: Vec<Text> = lines.iter().map(Text::single).collect();
        let mut rows = Self::default();
        let mut used = 0;
        let mut id = 0;
        for whole in tokenizer.encode_batch(&texts, usize::MAX)? {
            let inner = frame.before.len()..whole.ids.len() - frame.after.len();
            for piece in whole.ids[inner].chunks(room) {
                if piece.iter().all(|id| special.binary_search(id).is_ok()) {
                    continue;
                }
                let ids = [&frame.before[..], piece, &frame.after[..]].concat();
                if rows.rows.is_empty() || used + ids.len() > max_tokens {
                    rows.rows.push(Vec::new());
                    used = 0;
                }
                used += ids.len();
                let segments = vec![0; ids.len()];
                let encoding = Encoding { ids, segments };
                let row = rows.rows.last_mut().expect("a row was just made");
                row.push(Sentence { id, encoding });
                id += 1;
            }
        }
        Ok(rows)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sentences of a row.
    pub fn row(&self, row: usize) -> &[Sentence] {
        &self.rows[row]
    }

    /// Tokens of each row.
    pub fn lengths(&self) -> Vec<usize> {
        self.rows.iter().map(|row| Self::token_count(row)).collect()
    }

    /// Tokens of all rows.
    pub fn tokens(&self) -> usize {
        self.lengths().iter().sum()
    }

    /// Number of sentences in all rows.
    pub fn sentence_count(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }

    pub(crate) fn token_count(sentences: &[Sentence]) -> usize {
        let lengths = sentences.iter().map(|sentence| sentence.encoding.ids.len());
        lengths.sum()
    }
}

/// The special tokens around a single sentence.
struct Frame {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Frame {
    fn of(tokenizer: &TextTokenizer) -> Result<Self, TrainError> {
        let count = tokenizer.special_count(false);
        if count == 0 {
            return Ok(Self {
                before: Vec::new(),
                after: Vec::new(),
            });
        }
        let empty = tokenizer.encode(&Text::single(""), usize::MAX)?.ids;
        let filled = tokenizer.encode(&Text::single("a"), usize::MAX)?.ids;
        let shared = empty.iter().zip(&filled).take_while(|(a, b)| a == b);
        let before = shared.count().min(count);
        Ok(Self {
            before: empty[..before].to_vec(),
            after: empty[before..].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wikitext_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wiki.txt");
        let text = " \n = Robert = \n \n = = Career = = \n The 20 @,@ 000 well @-@ known 3 @.@ 5 . \n a = b = c \n";
        fs_err::write(&path, text).unwrap();
        assert_eq!(
            TextSource::Wikitext(path.clone()).read().unwrap(),
            ["The 20,000 well-known 3.5 .", "a = b = c"]
        );
        assert_eq!(TextSource::Lines(path).read().unwrap().len(), 4);
    }

    #[test]
    fn equal_texts_are_held_out_together() {
        let lines: Vec<String> = (0..4000).map(|i| format!("text {}", i % 2000)).collect();
        let (rest, held_out) = hold_out(lines, 0.1, 3);
        assert!((320..480).contains(&held_out.len()), "{}", held_out.len());
        assert!(held_out.iter().all(|line| !rest.contains(line)));
    }
}
