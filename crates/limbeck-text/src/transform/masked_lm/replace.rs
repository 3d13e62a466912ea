use std::sync::Arc;

use rand::RngCore;

use super::Fillings;
use super::gaps::Around;
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation};
use crate::{BoxError, MaskedLm};

/// A word for one that a masked language model expects in its place (BAE-R of Garg and Ramakrishnan 2020; the replacement of Li et al.
/// 2021).
#[derive(Clone)]
pub struct MaskedReplace {
    /// The model; it sees the whole text.
    pub model: Arc<dyn MaskedLm>,
    /// Which of its tokens are taken.
    pub fillings: Fillings,
}

impl Transformation for MaskedReplace {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let around = |index| Around::replacing(current, index);
        let words = self
            .fillings
            .other_words(&*self.model, current, indices, around)?;
        let edit = |(index, new)| Edit::Replace { index, new };
        Ok(words.into_iter().map(edit).collect())
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Swap)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}
