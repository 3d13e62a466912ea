//! Which words may be edited, and which edits are kept.

use crate::BoxError;
use crate::edit::WordText;

/// Says which words of a text may be edited at all; asked before a transformation.
pub trait IndexConstraint: Send + Sync {
    /// Whether word `index` of `current` may be edited.
    fn allows(&self, current: &WordText, index: usize) -> bool;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The text before any edit.
    Original,
    /// The text before the last edit.
    Current,
}
