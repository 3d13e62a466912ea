use super::{Constraint, Reference};
use crate::BoxError;
use crate::edit::WordText;

/// At most so many words differ from the original, place by place over the common length.
///
/// An inserted or deleted word therefore counts all words after it that changed places.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaxWordsPerturbed {
    /// Most words that may differ; `None` sets no such limit.
    pub max_count: Option<usize>,
    /// Largest share of the shorter text's words that may differ, in `[0, 1]`, rounded up to whole words.
    pub max_fraction: Option<f64>,
}

impl Constraint for MaxWordsPerturbed {
    fn reference(&self) -> Reference {
        Reference::Original
    }

    fn allows(
        &self,
        reference: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError> {
        let verdict = |candidate: &WordText| {
            let shorter = candidate.word_count().min(reference.word_count());
            let share = self
                .max_fraction
                .map(|fraction| (shorter as f64 * fraction).ceil() as usize);
            let limit = self.max_count.into_iter().chain(share).min();
            limit.is_none_or(|limit| {
                let differing = candidate.differing_words(reference);
                differing.take(limit.saturating_add(1)).count() <= limit
            })
        };
        Ok(candidates.iter().map(verdict).collect())
    }
}
