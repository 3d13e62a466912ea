//! The smoothness regulariser of SMART and ALUM.

use candle_core::{D, Tensor};
use limbeck_model::Needs;
use limbeck_ops::loss::{SquaredReduction, squared_error};
use limbeck_ops::{Learning, Pass, backward_to_inputs, plain};
use serde::{Deserialize, Serialize};

use super::ad2::Masks;
use super::ascent::{
    Ascent, Bound, StartConfig, above_zero, at_least_one, not_negative, perturbation_key,
};
use super::embedded::Embedded;
use super::perturbation::{Norm, Perturbation};
use super::{Lesson, Step, scalar, values};
use crate::TrainError;
use crate::train::StepLoss;

/// Settings of the step `smart`; the defaults are those of SMART's and ALUM's released code, with l2 for its norm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SmartConfig {
    /// Weight of the regulariser beside the objectives, 0 or more.
    pub weight: f64,
    /// Standard deviation of the random start, above 0.
    pub deviation: f64,
    /// Factor of the gradient, above 0.
    pub step_size: f64,
    /// The norm that is 1 for every token after a step: `l2` or `max`.
    pub norm: Norm,
    /// Steps of ascent, 1 or more.
    pub steps: usize,
    /// Which of the two predictions learns from their divergence.
    pub gradient: DivergenceGradient,
    /// Dropout of the perturbed passes: `another` mask for each, or the `same` as in the clean one.
    pub dropout: Masks,
}

impl Default for SmartConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            deviation: 1e-5,
            step_size: 1e-3,
            norm: Norm::L2,
            steps: 1,
            gradient: DivergenceGradient::Full,
            dropout: Masks::Another,
        }
    }
}

/// Where the gradient of a symmetric divergence flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DivergenceGradient {
    /// Through all of both predictions, as the formula says.
    Full,
    /// In each of the two divergences the target is held constant, as in the released code.
    FixedTargets,
}

/// The objectives, and the divergence between predictions for a sentence and a perturbed copy (Jiang et al. 2020, eq. 2;
/// Liu et al. 2020, eq. 3).
///
/// `R = λ · ℓ(S(E + δ), S(E))`, `ℓ(p, q) = KL(p‖q) + KL(q‖p)`, mean over the batch; in a regression
/// the squared difference. `δ₀ ~ N(0, deviation²)`, `δ ← (δ + step · g) / ‖δ + step · g‖` for each token, without
/// projection; `g` is the gradient of a sentence's own `ℓ`, with `S(E)` held constant.
pub struct Smart {
    config: SmartConfig,
    regression: bool,
}

impl Smart {
    /// For a classifier, or a regression.
    pub fn new(config: SmartConfig, regression: bool) -> Result<Self, TrainError> {
        not_negative("step.smart.weight", config.weight)?;
        above_zero("step.smart.deviation", config.deviation)?;
        above_zero("step.smart.step-size", config.step_size)?;
        at_least_one("step.smart.steps", config.steps)?;
        Ok(Self { config, regression })
    }

    /// The lesson's perturbation.
    pub fn perturbation(&self, lesson: &Lesson<'_>) -> Result<Perturbation, TrainError> {
        let embedded = Embedded::new(lesson)?;
        let clean = embedded.forward(&embedded.leaf(None)?, Needs::NOTHING, &lesson.pass())?;
        self.climb(&embedded, lesson, &clean.logits)
    }

    /// Ascent from a random start, away from the `clean` logits.
    fn climb(
        &self,
        embedded: &Embedded<'_>,
        lesson: &Lesson<'_>,
        clean: &Tensor,
    ) -> Result<Perturbation, TrainError> {
        let clean = clean.detach();
        let start = StartConfig::Normal {
            deviation: self.config.deviation,
        };
        let ascent = Ascent {
            step_size: self.config.step_size,
            bound: Bound::Unit(self.config.norm),
        };
        let mut delta = start.draw(&lesson.batch, embedded.width()?, perturbation_key(lesson));
        for step in 1..=self.config.steps {
            let leaf = embedded.leaf(Some(&delta))?;
            let pass = Pass {
                learning: Learning::Off,
                ..self.pass(lesson, step)
            };
            let perturbed = embedded.forward(&leaf, Needs::NOTHING, &pass)?.logits;
            let mean = self.divergence(&perturbed, &clean)?;
            let sum = (mean * lesson.batch.len() as f64)?;
            let gradient = embedded.gradient(&leaf, &backward_to_inputs(&sum)?)?;
            ascent.step(&mut delta, gradient);
        }
        Ok(delta)
    }

    /// Perturbed passes count from 1; the clean one is number 0.
    fn pass(&self, lesson: &Lesson<'_>, number: usize) -> Pass {
        match self.config.dropout {
            Masks::Another => lesson.another_pass(number as u64),
            Masks::Same => lesson.pass(),
        }
    }

    fn divergence(&self, perturbed: &Tensor, clean: &Tensor) -> Result<Tensor, TrainError> {
        Ok(if self.regression {
            // Not `squared_error` alone: its target is cut off from the graph.
            let difference = (perturbed - clean)?;
            squared_error(
                &difference,
                &difference.zeros_like()?,
                SquaredReduction::ElementMean,
            )?
        } else {
            symmetric_divergence(perturbed, clean)?
        })
    }

    fn regulariser(&self, perturbed: &Tensor, clean: &Tensor) -> Result<Tensor, TrainError> {
        match self.config.gradient {
            DivergenceGradient::Full => self.divergence(perturbed, clean),
            DivergenceGradient::FixedTargets if self.regression => {
                self.divergence(perturbed, clean)
            }
            DivergenceGradient::FixedTargets => Ok((plain::divergence(perturbed, clean, 1.0)?
                + plain::divergence(clean, perturbed, 1.0)?)?),
        }
    }
}

/// `KL(p‖q) + KL(q‖p) = Σ (p − q) · (log p − log q)`, mean over the batch, for `p` and `q` the softmax of the logits
/// `first` and `second`, `[B, C]`. Gradients flow to both.
pub fn symmetric_divergence(first: &Tensor, second: &Tensor) -> candle_core::Result<Tensor> {
    let probabilities = (plain::softmax(first)? - plain::softmax(second)?)?;
    let logarithms = (plain::log_softmax(first)? - plain::log_softmax(second)?)?;
    (probabilities * logarithms)?.sum(D::Minus1)?.mean_all()
}

impl Step for Smart {
    fn name(&self) -> &'static str {
        "smart"
    }

    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError> {
        let signal = lesson.signal()?;
        let parameters = lesson.parameters();
        let mut embedded = Embedded::new(lesson)?;
        let pass = lesson.pass();
        let leaf = embedded.leaf(None)?;
        let output = embedded.forward(&leaf, lesson.needs(), &pass)?;
        let (loss, terms) = lesson.objectives(&output, signal.as_ref(), &pass)?;

        let delta = self.climb(&embedded, lesson, &output.logits)?;
        let perturbed_leaf = embedded.leaf(Some(&delta))?;
        let pass = self.pass(lesson, self.config.steps + 1);
        let perturbed = embedded.forward(&perturbed_leaf, Needs::NOTHING, &pass)?;
        let regulariser = self.regulariser(&perturbed.logits, &output.logits)?;
        let loss = (loss + (&regulariser * self.config.weight)?)?;

        let mut store = lesson.backward(&loss, &parameters)?;
        embedded.collect(&leaf, &mut store)?;
        embedded.collect(&perturbed_leaf, &mut store)?;
        embedded.finish(&parameters)?;
        let mut sum = StepLoss {
            loss: scalar(&loss)?,
            terms: values(terms)?.into_iter().collect(),
            tokens: lesson.batch.ids.len(),
        };
        sum.terms.insert("smoothness", scalar(&regulariser)?);
        Ok(sum)
    }
}
