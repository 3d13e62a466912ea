//! From text to token ids, in the Hugging Face formats.

mod vocabulary_files;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};

use limbeck_text::Text;
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{Model, PostProcessor, Tokenizer};

use crate::ModelError;
use vocabulary_files::{add_special, byte_level, word_piece};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const WORD_PIECES: &str = "vocab.txt";
const BPE_VOCABULARY: &str = "vocab.json";
const BPE_MERGES: &str = "merges.txt";

/// Keys of `tokenizer_config.json` that name special tokens.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A tokenizer as the Hugging Face library builds it from the same folder.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    truncation_side: TruncationDirection,
    /// What `tokenizer_config.json` said, or would say.
    config: Map<String, Value>,
    vocabulary_size: usize,
}

/// A tokenised sentence or pair, with special tokens and without padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Row numbers into the word embeddings.
    pub ids: Vec<u32>,
    /// 0 for the first sentence, 1 for the second where the model tells them apart.
    pub segments: Vec<u32>,
}

/// Where a token stands in the text that it was cut from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPlace {
    /// 0 for the first sentence, 1 for the second.
    pub sentence: usize,
    /// Its bytes in that sentence, as they were before lower-casing and the like.
    pub bytes: Range<usize>,
}

/// Whether the library keeps account of where tokens come from, which costs time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
    Kept,
    Forgotten,
}

impl TextTokenizer {
    /// Opens `tokenizer.json`; without one `vocab.txt` (`WordPiece`), or `vocab.json` with `merges.txt` (RoBERTa's byte-level pairs).
    ///
    /// Padding and truncation settings in `tokenizer.json` are left aside, except for the side that is cut.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let config = read_config(folder)?;
        let [whole, pieces, vocabulary, merges] =
            [TOKENIZER, WORD_PIECES, BPE_VOCABULARY, BPE_MERGES].map(|name| folder.join(name));
        if whole.is_file() {
            let bytes = fs_err::read(&whole).map_err(|source| ModelError::Read { source })?;
            // The library panics where the JSON ends inside a decoder, as in a file cut short.
            serde_json::from_slice::<Value>(&bytes).map_err(|source| bad(&whole, source.into()))?;
            let tokenizer = Tokenizer::from_bytes(bytes).map_err(|source| bad(&whole, source))?;
            return Ok(Self::new(tokenizer, config));
        }
        if pieces.is_file() {
            return word_piece(&pieces, config);
        }
        if vocabulary.is_file() && merges.is_file() {
            return byte_level(&vocabulary, &merges, config);
        }
        Err(ModelError::MissingTokenizer {
            folder: folder.to_owned(),
            found: file_names(folder)?,
        })
    }

    /// One token per lower-cased, space-separated word, without special tokens: for word embeddings.
    ///
    /// `[PAD]` is 0 and `[UNK]` is 1; the words follow in the given order, repeats left out.
    pub fn from_words(words: Vec<String>) -> Result<Self, ModelError> {
        let mut distinct = vec!["[PAD]".to_owned(), "[UNK]".to_owned()];
        let mut seen = std::collections::HashSet::new();
        distinct.extend(
            words
                .into_iter()
                .map(|word| word.to_lowercase())
                .filter(|word| seen.insert(word.clone())),
        );
        let vocabulary = distinct.into_iter().zip(0..).collect();
        let in_memory = Path::new("words");
        let model = WordLevel::builder()
            .vocab(vocabulary)
            .unk_token("[UNK]".to_owned())
            .build();
        let mut tokenizer = Tokenizer::new(model.map_err(|source| bad(in_memory, source))?);
        tokenizer
            .with_normalizer(Some(Lowercase))
            .map_err(|source| bad(in_memory, source))?;
        tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
        add_special(&mut tokenizer, in_memory, &["[PAD]", "[UNK]"], "")?;
        let Value::Object(config) = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "model_input_names": ["input_ids", "attention_mask"],
        }) else {
            unreachable!("an object literal")
        };
        Ok(Self::new(tokenizer, config))
    }

    /// [`TextTokenizer::from_words`] with all words that occur at least `min_count` times, the most frequent first.
    pub fn train_words(
        texts: impl IntoIterator<Item = impl Borrow<Text>>,
        min_count: usize,
    ) -> Result<Self, ModelError> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for text in texts {
            let text = text.borrow();
            for sentence in std::iter::once(&text.first).chain(&text.second) {
                for word in sentence.to_lowercase().split_whitespace() {
                    *counts.entry(word.to_owned()).or_default() += 1;
                }
            }
        }
        let mut words: Vec<(String, usize)> = counts
            .into_iter()
            .filter(|&(_, count)| count >= min_count)
            .collect();
        // Equally frequent words in the order of the alphabet: the order of the texts does not matter.
        words.sort_unstable_by(|(a, a_count), (b, b_count)| {
            b_count.cmp(a_count).then_with(|| a.cmp(b))
        });
        Self::from_words(words.into_iter().map(|(word, _)| word).collect())
    }

    fn new(mut tokenizer: Tokenizer, config: Map<String, Value>) -> Self {
        let side = config.get("truncation_side").and_then(Value::as_str);
        let truncation_side = match side {
            Some("left") => TruncationDirection::Left,
            Some(_) => TruncationDirection::Right,
            None => tokenizer
                .get_truncation()
                .map_or(TruncationDirection::Right, |held| held.direction),
        };
        // Taking the settings away cannot fail; only setting them can.
        let _ = tokenizer.with_truncation(None);
        tokenizer.with_padding(None);
        let vocabulary_size = tokenizer
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id as usize + 1);
        Self {
            tokenizer,
            truncation_side,
            config,
            vocabulary_size,
        }
    }

    /// Cuts a text into tokens, adds the special tokens and keeps at most `max_len` in all.
    ///
    /// What is too long loses its end as with transformers' `truncation=True`: of a pair the longer sentence is cut to the length of
    /// the shorter, then both alike, the second keeping the odd token when it is not the shorter.
    /// A text without a single token becomes the unknown token, so no sentence is empty.
    pub fn encode(&self, text: &Text, max_len: usize) -> Result<Encoding, ModelError> {
        Ok(self.cut(text, max_len, Places::Forgotten)?.0)
    }

    /// [`TextTokenizer::encode`], and where each token stands; `None` for special tokens that were added.
    pub fn encode_with_places(
        &self,
        text: &Text,
        max_len: usize,
    ) -> Result<(Encoding, Vec<Option<TokenPlace>>), ModelError> {
        self.cut(text, max_len, Places::Kept)
    }

    fn cut(
        &self,
        text: &Text,
        max_len: usize,
        places: Places,
    ) -> Result<(Encoding, Vec<Option<TokenPlace>>), ModelError> {
        let cut = |sentence: &str| match places {
            Places::Kept => self.tokenizer.encode(sentence, false),
            Places::Forgotten => self.tokenizer.encode_fast(sentence, false),
        };
        let failed = |source| ModelError::Encode {
            text: text.first.chars().take(60).collect(),
            source,
        };
        let special = self.special_count(text.second.is_some());
        if max_len <= special {
            return Err(ModelError::NoRoom { max_len, special });
        }
        let first = cut(&text.first).map_err(failed)?;
        let second = match &text.second {
            Some(second) => {
                let mut second = cut(second).map_err(failed)?;
                second.set_type_ids(vec![1; second.len()]);
                Some(second)
            }
            None => None,
        };
        let params = TruncationParams {
            direction: self.truncation_side,
            max_length: max_len - special,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (mut first, mut second) = truncate_encodings(first, second, &params).map_err(failed)?;
        first.take_overflowing();
        if let Some(second) = &mut second {
            second.take_overflowing();
        }
        // Taken before post-processing, which would trim a byte-level token's leading space a second time.
        let place = |sentence| {
            move |&(start, end): &(usize, usize)| TokenPlace {
                sentence,
                bytes: start..end,
            }
        };
        let mut stands: Vec<TokenPlace> = Vec::new();
        if places == Places::Kept {
            stands.extend(first.get_offsets().iter().map(place(0)));
            let second = second.iter().flat_map(tokenizers::Encoding::get_offsets);
            stands.extend(second.map(place(1)));
        }
        let whole = self
            .tokenizer
            .post_process(first, second, true)
            .map_err(failed)?;
        let mut encoding = Encoding {
            ids: whole.get_ids().to_vec(),
            segments: whole.get_type_ids().to_vec(),
        };
        let mut stands = stands.into_iter();
        let added = whole.get_special_tokens_mask().iter();
        let mut places = match places {
            Places::Kept => added
                .map(|&added| if added == 1 { None } else { stands.next() })
                .collect(),
            Places::Forgotten => Vec::new(),
        };
        if let (true, Some(unknown)) = (encoding.ids.is_empty(), self.unknown_id()) {
            encoding = Encoding {
                ids: vec![unknown],
                segments: vec![0],
            };
            places = vec![None];
        }
        Ok((encoding, places))
    }

    /// [`TextTokenizer::encode`] for many texts on all threads, in order.
    pub fn encode_batch(
        &self,
        texts: &[Text],
        max_len: usize,
    ) -> Result<Vec<Encoding>, ModelError> {
        texts
            .par_iter()
            .map(|text| self.encode(text, max_len))
            .collect()
    }

    /// Number of special tokens around a single sentence or a pair.
    pub fn special_count(&self, is_pair: bool) -> usize {
        self.tokenizer
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(is_pair))
    }

    /// One more than the largest id: the rows a table of embeddings needs.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    /// The tokens by id; an id that no token has is an empty string.
    pub fn vocabulary(&self) -> Vec<String> {
        let mut tokens = vec![String::new(); self.vocabulary_size];
        let by_id: BTreeMap<u32, String> = (self.tokenizer.get_vocab(true).into_iter())
            .map(|(token, id)| (id, token))
            .collect();
        for (id, token) in by_id {
            tokens[id as usize] = token;
        }
        tokens
    }

    /// The id of a token, if there is such a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The padding token's id.
    pub fn pad_id(&self) -> Option<u32> {
        self.role_id("pad_token", &["[PAD]", "<pad>"])
    }

    /// The mask token's id.
    pub fn mask_id(&self) -> Option<u32> {
        self.role_id("mask_token", &["[MASK]", "<mask>"])
    }

    /// The id of tokens outside the vocabulary.
    pub fn unknown_id(&self) -> Option<u32> {
        self.role_id("unk_token", &["[UNK]", "<unk>"])
    }

    /// Ids that no text is meant to contain, in order: they are never masked or replaced.
    pub fn special_ids(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let mut ids: Vec<u32> = added
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| id)
            .collect();
        ids.sort_unstable();
        ids
    }

    fn role_id(&self, role: &str, usual: &[&str]) -> Option<u32> {
        let named = special_token(&self.config, role).and_then(|token| self.id(&token));
        named.or_else(|| usual.iter().find_map(|token| self.id(token)))
    }

    /// SHA-256, in hexadecimal, of all that decides which ids a text gets: equal fingerprints encode equally.
    pub fn fingerprint(&self) -> Result<String, ModelError> {
        let mut hash = Sha256::new();
        hash.update(self.serialised(Path::new("."), Layout::Compact)?);
        hash.update(self.truncation_side.as_ref());
        Ok(hash
            .finalize()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and the model's own vocabulary files.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let write = |name: &str, contents: String| {
            fs_err::write(folder.join(name), contents)
                .map_err(|source| ModelError::Write { source })
        };
        fs_err::create_dir_all(folder).map_err(|source| ModelError::Write { source })?;
        write(TOKENIZER, self.serialised(folder, Layout::Indented)?)?;
        write(CONFIG, indented(&Value::Object(self.saved_config())))?;
        let roles = ROLES
            .iter()
            .filter_map(|&role| Some((role.to_owned(), self.config.get(role)?.clone())));
        write(
            SPECIAL_TOKENS,
            indented(&Value::Object(
                roles.filter(|(_, token)| !token.is_null()).collect(),
            )),
        )?;
        if matches!(
            self.tokenizer.get_model(),
            ModelWrapper::WordPiece(_) | ModelWrapper::BPE(_)
        ) {
            let saved = self.tokenizer.get_model().save(folder, None);
            saved.map_err(|source| ModelError::SaveTokenizer {
                folder: folder.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    fn serialised(&self, folder: &Path, layout: Layout) -> Result<String, ModelError> {
        let text = self.tokenizer.to_string(layout == Layout::Indented);
        text.map_err(|source| ModelError::SaveTokenizer {
            folder: folder.to_owned(),
            source,
        })
    }

    /// The configuration with what transformers needs to open the folder.
    fn saved_config(&self) -> Map<String, Value> {
        let mut config = self.config.clone();
        config
            .entry("tokenizer_class")
            .or_insert_with(|| "PreTrainedTokenizerFast".into());
        if self.truncation_side == TruncationDirection::Left {
            config.insert("truncation_side".to_owned(), "left".into());
        }
        let usual: BTreeMap<&str, &[&str]> = BTreeMap::from([
            ("cls_token", &["[CLS]", "<s>"][..]),
            ("mask_token", &["[MASK]", "<mask>"]),
            ("pad_token", &["[PAD]", "<pad>"]),
            ("sep_token", &["[SEP]", "</s>"]),
            ("unk_token", &["[UNK]", "<unk>"]),
        ]);
        for (role, tokens) in usual {
            if let (false, Some(token)) = (
                config.contains_key(role),
                tokens.iter().find(|t| self.id(t).is_some()),
            ) {
                config.insert(role.to_owned(), (*token).into());
            }
        }
        config
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Compact,
    Indented,
}

/// `tokenizer_config.json`, completed by `special_tokens_map.json`; both may be absent.
fn read_config(folder: &Path) -> Result<Map<String, Value>, ModelError> {
    let read = |name: &str| -> Result<Map<String, Value>, ModelError> {
        let path = folder.join(name);
        if !path.is_file() {
            return Ok(Map::new());
        }
        let bytes = fs_err::read(&path).map_err(|source| ModelError::Read { source })?;
        serde_json::from_slice(&bytes).map_err(|source| bad(&path, source.into()))
    };
    let mut config = read(CONFIG)?;
    for (role, token) in read(SPECIAL_TOKENS)? {
        config.entry(role).or_insert(token);
    }
    Ok(config)
}

/// A special token's text: written as such, or inside an object with its settings.
fn special_token(config: &Map<String, Value>, role: &str) -> Option<String> {
    let value = config.get(role)?;
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(str::to_owned)
}

fn file_names(folder: &Path) -> Result<Vec<String>, ModelError> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(|source| ModelError::Read { source })? {
        let entry = entry.map_err(|source| ModelError::Read { source })?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn indented(value: &Value) -> String {
    format!("{value:#}\n")
}

fn bad(path: &Path, source: Box<dyn Error + Send + Sync>) -> ModelError {
    ModelError::BadTokenizer {
        path: PathBuf::from(path),
        source,
    }
}

#[cfg(test)]
mod tests;
