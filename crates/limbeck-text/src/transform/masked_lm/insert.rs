use std::sync::Arc;

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::Fillings;
use super::gaps::Around;
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation};
use crate::{BoxError, MaskedLm};

/// A word that a masked language model expects beside another, and that is not the same, comes in there (BAE-I of Garg and Ramakrishnan
/// 2020; the insertion of Li et al. 2021, which is before).
#[derive(Clone)]
pub struct MaskedInsert {
    /// The model; it sees the whole text.
    pub model: Arc<dyn MaskedLm>,
    /// Which of its tokens are taken.
    pub fillings: Fillings,
    /// On which side of a word.
    pub side: Side,
}

/// A side of a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Before it.
    #[default]
    Before,
    /// After it.
    After,
}

impl Transformation for MaskedInsert {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let around = |index| Around::beside(current, index, self.side);
        let words = self
            .fillings
            .other_words(&*self.model, current, indices, around)?;
        let edits = words.into_iter().map(|(index, new)| match self.side {
            Side::Before => Edit::InsertBefore { index, new },
            Side::After => Edit::InsertAfter { index, new },
        });
        Ok(edits.collect())
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Insertion)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}
