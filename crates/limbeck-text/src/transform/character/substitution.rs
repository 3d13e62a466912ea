use rand::RngCore;

use super::letters::{Letters, random_letter, spliced};
use crate::BoxError;
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation, word_swaps};

/// A random letter, small or capital, for another: `movie` → `moxie`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LetterSubstitution(pub Letters);

impl Transformation for LetterSubstitution {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        Ok(word_swaps(current, indices, |word, add| {
            let (letters, places) = self.0.places(word, 0, rng);
            for place in places {
                add(spliced(&letters, place..place + 1, &[random_letter(rng)]));
            }
        }))
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Swap)
    }

    fn is_deterministic(&self) -> bool {
        false
    }
}
