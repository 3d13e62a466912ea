//! AD²: adversarial data augmentation for distillation.

use candle_core::Tensor;
use limbeck_model::{Needs, Output};
use limbeck_ops::{Learning, Pass, backward_to_inputs};
use serde::{Deserialize, Serialize};

use super::ascent::{
    DeltaConfig, StartConfig, above_zero, at_least_one, not_negative, perturbation_key,
};
use super::embedded::Embedded;
use super::one_pass::OnePass;
use super::perturbation::Perturbation;
use super::{Lesson, Step, scalar, values};
use crate::TrainError;
use crate::objective::{HardLabels, Objective, SoftReduction, SoftTargets, Terms};
use crate::teacher::Signal;
use crate::train::{Run, StepLoss};

/// Settings of the step `ad2`; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ad2Config {
    /// Weight α of the adversarial loss beside the objectives, 0 or more.
    pub weight: f64,
    /// What perturbed sentences are to give: the `teacher`'s outputs, or the `labels` (the paper's "-KD").
    pub target: AdversarialTarget,
    /// Temperature of the teacher's distribution, above 0.
    pub temperature: f64,
    /// As in `soft-targets`.
    pub reduction: SoftReduction,
    /// What the perturbation may be.
    pub delta: DeltaConfig,
    /// Where it starts.
    pub start: StartConfig,
    /// Steps of ascent, 1 or more.
    pub steps: usize,
    /// Dropout of the adversarial pass: `another` mask, or the `same` as in the clean one.
    pub dropout: Masks,
    /// What learns from hidden states and attention: the `clean` sentences, or `both`.
    pub maps: Maps,
}

impl Default for Ad2Config {
    fn default() -> Self {
        Self {
            weight: 1.0,
            target: AdversarialTarget::Teacher,
            temperature: 1.0,
            reduction: SoftReduction::BatchMean,
            delta: DeltaConfig::AsPrinted,
            start: StartConfig::Zero,
            steps: 1,
            dropout: Masks::Another,
            maps: Maps::Clean,
        }
    }
}

/// What perturbed sentences are to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialTarget {
    /// The teacher's outputs for the sentences as they were.
    Teacher,
    /// The gold labels.
    Labels,
}

/// Dropout of several passes in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masks {
    /// Each pass has masks of its own, as repeated calls of a network in PyTorch's training mode.
    Another,
    /// All passes share one.
    Same,
}

/// Which sentences objectives on hidden states and attention see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maps {
    /// The sentences as they are.
    Clean,
    /// Perturbed ones too, against the teacher's states of the sentences as they are.
    Both,
}

/// The run's objectives on each sentence, and the target's loss on a perturbed copy of it (Zhang et al. 2022,
/// eq. 2 and 3, algorithm 1).
///
/// `L = L(S(E)) + α φ(S(E + δ))`, `δ = argmax over ‖δ‖ ≤ ε of φ(S(E + δ))`: `E` is the sum of embeddings before norm
/// and dropout (a BiLSTM's word embeddings), `φ` the divergence from the teacher's `T(x)`, in a regression
/// the squared error. `δ` climbs `steps` times by projected gradient ascent, is held constant for the
/// parameters, and reaches special tokens too.
///
/// From `δ = 0` the first gradient comes from the clean sentences' graph, so one step of ascent costs no forward pass:
/// from a second backward pass, or, in a regression and with two labels where the objectives depend on the logits'
/// difference alone, from the same one, since the gradients by a sentence's embeddings are multiples of each other.
pub struct Ad2 {
    config: Ad2Config,
    target: Box<dyn Objective>,
}

/// A forward pass and the leaf that it starts from.
struct Traced {
    leaf: Tensor,
    output: Output,
}

impl Ad2 {
    /// For a classifier, or a regression.
    pub fn new(config: Ad2Config, regression: bool) -> Result<Self, TrainError> {
        not_negative("step.ad2.weight", config.weight)?;
        above_zero("step.ad2.temperature", config.temperature)?;
        at_least_one("step.ad2.steps", config.steps)?;
        config.delta.check()?;
        config.start.check()?;
        Ok(Self {
            config,
            target: match config.target {
                AdversarialTarget::Labels => Box::new(HardLabels { regression }),
                AdversarialTarget::Teacher => Box::new(SoftTargets {
                    temperature: config.temperature,
                    reduction: config.reduction.into(),
                    regression,
                }),
            },
        })
    }

    /// The lesson's perturbation by forward passes of its own; what the step finds with fewer. `None` where the
    /// settings ask for none.
    pub fn perturbation(&self, lesson: &Lesson<'_>) -> Result<Option<Perturbation>, TrainError> {
        let embedded = Embedded::new(lesson)?;
        self.climb(&embedded, lesson, lesson.signal()?.as_ref(), None)
    }

    /// `∂φ/∂δ` at `delta` under the dropout of the given ascent step, for each sentence's own `φ`.
    pub fn gradient_at(
        &self,
        lesson: &Lesson<'_>,
        delta: &Perturbation,
        step: usize,
    ) -> Result<Perturbation, TrainError> {
        let embedded = Embedded::new(lesson)?;
        let signal = lesson.signal()?;
        let at = self.trace(&embedded, lesson, delta, step)?;
        self.gradient(&embedded, lesson, signal.as_ref(), &at)
    }

    /// Whether the first gradient of the ascent is that at `δ = 0`.
    fn begins_with_clean(&self) -> bool {
        self.config.delta.ascent().is_some() && self.config.start == StartConfig::Zero
    }

    /// Learns from the clean sentences. Returns the objectives, each one's own value, and `∂φ/∂δ` at `δ = 0` where the
    /// ascent begins with it.
    fn learn_clean(
        &self,
        embedded: &mut Embedded<'_>,
        lesson: &Lesson<'_>,
        signal: Option<&Signal>,
        clean: &Traced,
    ) -> Result<(Tensor, Terms, Option<Perturbation>), TrainError> {
        let (pass, parameters) = (lesson.pass(), lesson.parameters());
        if self.begins_with_clean()
            && let Some(one_pass) =
                OnePass::new(lesson, &*self.target, &clean.output, signal, &pass)?
        {
            let surrogate = one_pass.surrogate(&clean.output)?;
            let mut store = lesson.backward(&surrogate, &parameters)?;
            let gradient = embedded.gradient(&clean.leaf, &store)?;
            let gradient = one_pass.other(gradient, lesson.share);
            embedded.collect(&clean.leaf, &mut store)?;
            return Ok((one_pass.loss, one_pass.terms, Some(gradient)));
        }
        let (loss, terms) = lesson.objectives(&clean.output, signal, &pass)?;
        let begins = self.begins_with_clean();
        let gradient = begins.then(|| self.gradient(embedded, lesson, signal, clean));
        let gradient = gradient.transpose()?;
        embedded.collect(&clean.leaf, &mut lesson.backward(&loss, &parameters)?)?;
        Ok((loss, terms, gradient))
    }

    /// Ascent from the start; `clean`: the gradient at `δ = 0`, where it is known.
    fn climb(
        &self,
        embedded: &Embedded<'_>,
        lesson: &Lesson<'_>,
        signal: Option<&Signal>,
        mut clean: Option<Perturbation>,
    ) -> Result<Option<Perturbation>, TrainError> {
        let Some(ascent) = self.config.delta.ascent() else {
            return Ok(None);
        };
        let start = self.config.start;
        let key = perturbation_key(lesson);
        let mut delta = start.draw(&lesson.batch, embedded.width()?, key);
        for step in 0..self.config.steps {
            let gradient = if let Some(clean) = clean.take() {
                clean
            } else {
                let at = self.trace(embedded, lesson, &delta, step)?;
                self.gradient(embedded, lesson, signal, &at)?
            };
            ascent.step(&mut delta, gradient);
        }
        Ok(Some(delta))
    }

    /// A forward pass that nothing learns from.
    fn trace(
        &self,
        embedded: &Embedded<'_>,
        lesson: &Lesson<'_>,
        delta: &Perturbation,
        step: usize,
    ) -> Result<Traced, TrainError> {
        let leaf = embedded.leaf(Some(delta))?;
        let pass = Pass {
            learning: Learning::Off,
            ..self.pass(lesson, step)
        };
        let output = embedded.forward(&leaf, Needs::NOTHING, &pass)?;
        Ok(Traced { leaf, output })
    }

    fn gradient(
        &self,
        embedded: &Embedded<'_>,
        lesson: &Lesson<'_>,
        signal: Option<&Signal>,
        at: &Traced,
    ) -> Result<Perturbation, TrainError> {
        let given = lesson.pass();
        let mean = self.target.loss(&at.output, signal, lesson.given(&given))?;
        let sum = (mean * lesson.batch.len() as f64)?;
        embedded.gradient(&at.leaf, &backward_to_inputs(&sum)?)
    }

    /// The pass after `step` steps of ascent; the clean one is number 0.
    fn pass(&self, lesson: &Lesson<'_>, step: usize) -> Pass {
        match self.config.dropout {
            Masks::Another if step > 0 => lesson.another_pass(step as u64),
            _ => lesson.pass(),
        }
    }

    /// The adversarial loss, before its weight.
    fn loss(
        &self,
        lesson: &Lesson<'_>,
        output: &Output,
        signal: Option<&Signal>,
        pass: &Pass,
    ) -> Result<Tensor, TrainError> {
        let given = lesson.given(pass);
        let mut loss = self.target.loss(output, signal, given)?;
        if self.config.maps == Maps::Both
            && let Some(maps) = lesson.run.objective.loss_of_maps(output, signal, given)?
        {
            loss = (loss + maps)?;
        }
        Ok(loss)
    }
}

impl Step for Ad2 {
    fn name(&self) -> &'static str {
        "ad2"
    }

    fn needs_teacher(&self) -> bool {
        self.config.target == AdversarialTarget::Teacher
    }

    fn check(&self, run: &Run<'_>) -> Result<(), TrainError> {
        if self.needs_teacher() && run.teacher.is_none() {
            return Err(TrainError::NoTeacher {
                objective: self.name(),
            });
        }
        if self.config.maps == Maps::Both && run.objective.needs() == Needs::NOTHING {
            return Err(TrainError::Setting {
                setting: "step.ad2.maps",
                found: "both, but no objective on hidden states or attention".into(),
                expected: "such an objective, or clean".into(),
            });
        }
        Ok(())
    }

    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError> {
        let signal = lesson.signal()?;
        let signal = signal.as_ref();
        let parameters = lesson.parameters();
        let mut embedded = Embedded::new(lesson)?;

        let pass = lesson.pass();
        let leaf = embedded.leaf(None)?;
        let output = embedded.forward(&leaf, lesson.needs(), &pass)?;
        let clean = Traced { leaf, output };
        let (loss, terms, gradient) = self.learn_clean(&mut embedded, lesson, signal, &clean)?;
        let mut sum = StepLoss {
            loss: scalar(&loss)?,
            terms: values(terms)?.into_iter().collect(),
            tokens: lesson.batch.ids.len(),
        };
        drop((clean, loss));
        let delta = self.climb(&embedded, lesson, signal, gradient)?;

        let pass = self.pass(lesson, self.config.steps);
        let leaf = embedded.leaf(delta.as_ref())?;
        let needs = match self.config.maps {
            Maps::Clean => Needs::NOTHING,
            Maps::Both => lesson.needs(),
        };
        let output = embedded.forward(&leaf, needs, &pass)?;
        let loss = self.loss(lesson, &output, signal, &pass)?;
        let weighted = (&loss * self.config.weight)?;
        embedded.collect(&leaf, &mut lesson.backward(&weighted, &parameters)?)?;
        embedded.finish(&parameters)?;
        let adversarial = scalar(&loss)?;
        sum.loss += self.config.weight * adversarial;
        sum.terms.insert("adversarial", adversarial);
        Ok(sum)
    }
}
