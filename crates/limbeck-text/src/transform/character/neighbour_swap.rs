use rand::RngCore;

use super::letters::{Letters, Variants, spliced};
use crate::BoxError;
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation, word_swaps};

/// Two letters that stand side by side change places: `movie` → `mvoie`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeighbourSwap(pub Letters);

impl Transformation for NeighbourSwap {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        Ok(word_swaps(current, indices, |word, add| {
            let (letters, places) = self.0.places(word, 1, rng);
            for place in places {
                let swapped = [letters[place + 1], letters[place]];
                add(spliced(&letters, place..place + 2, &swapped));
            }
        }))
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Swap)
    }

    fn is_deterministic(&self) -> bool {
        self.0.variants == Variants::All
    }
}
