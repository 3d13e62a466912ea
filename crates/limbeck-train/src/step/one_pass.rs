//! One backward pass for two losses.

use candle_core::{DType, Tensor, Var};
use limbeck_model::{Needs, Output, Target};
use limbeck_ops::Pass;

use super::Lesson;
use super::perturbation::{Perturbation, Span};
use crate::TrainError;
use crate::objective::{Objective, Terms};
use crate::teacher::Signal;

/// Gradients smaller than this may vanish on their way down.
const LEAST: f64 = 1e-18;

/// The objectives' gradient, and what makes another loss's of it.
///
/// Where the gradients of two losses by a sentence's outputs are multiples of each other, so are those by everything
/// below. That is so in a regression, and with two labels where both losses depend on the difference of the logits
/// alone.
pub(super) struct OnePass {
    /// The objectives' weighted sum.
    pub(super) loss: Tensor,
    /// Each objective's own value.
    pub(super) terms: Terms,
    /// `∂L/∂logits`, `[B, C]`.
    gradient: Tensor,
    /// For each sentence, `∂φ/∂logits` divided by `∂L/∂logits`.
    factors: Vec<f64>,
}

impl OnePass {
    /// The objectives as `L`, and `target` summed over sentences as `φ`; `None` where the two need a pass each.
    pub(super) fn new(
        lesson: &Lesson<'_>,
        target: &dyn Objective,
        output: &Output,
        signal: Option<&Signal>,
        pass: &Pass,
    ) -> Result<Option<Self>, TrainError> {
        if !depend_on_one_number(lesson, target) {
            return Ok(None);
        }
        let leaf = Var::from_tensor(&output.logits.detach())?.into_inner();
        let at = Output {
            logits: leaf.clone(),
            ..output.clone()
        };
        let (loss, terms) = lesson.objectives(&at, signal, pass)?;
        let other = (target.loss(&at, signal, lesson.given(pass))? * lesson.batch.len() as f64)?;
        let (ours, theirs) = (slopes(&loss, &leaf)?, slopes(&other, &leaf)?);
        let factors: Option<Vec<f64>> = ours.iter().zip(&theirs).map(factor).collect();
        let Some(factors) = factors else {
            return Ok(None);
        };
        let (shape, device) = (leaf.shape(), leaf.device());
        let rows = ours.iter().flat_map(|&slope| match leaf.dims()[1] {
            1 => vec![slope],
            _ => vec![-slope, slope],
        });
        let gradient = Tensor::from_vec(rows.collect::<Vec<f64>>(), shape, device)?;
        Ok(Some(Self {
            gradient: gradient.to_dtype(leaf.dtype())?,
            loss: loss.detach(),
            terms,
            factors,
        }))
    }

    /// What the objectives' gradients come from by a backward pass, in place of their sum.
    pub(super) fn surrogate(&self, output: &Output) -> Result<Tensor, TrainError> {
        Ok((&output.logits * &self.gradient)?.sum_all()?)
    }

    /// `φ`'s gradient by the embeddings, from that of `share` times `L`.
    pub(super) fn other(&self, mut gradient: Perturbation, share: f64) -> Perturbation {
        gradient.scale(Span::Sentence, |sentence, _| self.factors[sentence] / share);
        gradient
    }
}

fn depend_on_one_number(lesson: &Lesson<'_>, target: &dyn Objective) -> bool {
    let objectives = &lesson.run.objective;
    let logits_alone = lesson.needs() == Needs::NOTHING && objectives.parameters().is_empty();
    let one_number = match lesson.student.target() {
        Target::Regression => true,
        Target::Labels(labels) => {
            labels.len() == 2
                && target.ignores_shifts()
                && objectives.objectives().all(Objective::ignores_shifts)
        }
    };
    logits_alone && one_number
}

/// A loss's derivative by each sentence's one output, or by half the difference of its two.
fn slopes(loss: &Tensor, leaf: &Tensor) -> Result<Vec<f64>, TrainError> {
    let Some(gradient) = loss.backward()?.remove(leaf) else {
        return Ok(vec![0.0; leaf.dim(0)?]);
    };
    let rows = gradient.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let slope = |row: Vec<f64>| match row[..] {
        [first, second] => (second - first) / 2.0,
        _ => row[0],
    };
    Ok(rows.into_iter().map(slope).collect())
}

fn factor((&ours, &theirs): (&f64, &f64)) -> Option<f64> {
    if theirs == 0.0 {
        return Some(0.0);
    }
    (ours.abs() >= LEAST).then(|| theirs / ours)
}
