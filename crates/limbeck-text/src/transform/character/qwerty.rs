use std::ops::Range;

use rand::{Rng, RngCore};

use super::letters::{Letters, Variants, spliced};
use crate::BoxError;
use crate::edit::WordText;
use crate::lexicon::adjacent_keys;
use crate::transform::{Edit, EditKind, Transformation, word_swaps};

/// A letter is mistyped as one beside it on a QWERTY keyboard, in its own case: `movie` → `mobie`.
///
/// With [`Variants::All`] every neighbouring key of every letter gives a word; with [`Variants::RandomOne`] a random one of a random
/// letter, and none where that letter is not one of the 26.
#[derive(Clone, Copy, Debug, Default)]
pub struct QwertySubstitution(pub Letters);

impl Transformation for QwertySubstitution {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        Ok(word_swaps(current, indices, |word, add| {
            let (letters, places) = self.mistyped(word, rng);
            for place in places {
                let mut keys: Vec<char> = adjacent_keys(letters[place]).collect();
                if self.0.variants == Variants::RandomOne && !keys.is_empty() {
                    keys = vec![keys[rng.random_range(0..keys.len())]];
                }
                for key in keys {
                    add(spliced(&letters, place..place + 1, &[key]));
                }
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

impl QwertySubstitution {
    /// As [`Letters::places`], but where only one letter may be mistyped none is, as in `TextAttack`.
    fn mistyped(self, word: &str, rng: &mut dyn RngCore) -> (Vec<char>, Range<usize>) {
        let skipped = usize::from(self.0.skip_first) + usize::from(self.0.skip_last);
        if word.chars().count() <= skipped + 1 {
            return (Vec::new(), 0..0);
        }
        self.0.places(word, 0, rng)
    }
}
