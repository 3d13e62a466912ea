use rand::RngCore;

use super::{Edit, EditKind, Transformation};
use crate::BoxError;
use crate::edit::WordText;

/// A word goes; the last one stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct WordDeletion;

impl Transformation for WordDeletion {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        if current.word_count() <= 1 {
            return Ok(Vec::new());
        }
        Ok(indices
            .iter()
            .map(|&index| Edit::Delete { index })
            .collect())
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Deletion)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}
