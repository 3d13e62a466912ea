use std::collections::HashSet;
use std::sync::Arc;

use rand::RngCore;

use super::{Edit, EditKind, Transformation};
use crate::BoxError;
use crate::edit::WordText;

/// Several transformations as one: each member's results over all words, in the order of the members, each text once.
///
/// `TextAttack` before 0.3.11 joined them through a set, whose order changed from run to run.
pub struct Composite {
    members: Vec<Arc<dyn Transformation>>,
}

impl Composite {
    /// A transformation that gives what any of `members` gives.
    pub fn new(members: Vec<Arc<dyn Transformation>>) -> Self {
        Self { members }
    }
}

impl Transformation for Composite {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let mut edits = Vec::new();
        for member in &self.members {
            edits.extend(member.edits(current, indices, rng)?);
        }
        Ok(edits)
    }

    fn kind(&self) -> Option<EditKind> {
        let first = self.members.first()?.kind()?;
        self.members
            .iter()
            .all(|member| member.kind() == Some(first))
            .then_some(first)
    }

    fn is_deterministic(&self) -> bool {
        self.members.iter().all(|member| member.is_deterministic())
    }

    fn members(&self) -> &[Arc<dyn Transformation>] {
        &self.members
    }

    fn candidates(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, BoxError> {
        let edits = self.edits(current, indices, rng)?;
        let mut candidates = edits.iter().map(|edit| edit.apply(current)).collect();
        keep_first_of_each(&mut candidates);
        Ok(candidates)
    }
}

/// Removes texts that stand further ahead already.
pub(crate) fn keep_first_of_each(candidates: &mut Vec<WordText>) {
    let mut seen = HashSet::with_capacity(candidates.len());
    let is_first: Vec<bool> = candidates.iter().map(|c| seen.insert(c.text())).collect();
    let mut is_first = is_first.into_iter();
    candidates.retain(|_| is_first.next().unwrap_or_default());
}
