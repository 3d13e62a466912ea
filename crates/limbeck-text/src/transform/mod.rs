//! One-step edits of a text.

mod character;
mod composite;
mod config;
mod edit;
mod masked_lm;
mod synonym_insertion;
mod synonym_swap;
mod word_deletion;
mod word_exchange;
mod word_vector_swap;

use std::sync::Arc;

use rand::RngCore;

use crate::BoxError;
use crate::edit::{WordText, is_one_word};

pub use character::{LetterDeletion, LetterInsertion, LetterSubstitution};
pub use character::{Letters, NeighbourSwap, QwertySubstitution, Variants};
pub use composite::Composite;
pub(crate) use composite::keep_first_of_each;
pub use config::{InsertionConfig, TransformationConfig};
pub use edit::{Edit, EditKind};
pub use masked_lm::{
    Fillings, MaskedInsert, MaskedMerge, MaskedReplace, MaskedReplaceAndInsert, Side,
};
pub use synonym_insertion::SynonymInsertion;
pub use synonym_swap::SynonymSwap;
pub use word_deletion::WordDeletion;
pub use word_exchange::WordExchange;
pub use word_vector_swap::WordVectorSwap;

/// Makes the texts that are one edit away.
pub trait Transformation: Send + Sync {
    /// Every edit of `current` at the words `indices` (ascending), in the order of the indices, not yet carried out.
    ///
    /// Edits may repeat, and may leave the text as it is.
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError>;

    /// The one kind of edit that it makes; `None` where it makes several.
    fn kind(&self) -> Option<EditKind>;

    /// Whether the same text always gives the same edits, whatever the generator.
    fn is_deterministic(&self) -> bool;

    /// The transformations of which this one is composed, whose results are joined without repetition; none for a simple one.
    fn members(&self) -> &[Arc<dyn Transformation>] {
        &[]
    }

    /// The [`edits`](Self::edits) carried out, in order.
    ///
    /// Each result says in [`WordText::last_edit`] what kind of edit made it. Results may repeat, and may equal `current`.
    fn candidates(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, BoxError> {
        let edits = self.edits(current, indices, rng)?;
        Ok(edits.iter().map(|edit| edit.apply(current)).collect())
    }
}

/// The words that `replace` puts in the place of each word of `indices`, as swaps; the word itself is left out.
fn word_swaps(
    current: &WordText,
    indices: &[usize],
    mut replace: impl FnMut(&str, &mut dyn FnMut(String)),
) -> Vec<Edit> {
    let mut edits = Vec::new();
    for &index in indices {
        let word = current.word(index);
        replace(word, &mut |new| {
            if new != word {
                edits.push(Edit::Replace { index, new });
            }
        });
    }
    edits
}

/// Whether `new` is one word; most are told at a glance.
fn is_single_word(new: &str) -> bool {
    let is_plain = !new.is_empty() && new.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain || is_one_word(new)
}
