//! New training rows from old ones.

mod augmentation;
mod augmenter;
mod eda;
mod recipe;
mod tagged_words;
mod tang;
mod tiny_bert;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{BoxError, Text};

pub use augmentation::{Augmentation, WordChange};
pub use augmenter::{AugmentSettings, Augmenter};
pub use eda::Eda;
pub use recipe::{AugmentRecipe, CountSettings};
pub use tagged_words::TaggedWords;
pub use tang::{Tang, TangConfig};
pub use tiny_bert::{TinyBert, TinyBertConfig};

/// Makes new texts of a text.
pub trait RowAugmenter: Send + Sync {
    /// New texts, fewer than asked for where a text offers no more. Where nothing can be changed the text itself may come back.
    fn augment(&self, text: &Text, rng: &mut dyn RngCore) -> Result<Vec<Augmentation>, BoxError>;
}

/// The generator of one row under one seed. Rows do not share randomness, so a row's results do not depend on which rows were done before
/// it, or by which thread.
pub fn row_generator(seed: u64, row: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(row);
    generator
}
