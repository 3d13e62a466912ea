use super::IndexConstraint;
use crate::edit::WordText;

/// No word may be edited once `max(⌈words · max_fraction⌉, min_count)` words are.
#[derive(Clone, Copy, Debug)]
pub struct MaxModificationRate {
    /// Share of the text's words, in `[0, 1]`.
    pub max_fraction: f64,
    /// Words that may be edited in the shortest text.
    pub min_count: usize,
}

impl IndexConstraint for MaxModificationRate {
    fn allows(&self, current: &WordText, _: usize) -> bool {
        let share = (current.word_count() as f64 * self.max_fraction).ceil() as usize;
        current.modified().len() < share.max(self.min_count)
    }
}
