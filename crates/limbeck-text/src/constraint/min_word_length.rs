use super::IndexConstraint;
use crate::edit::WordText;

/// Words of fewer characters stay.
#[derive(Clone, Copy, Debug)]
pub struct MinWordLength {
    /// Characters that a word needs to be edited.
    pub min_length: usize,
}

impl IndexConstraint for MinWordLength {
    fn allows(&self, current: &WordText, index: usize) -> bool {
        let word = current.word(index);
        word.len() >= self.min_length && word.chars().count() >= self.min_length
    }
}
