mod config;
mod resources;

use std::sync::Arc;

use rand::{Rng, RngCore};

use crate::BoxError;
use crate::constraint::{Constraint, IndexConstraint, Reference};
use crate::edit::WordText;
use crate::transform::{Edit, EditKind, Transformation, keep_first_of_each};

pub use config::EditSpaceConfig;
pub use resources::{Resource, Resources};

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
    /// The words of `current` that the transformation, or any of its members, may edit; ascending.
    pub fn editable(&self, current: &WordText) -> Vec<usize> {
        let kinds = kinds(&*self.transformation);
        let allowed = |&index: &usize| kinds.iter().any(|&kind| self.allows(current, index, kind));
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
        let mut candidates = self.unfiltered(current, indices, rng)?;
        candidates.retain(|candidate| candidate.text() != current.text());
        self.filtered(current, original, candidates)
    }

    /// The texts one edit of `current` away, before the candidate constraints; may hold `current` itself.
    pub(crate) fn unfiltered(
        &self,
        current: &WordText,
        indices: Option<&[usize]>,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, BoxError> {
        let edits = self.edits(current, indices, rng)?;
        let mut candidates = edits.iter().map(|edit| edit.apply(current)).collect();
        if !self.transformation.members().is_empty() {
            keep_first_of_each(&mut candidates);
        }
        Ok(candidates)
    }

    /// Those of `candidates` that please every constraint, in order.
    pub(crate) fn filtered(
        &self,
        current: &WordText,
        original: &WordText,
        mut candidates: Vec<WordText>,
    ) -> Result<Vec<WordText>, BoxError> {
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

    /// One of the texts that `edits` make of `current` that pleases every constraint and `accept`, each as likely as the other;
    /// `None` where there is none.
    ///
    /// Edits are drawn and carried out one by one until one holds, which gives the same distribution as a draw from all that
    /// hold, without making them.
    pub(crate) fn draw(
        &self,
        edits: &[Edit],
        current: &WordText,
        original: &WordText,
        accept: impl Fn(&WordText) -> bool,
        rng: &mut dyn RngCore,
    ) -> Result<Option<WordText>, BoxError> {
        let is_composite = !self.transformation.members().is_empty();
        let mut left: Vec<usize> = (0..edits.len()).collect();
        while !left.is_empty() {
            let drawn = left.swap_remove(rng.random_range(0..left.len()));
            let edit = &edits[drawn];
            let is_repeat = || {
                let mut before = edits[..drawn].iter();
                before.any(|other| other.gives_same_text(edit, current))
            };
            // A composite gives each text once, so a text made in two ways must not be twice as likely.
            if is_composite && is_repeat() {
                continue;
            }
            let candidate = edit.apply(current);
            if !accept(&candidate) {
                continue;
            }
            let kept = self.filtered(current, original, vec![candidate])?;
            if let Some(candidate) = kept.into_iter().next() {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// The edits of `current` at the words `indices` that may be edited (`None`: at all), not yet judged.
    pub(crate) fn edits(
        &self,
        current: &WordText,
        indices: Option<&[usize]>,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let mut edits = Vec::new();
        self.edits_of(&*self.transformation, current, indices, rng, &mut edits)?;
        Ok(edits)
    }

    /// Each member of a composite has its own kind of edit, and so its own editable words.
    fn edits_of(
        &self,
        transformation: &dyn Transformation,
        current: &WordText,
        indices: Option<&[usize]>,
        rng: &mut dyn RngCore,
        edits: &mut Vec<Edit>,
    ) -> Result<(), BoxError> {
        for member in transformation.members() {
            self.edits_of(&**member, current, indices, rng, edits)?;
        }
        if transformation.members().is_empty() {
            let kind = transformation.kind();
            let mut editable: Vec<usize> = (0..current.word_count()).collect();
            editable.retain(|&index| self.allows(current, index, kind));
            if let Some(indices) = indices {
                editable.retain(|index| indices.contains(index));
            }
            edits.extend(transformation.edits(current, &editable, rng)?);
        }
        Ok(())
    }

    fn allows(&self, current: &WordText, index: usize, kind: Option<EditKind>) -> bool {
        let mut constraints = self.index_constraints.iter();
        constraints.all(|constraint| {
            let is_exempt = constraint.judges_swaps_only() && kind != Some(EditKind::Swap);
            is_exempt || constraint.allows(current, index)
        })
    }
}

/// The kinds of edit of a transformation's members, or its own.
fn kinds(transformation: &dyn Transformation) -> Vec<Option<EditKind>> {
    let members = transformation.members();
    if members.is_empty() {
        return vec![transformation.kind()];
    }
    members.iter().flat_map(|member| kinds(&**member)).collect()
}

/// The candidates that `constraint` keeps, in order.
fn judge(
    constraint: &dyn Constraint,
    reference: &WordText,
    candidates: Vec<WordText>,
) -> Result<Vec<WordText>, BoxError> {
    let is_judged = |candidate: &WordText| {
        !constraint.judges_swaps_only() || candidate.last_edit == Some(EditKind::Swap)
    };
    let (mut asked, mut rest) = (Vec::with_capacity(candidates.len()), Vec::new());
    for (place, candidate) in candidates.into_iter().enumerate() {
        if is_judged(&candidate) {
            asked.push((place, candidate));
        } else {
            rest.push((place, candidate));
        }
    }
    let (places, mut asked): (Vec<usize>, Vec<WordText>) = asked.into_iter().unzip();
    let verdicts = constraint.allows(reference, &mut asked)?;
    debug_assert_eq!(verdicts.len(), asked.len(), "one verdict per candidate");
    let kept = asked.into_iter().zip(verdicts).zip(places);
    rest.extend(
        kept.filter_map(|((candidate, verdict), place)| verdict.then_some((place, candidate))),
    );
    rest.sort_by_key(|(place, _)| *place);
    Ok(rest.into_iter().map(|(_, candidate)| candidate).collect())
}
