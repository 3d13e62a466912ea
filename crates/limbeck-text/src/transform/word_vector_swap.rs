use std::sync::Arc;

use rand::RngCore;

use super::{Edit, EditKind, Transformation, is_single_word, word_swaps};
use crate::BoxError;
use crate::edit::{WordText, recover_case};
use crate::lexicon::WordNeighbours;

/// A word for one that is near it in the space of word vectors, in the case of the old one (Jin et al. 2019).
///
/// Neighbours that are no word or several are left out, which `TextAttack` takes: `_` stands among `GloVe`'s.
#[derive(Clone)]
pub struct WordVectorSwap {
    /// Where neighbours are looked up, in lower case; an unknown word has none.
    pub vectors: Arc<dyn WordNeighbours>,
    /// The nearest that are taken.
    pub max_candidates: usize,
}

impl Transformation for WordVectorSwap {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        Ok(word_swaps(current, indices, |word, add| {
            let lower = word.to_lowercase();
            for neighbour in self.vectors.neighbours(&lower, self.max_candidates) {
                if is_single_word(neighbour) {
                    add(recover_case(neighbour, word));
                }
            }
        }))
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Swap)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}
