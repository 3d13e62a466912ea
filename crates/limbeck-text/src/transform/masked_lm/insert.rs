use std::sync::Arc;

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::Fillings;
use super::gaps::Around;
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation};
use crate::{BoxError, Gap, MaskedLm};

/// A word that a masked language model expects beside another comes in there (BAE-I of Garg and Ramakrishnan 2020; the insertion of Li
/// et al. 2021, which is before).
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
        let around: Vec<Around<'_>> = indices
            .iter()
            .map(|&index| Around::beside(current, index, self.side))
            .collect();
        let gaps: Vec<Gap<'_>> = around.iter().map(Around::gap).collect();
        let mut edits = Vec::new();
        for (&index, tokens) in indices.iter().zip(self.fillings.of(&*self.model, &gaps)?) {
            // A word is not doubled.
            let others = tokens.into_iter().filter(|new| new != current.word(index));
            edits.extend(others.map(|new| match self.side {
                Side::Before => Edit::InsertBefore { index, new },
                Side::After => Edit::InsertAfter { index, new },
            }));
        }
        Ok(edits)
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Insertion)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}
