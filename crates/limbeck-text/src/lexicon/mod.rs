//! What is known of words apart from any text: synonyms, neighbours, parts of speech, stop words.

mod brill;
mod keyboard;
mod morphy;
mod perceptron;
mod stop_words;
mod string_table;
mod tag;
mod wordnet;

use std::path::Path;

use fs_err as fs;

use crate::TextError;

pub use brill::BrillTagger;
pub use keyboard::adjacent_keys;
pub use perceptron::PerceptronTagger;
pub use stop_words::StopWords;
pub use tag::{Tagger, UniversalTag};
pub use wordnet::{Synset, WordClass, WordNet};

/// A source of synonyms, such as WordNet.
pub trait Synonyms: Send + Sync {
    /// Every other word that shares a meaning with `word`, each once, in the source's order; none for an unknown word.
    ///
    /// `word` is looked up in lower case. Lemmas come in the case and spelling of the source: they may be capitalised, and
    /// contain `_` where they are several words.
    fn synonyms(&self, word: &str) -> Vec<String>;
}

/// Word vectors, or a table made from them.
pub trait WordNeighbours: Send + Sync {
    /// The `count` words nearest to `word`, nearest first, without `word` itself; none for an unknown word.
    ///
    /// `word` is looked up as it is written.
    fn neighbours(&self, word: &str, count: usize) -> Vec<&str>;

    /// The cosine of the vectors of two words in `[-1, 1]`; `None` where one is unknown, or the source has no vectors.
    fn cosine(&self, first: &str, second: &str) -> Option<f32>;

    /// The sum of squared differences of the vectors of two words; `None` as in [`cosine`](Self::cosine).
    fn squared_distance(&self, first: &str, second: &str) -> Option<f32>;
}

/// The text of a word file.
fn text_file(path: &Path) -> Result<String, TextError> {
    if !path.exists() {
        return Err(TextError::MissingFile {
            path: path.to_owned(),
        });
    }
    String::from_utf8(fs::read(path)?).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line_start = valid
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        TextError::NotUtf8 {
            path: path.to_owned(),
            line: 1 + valid.iter().filter(|&&byte| byte == b'\n').count() as u64,
            valid_bytes: valid.len() - line_start,
        }
    })
}
