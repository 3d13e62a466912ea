//! Which words may be edited, and which edits are kept.

mod config;
mod edit_distance;
mod input_columns;
mod max_modification_rate;
mod max_words_perturbed;
mod min_word_length;
mod part_of_speech;
mod repeat;
mod sentence_similarity;
mod stop_words;
mod word_vector_distance;

use serde::{Deserialize, Serialize};

use crate::BoxError;
use crate::edit::WordText;

pub use config::{BuiltConstraint, ConstraintConfig, StopWordList};
pub use edit_distance::MaxEditDistance;
pub use input_columns::InputColumns;
pub use max_modification_rate::MaxModificationRate;
pub use max_words_perturbed::MaxWordsPerturbed;
pub use min_word_length::MinWordLength;
pub use part_of_speech::SamePartOfSpeech;
pub use repeat::NoRepeat;
pub use sentence_similarity::{SentenceSimilarity, SimilarityMetric, SimilarityScope};
pub use stop_words::NoStopWords;
pub use word_vector_distance::{WordVectorDistance, WordVectorLimit};

/// Says which words of a text may be edited at all; asked before a transformation.
pub trait IndexConstraint: Send + Sync {
    /// Whether word `index` of `current` may be edited.
    fn allows(&self, current: &WordText, index: usize) -> bool;

    /// Whether only word swaps are held to it; other transformations may edit any word.
    fn judges_swaps_only(&self) -> bool {
        false
    }
}

/// Says which candidates are kept; asked after a transformation.
pub trait Constraint: Send + Sync {
    /// What the candidates are compared with.
    fn reference(&self) -> Reference;

    /// Whether only word swaps are judged; candidates made by other edits pass.
    fn judges_swaps_only(&self) -> bool {
        false
    }

    /// One verdict per candidate, in order. A similarity constraint notes in [`WordText::similarity`] what it found.
    fn allows(
        &self,
        reference: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError>;
}

/// The text that a candidate is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// The text before any edit.
    #[default]
    Original,
    /// The text before the last edit.
    Current,
}
