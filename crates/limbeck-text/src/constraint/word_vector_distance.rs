use std::sync::Arc;

use super::{Constraint, Reference};
use crate::BoxError;
use crate::edit::WordText;
use crate::lexicon::WordNeighbours;

/// A new word lies near the one in its place, in the space of word vectors.
///
/// Words are looked up in lower case; a pair of which one is unknown passes.
#[derive(Clone)]
pub struct WordVectorDistance {
    /// The vectors.
    pub vectors: Arc<dyn WordNeighbours>,
    /// How near.
    pub limit: WordVectorLimit,
    /// What is compared with.
    pub reference: Reference,
}

/// How far apart two word vectors may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WordVectorLimit {
    /// The least cosine, in `[-1, 1]`.
    MinCosine(f32),
    /// The greatest sum of squared differences.
    MaxSquaredDistance(f32),
}

impl Constraint for WordVectorDistance {
    fn reference(&self) -> Reference {
        self.reference
    }

    fn judges_swaps_only(&self) -> bool {
        true
    }

    fn allows(
        &self,
        reference: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError> {
        Ok(candidates
            .iter()
            .map(|candidate| self.is_near(reference, candidate))
            .collect())
    }
}

impl WordVectorDistance {
    fn is_near(&self, reference: &WordText, candidate: &WordText) -> bool {
        let shared = reference.word_count().min(candidate.word_count());
        let mut indices = candidate.newly_modified().iter().map(|&at| at as usize);
        indices.all(|index| {
            if index >= shared {
                return false;
            }
            let old = reference.word(index).to_lowercase();
            let new = candidate.word(index).to_lowercase();
            match self.limit {
                WordVectorLimit::MinCosine(min) => self
                    .vectors
                    .cosine(&old, &new)
                    .is_none_or(|cosine| cosine >= min),
                WordVectorLimit::MaxSquaredDistance(max) => self
                    .vectors
                    .squared_distance(&old, &new)
                    .is_none_or(|distance| distance <= max),
            }
        })
    }
}
