use super::IndexConstraint;
use crate::edit::WordText;
use crate::lexicon::StopWords;

/// Words of a list are not replaced; other edits may touch them. `The` may be replaced where `the` is listed.
#[derive(Clone, Debug)]
pub struct NoStopWords(pub StopWords);

impl IndexConstraint for NoStopWords {
    fn allows(&self, current: &WordText, index: usize) -> bool {
        !self.0.contains(current.word(index))
    }

    fn judges_swaps_only(&self) -> bool {
        true
    }
}
