//! Typing errors: one letter of a word changed.

mod deletion;
mod insertion;
mod letters;
mod neighbour_swap;
mod qwerty;
mod substitution;

pub use deletion::LetterDeletion;
pub use insertion::LetterInsertion;
pub use letters::{Letters, Variants};
pub use neighbour_swap::NeighbourSwap;
pub use qwerty::QwertySubstitution;
pub use substitution::LetterSubstitution;
