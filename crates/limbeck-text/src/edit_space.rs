use std::sync::Arc;

use rand::RngCore;

use crate::BoxError;
use crate::constraint::{Constraint, IndexConstraint, Reference};
use crate::edit::WordText;
use crate::transform::{EditKind, Transformation};

/// A transformation with its constraints: the texts that may follow a text.
#[derive(Clone)]
pub struct EditSpace {
    /// Makes candidates.
    pub transformation: Arc<dyn Transformation>,
    /// Say which words may be edited; a word has to please all.
    pub index_constraints: Vec<Arc<dyn IndexConstraint>>,
    /// Say which candidates are kept, asked in this order.
    pub constraints: Vec<Arc<dyn Constraint>>,
}

impl EditSpace {
    /// The words of `current` that may be edited, ascending.
    pub fn editable(&self, current: &WordText) -> Vec<usize> {
        let allowed = |&index: &usize| {
            let mut constraints = self.index_constraints.iter();
            constraints.all(|constraint| constraint.allows(current, index))
        };
        (0..current.word_count()).filter(allowed).collect()
    }

    /// The texts one edit of `current` away at the words `indices` (`None`: at all) that please every constraint, in the
    /// order in which they were made.
    ///
    /// Words that may not be edited are left out; so are candidates equal to `current`.
    pub fn candidates(
        &self,
        current: &WordText,
        original: &WordText,
        indices: Option<&[usize]>,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, BoxError> {
        let mut editable = self.editable(current);
        if let Some(indices) = indices {
            editable.retain(|index| indices.contains(index));
        }
        let mut candidates = self.transformation.candidates(current, &editable, rng)?;
        candidates.retain(|candidate| candidate.text() != current.text());
        for constraint in &self.constraints {
            if candidates.is_empty() {
                break;
            }
            let reference = match constraint.reference() {
                Reference::Original => original,
                Reference::Current => current,
            };
            candidates = judge(&**constraint, reference, candidates)?;
        }
        Ok(candidates)
    }
}

/// The candidates that `constraint` keeps, in order.
fn judge(
    constraint: &dyn Constraint,
    reference: &WordText,
    candidates: Vec<WordText>,
) -> Result<Vec<WordText>, BoxError> {
    let judged = |candidate: &WordText| {
        !constraint.judges_swaps_only() || candidate.last_edit == Some(EditKind::Swap)
    };
    let is_judged: Vec<bool> = candidates.iter().map(judged).collect();
    let mut asked = Vec::with_capacity(candidates.len());
    let mut passed = Vec::new();
    for (candidate, is_judged) in candidates.into_iter().zip(&is_judged) {
        if *is_judged {
            asked.push(candidate);
        } else {
            passed.push(candidate);
        }
    }
    let verdicts = constraint.allows(reference, &mut asked)?;
    let mut asked = asked.into_iter().zip(verdicts);
    let mut passed = passed.into_iter();
    let kept = is_judged.iter().filter_map(|&is_judged| {
        if is_judged {
            let (candidate, verdict) = asked.next()?;
            verdict.then_some(candidate)
        } else {
            passed.next()
        }
    });
    Ok(kept.collect())
}
