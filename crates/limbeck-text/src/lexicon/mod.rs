//! What is known of words apart from any text: synonyms, neighbours, parts of speech, stop words.

mod tag;

pub use tag::{Tagger, UniversalTag};

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
