use std::collections::HashSet;

use super::IndexConstraint;
use crate::edit::WordText;

/// Words of a list are not replaced. They are compared as they are written, so `The` may be replaced where `the` is listed.
#[derive(Clone, Debug, Default)]
pub struct NoStopWords {
    words: HashSet<String>,
}

impl NoStopWords {
    /// A constraint against replacing any of `words`.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
        }
    }
}

impl IndexConstraint for NoStopWords {
    fn allows(&self, current: &WordText, index: usize) -> bool {
        !self.words.contains(current.word(index))
    }

    fn judges_swaps_only(&self) -> bool {
        true
    }
}
