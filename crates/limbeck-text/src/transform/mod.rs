//! One-step edits of a text.

use rand::RngCore;

use crate::BoxError;
use crate::edit::WordText;

/// Makes the texts that are one edit away.
pub trait Transformation: Send + Sync {
    /// Every edit of `current` at the words `indices` (ascending), in the order of the indices.
    ///
    /// Each result says in [`WordText::last_edit`] what kind of edit made it. Results may repeat, and may equal `current`.
    fn candidates(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, BoxError>;

    /// Whether the same text always gives the same candidates, whatever the generator.
    fn is_deterministic(&self) -> bool;
}

/// What an edit did to the words it touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// One word for another.
    Swap,
    /// A word came in.
    Insertion,
    /// A word went.
    Deletion,
    /// Two words became one.
    Merge,
    /// Two words of the text exchanged their places.
    Exchange,
}
