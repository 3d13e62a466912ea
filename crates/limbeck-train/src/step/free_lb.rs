//! FreeLB: free large-batch adversarial training.

use serde::{Deserialize, Serialize};

use super::ascent::{
    Ascent, Bound, StartConfig, above_zero, at_least_one, not_negative, perturbation_key,
};
use super::embedded::Embedded;
use super::perturbation::Span;
use super::{Lesson, Step, scalar, values};
use crate::TrainError;
use crate::train::StepLoss;

/// Settings of the step `free-lb`; the defaults are those published for SST-2.
///
/// Published for ALBERT-xxlarge (`steps`, `step-size`, `start-magnitude`; `max-norm` always 0): SST-2 2, 0.1, 0.6;
/// CoLA 3, 0.04, 0.05; MRPC 4, 0.03, 0; MNLI 3, 0.04, 0.08.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FreeLbConfig {
    /// Forward and backward passes of a step, K, 1 or more; one less than that moves the perturbation.
    pub steps: usize,
    /// Length of a move for a whole sentence, above 0 (`adv_lr`).
    pub step_size: f64,
    /// Size of the random start for a whole sentence, 0 or more (`init_mag`).
    pub start_magnitude: f64,
    /// Largest l2 norm for a whole sentence; 0 for no limit.
    pub max_norm: f64,
}

impl Default for FreeLbConfig {
    fn default() -> Self {
        Self {
            steps: 2,
            step_size: 0.1,
            start_magnitude: 0.6,
            max_norm: 0.0,
        }
    }
}

/// The objectives on perturbed sentences, K times in a step (Zhu et al. 2020, algorithm 1).
///
/// `δ₀ ~ U(−m, m) / √(L · H)` for a sentence of `L` tokens of width `H`; then K times: gradients of the parameters
/// at `E + δ`, averaged over K, and from the same backward pass
/// `δ ← Π(δ + s · g / ‖g‖₂)` over the sentence. All K passes share one dropout mask. `E` is the sum of embeddings
/// before norm and dropout: to perturb it is to perturb the word embeddings, as the paper does, except where
/// a linear layer stands between (students with reduced embeddings).
pub struct FreeLb {
    config: FreeLbConfig,
}

impl FreeLb {
    /// With checked settings.
    pub fn new(config: FreeLbConfig) -> Result<Self, TrainError> {
        at_least_one("step.free-lb.steps", config.steps)?;
        above_zero("step.free-lb.step-size", config.step_size)?;
        not_negative("step.free-lb.start-magnitude", config.start_magnitude)?;
        not_negative("step.free-lb.max-norm", config.max_norm)?;
        Ok(Self { config })
    }

    fn start(&self) -> StartConfig {
        match self.config.start_magnitude {
            0.0 => StartConfig::Zero,
            magnitude => StartConfig::Uniform { magnitude },
        }
    }

    fn ascent(&self) -> Ascent {
        Ascent {
            step_size: self.config.step_size,
            bound: Bound::Ball {
                over: Span::Sentence,
                radius: Some(self.config.max_norm).filter(|&radius| radius > 0.0),
            },
        }
    }
}

impl Step for FreeLb {
    fn name(&self) -> &'static str {
        "free-lb"
    }

    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError> {
        let signal = lesson.signal()?;
        let parameters = lesson.parameters();
        let mut embedded = Embedded::new(lesson)?;
        let pass = lesson.pass();
        let key = perturbation_key(lesson);
        let mut delta = self.start().draw(&lesson.batch, embedded.width()?, key);
        let share = 1.0 / self.config.steps as f64;
        let mut sum = StepLoss::default();
        for step in 1..=self.config.steps {
            let leaf = embedded.leaf(Some(&delta))?;
            let output = embedded.forward(&leaf, lesson.needs(), &pass)?;
            let (loss, terms) = lesson.objectives(&output, signal.as_ref(), &pass)?;
            let mut store = lesson.backward(&(&loss * share)?, &parameters)?;
            if step < self.config.steps {
                let gradient = embedded.gradient(&leaf, &store)?;
                self.ascent().step(&mut delta, gradient);
            }
            embedded.collect(&leaf, &mut store)?;
            let part = StepLoss {
                loss: scalar(&loss)?,
                terms: values(terms)?.into_iter().collect(),
                tokens: 0,
            };
            sum.add(part, share);
        }
        embedded.finish(&parameters)?;
        sum.tokens = lesson.batch.ids.len();
        Ok(sum)
    }
}
