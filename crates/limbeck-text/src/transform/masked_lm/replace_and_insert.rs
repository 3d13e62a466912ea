use std::sync::Arc;

use rand::RngCore;

use super::gaps::Around;
use super::{Fillings, Side};
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation};
use crate::{BoxError, Gap, MaskedLm};

/// A word is replaced, and another comes in beside the new one (BAE-R+I of Garg and Ramakrishnan 2020).
///
/// The paper replaces, keeps what worked best, and inserts round it. One step knows no victim, so each replacement gets the most
/// probable word before it and the most probable after it: two candidates each.
#[derive(Clone)]
pub struct MaskedReplaceAndInsert {
    /// The model; it sees the whole text.
    pub model: Arc<dyn MaskedLm>,
    /// Which of its tokens are taken as replacements.
    pub fillings: Fillings,
}

impl Transformation for MaskedReplaceAndInsert {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let around = |index| Around::replacing(current, index);
        let replaced = self
            .fillings
            .other_words(&*self.model, current, indices, around)?;
        let sides = [Side::Before, Side::After];
        let around: Vec<Around<'_>> = replaced
            .iter()
            .flat_map(|(index, new)| {
                sides.map(|side| Around::beside_new(current, *index, new, side))
            })
            .collect();
        let gaps: Vec<Gap<'_>> = around.iter().map(Around::gap).collect();
        let best = Fillings {
            max_candidates: 1,
            ..self.fillings
        };
        let mut inserted = best.of(&*self.model, &gaps)?.into_iter();
        let mut edits = Vec::new();
        for (index, replacement) in &replaced {
            for (side, tokens) in sides.iter().zip(inserted.by_ref().take(sides.len())) {
                edits.extend(tokens.into_iter().map(|token| Edit::Expand {
                    index: *index,
                    new: match side {
                        Side::Before => format!("{token} {replacement}"),
                        Side::After => format!("{replacement} {token}"),
                    },
                }));
            }
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
