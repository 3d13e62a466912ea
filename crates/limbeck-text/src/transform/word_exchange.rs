use rand::{Rng, RngCore};

use super::{Edit, EditKind, Transformation};
use crate::BoxError;
use crate::edit::WordText;

/// A word changes places with a random other one. One edit per word.
#[derive(Clone, Copy, Debug, Default)]
pub struct WordExchange;

impl Transformation for WordExchange {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let count = current.word_count();
        if count <= 1 {
            return Ok(Vec::new());
        }
        let exchange = |&index: &usize| {
            let drawn = rng.random_range(0..count - 1);
            let other = drawn + usize::from(drawn >= index);
            Edit::Exchange {
                first: index.min(other),
                second: index.max(other),
            }
        };
        Ok(indices.iter().map(exchange).collect())
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Exchange)
    }

    fn is_deterministic(&self) -> bool {
        false
    }
}
