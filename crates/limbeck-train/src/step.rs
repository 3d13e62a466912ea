//! How a batch becomes gradients: one forward and one backward pass, or a method of its own.

mod ad2;
mod ascent;
mod cilda;
mod embedded;
mod free_lb;
mod gan_bert;
mod mate_kd;
mod min_max;
mod one_pass;
mod perturbation;
mod plain;
mod smart;

use candle_core::Tensor;
use limbeck_model::{Batch, Needs, Output, SentenceClassifier, Target};
use limbeck_ops::{Parameter, Pass, backward, mix64};
use limbeck_text::Label;
use serde::{Deserialize, Serialize};

pub use ad2::{Ad2, Ad2Config, AdversarialTarget, Maps, Masks};
pub use ascent::{
    Ascent, BallConfig, Bound, DeltaConfig, FreeLbDeltaConfig, StartConfig, UnitConfig,
};
pub use cilda::CildaConfig;
pub use embedded::Embedded;
pub use free_lb::{FreeLb, FreeLbConfig};
pub use gan_bert::{
    GanBert, GanBertConfig, GanLosses, GanPasses, GanUpdates, Generator, losses as gan_losses,
};
pub use mate_kd::MateKdConfig;
pub use min_max::{
    Beside, Contrast, Contrasted, Divergence, DivergenceKind, GeneratorConfig,
    GeneratorModelConfig, Masked, MinMax, Passes, Whole, all_layers, contrastive_loss, cosines,
    gumbel,
};
pub use perturbation::{Norm, Perturbation, Span};
pub use plain::Plain;
pub use smart::{DivergenceGradient, Smart, SmartConfig, symmetric_divergence};

use crate::TrainError;
use crate::group::{Group, Updates};
use crate::objective::{
    Given, HardLabelsConfig, ObjectiveConfig, Pair, SoftReduction, SoftTargetsConfig, Terms,
};
use crate::teacher::Signal;
use crate::train::{Run, StepKeys, StepLoss};

/// How a batch becomes gradients.
pub trait Step {
    /// Name in a run file.
    fn name(&self) -> &'static str;

    /// Whether it learns from a teacher's outputs on the training set, even where no objective does.
    fn needs_teacher(&self) -> bool {
        false
    }

    /// Whether it can do with examples that have no label, whatever the objectives say.
    fn takes_unlabelled(&self) -> bool {
        false
    }

    /// What it trains beside the student and with the student's optimiser.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// What it trains with optimisers of their own.
    fn groups(&self) -> Vec<Group> {
        Vec::new()
    }

    /// Which groups the 0-based `step` changes: the student's is 0, then those of [`Step::groups`].
    fn updates(&self, _step: u64) -> Updates {
        Updates::All
    }

    /// Fails where the run cannot be trained in this way; before the first step.
    fn check(&self, _run: &Run<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Adds the gradients of the lesson's share of the step, and returns the lesson's own mean losses.
    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError>;
}

/// What a step learns from at once: a batch, or the part of it that fits the token budget.
pub struct Lesson<'a> {
    /// Who learns.
    pub student: &'a SentenceClassifier,
    /// Sets, objectives, teacher and settings.
    pub run: &'a Run<'a>,
    /// Rows of the training set.
    pub rows: &'a [usize],
    /// The rows' sentences, packed.
    pub batch: Batch,
    /// The part's share of the step's examples, in `(0, 1]`; gradients are scaled by it.
    pub share: f64,
    /// What randomness depends on.
    pub keys: StepKeys,
    labels: Vec<Option<Label>>,
    ids: Vec<u64>,
}

impl<'a> Lesson<'a> {
    /// `rows` of a step of `in_all` examples.
    pub fn new(
        student: &'a SentenceClassifier,
        run: &'a Run<'a>,
        rows: &'a [usize],
        in_all: usize,
        keys: StepKeys,
    ) -> Self {
        Self {
            student,
            run,
            rows,
            batch: run.train.batch(rows),
            share: rows.len() as f64 / in_all as f64,
            keys,
            labels: rows.iter().map(|&row| run.train.label(row)).collect(),
            ids: rows.iter().map(|&row| run.train.id(row)).collect(),
        }
    }

    /// Gold labels, one per example.
    pub fn labels(&self) -> &[Option<Label>] {
        &self.labels
    }

    /// Ids of the examples, which name their randomness.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// What the objectives need beside logits.
    pub fn needs(&self) -> Needs {
        self.run.objective.needs()
    }

    /// A training pass with the step's dropout.
    pub fn pass(&self) -> Pass {
        Pass::train(self.batch.dropout(self.keys.dropout))
    }

    /// A training pass with other dropout masks, told apart by `number`.
    pub fn another_pass(&self, number: u64) -> Pass {
        Pass::train(self.batch.dropout(mix64(self.keys.dropout ^ mix64(number))))
    }

    /// The teacher's outputs; `None` where nothing learns from them.
    pub fn signal(&self) -> Result<Option<Signal>, TrainError> {
        let run = self.run;
        let device = self.student.device();
        match run.teacher {
            Some(teacher) if run.needs_teacher() => {
                Ok(Some(teacher.signal(self.rows, self.needs())?.on(&device)?))
            }
            _ => Ok(None),
        }
    }

    /// The weighted sum of the objectives on `output`, and each one's own value.
    pub fn objectives(
        &self,
        output: &Output,
        signal: Option<&Signal>,
        pass: &Pass,
    ) -> Result<(Tensor, Terms), TrainError> {
        self.run.objective.loss(output, signal, self.given(pass))
    }

    /// What the batch brings to objectives beside outputs.
    pub fn given<'b>(&'b self, pass: &'b Pass) -> Given<'b> {
        Given {
            labels: &self.labels,
            ids: &self.ids,
            starts: &self.batch.starts,
            epoch: self.keys.epoch,
            pass,
        }
    }

    /// Backward from `loss`, scaled by the lesson's share; gradients end up in `parameters`.
    ///
    /// Returns the gradients of all other leaves.
    pub fn backward(
        &self,
        loss: &Tensor,
        parameters: &[Parameter],
    ) -> Result<candle_core::backprop::GradStore, TrainError> {
        Ok(backward(&(loss * self.share)?, parameters)?)
    }

    /// The parameters of the student, its objectives and its step.
    pub fn parameters(&self) -> Vec<Parameter> {
        let run = self.run;
        [
            self.student.parameters(),
            run.objective.parameters(),
            run.step.parameters(),
        ]
        .concat()
    }
}

/// How batches become gradients, in a run file: `step = "plain"`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StepConfig {
    /// One forward pass, the objectives, one backward pass.
    #[default]
    Plain,
    /// The objectives, and the teacher's outputs for adversarially perturbed copies.
    Ad2(Ad2Config),
    /// The objectives on perturbed sentences, several times in a step.
    FreeLb(FreeLbConfig),
    /// The objectives, and predictions that a perturbation does not change much.
    Smart(SmartConfig),
    /// Texts that a generator writes against the student (MATE-KD).
    MateKd(MateKdConfig),
    /// The same with a contrastive loss between all layers (CILDA).
    Cilda(CildaConfig),
    /// GAN-BERT: a generator against the model's head, a discriminator; learns from unlabelled examples too.
    GanBert(GanBertConfig),
}

impl StepConfig {
    /// Whether it learns from gold labels beside the objectives, so that every row of the training file has to have one.
    pub fn needs_labels(&self) -> bool {
        matches!(self, Self::Ad2(config) if config.target == AdversarialTarget::Labels)
    }

    /// Its name where it asks a teacher about texts that are not in the training set, one model only.
    pub fn looks_inside(&self) -> Option<&'static str> {
        match self {
            Self::MateKd(_) => Some("mate-kd"),
            Self::Cilda(_) => Some("cilda"),
            Self::Plain | Self::Ad2(_) | Self::FreeLb(_) | Self::Smart(_) | Self::GanBert(_) => {
                None
            }
        }
    }

    /// The step for a pair of models; fails where it needs more than these.
    pub fn build(&self, pair: &Pair<'_>) -> Result<Box<dyn Step>, TrainError> {
        self.build_with(pair, Beside::default())
    }

    /// The step for a pair of models and what is given beside them.
    pub fn build_with(
        &self,
        pair: &Pair<'_>,
        beside: Beside<'_>,
    ) -> Result<Box<dyn Step>, TrainError> {
        let regression = *pair.student.target() == Target::Regression;
        Ok(match self {
            Self::Plain => Box::new(Plain),
            Self::Ad2(config) => Box::new(Ad2::new(*config, regression)?),
            Self::FreeLb(config) => Box::new(FreeLb::new(*config)?),
            Self::Smart(config) => Box::new(Smart::new(*config, regression)?),
            Self::MateKd(config) => Box::new(config.build(pair, beside)?),
            Self::Cilda(config) => Box::new(config.build(pair, beside)?),
            Self::GanBert(config) => Box::new(GanBert::new(*config, pair)?),
        })
    }

    /// Whether it learns from rows without gold labels, whatever the objectives are.
    pub fn takes_unlabelled(&self) -> bool {
        matches!(self, Self::GanBert(_))
    }

    /// The student with what the step trains of it, such as a head of another kind; before [`StepConfig::build`].
    pub fn prepare(
        &self,
        student: SentenceClassifier,
        seed: u64,
    ) -> Result<SentenceClassifier, TrainError> {
        match self {
            Self::GanBert(config) => config.prepare(&student, seed),
            _ => Ok(student),
        }
    }

    /// The name of the masked language model that it needs beside the pair, if it does.
    pub fn generator(&self) -> Option<&str> {
        let generator = match self {
            Self::MateKd(config) => &config.generator,
            Self::Cilda(config) => &config.generator,
            Self::Plain | Self::Ad2(_) | Self::FreeLb(_) | Self::Smart(_) | Self::GanBert(_) => {
                return None;
            }
        };
        match generator {
            Some(GeneratorConfig::Model(model)) => Some(&model.from),
            _ => None,
        }
    }

    /// The objectives of a distillation that names none.
    pub fn usual_objectives(&self) -> Vec<ObjectiveConfig> {
        let (weight, temperature, divergence) = match self {
            // With the third on written texts: §3.2 of MATE-KD, §4.2 of CILDA.
            Self::MateKd(config) => (1.0 / 3.0, config.temperature, config.divergence),
            Self::Cilda(config) => (1.0 / 3.0, config.temperature, config.divergence),
            // Algorithm 1 of AD².
            Self::Ad2(config) => (1.0, config.temperature, DivergenceKind::Kl),
            Self::Plain | Self::FreeLb(_) | Self::Smart(_) | Self::GanBert(_) => {
                (0.5, 1.0, DivergenceKind::Kl)
            }
        };
        vec![
            ObjectiveConfig::SoftTargets(SoftTargetsConfig {
                weight,
                temperature,
                reduction: match divergence {
                    DivergenceKind::Kl => SoftReduction::BatchMean,
                    DivergenceKind::CrossEntropy => SoftReduction::CrossEntropy,
                },
            }),
            ObjectiveConfig::HardLabels(HardLabelsConfig { weight }),
        ]
    }
}

/// Fails on a setting that is not a number above 0.
pub(crate) fn above_zero(setting: &'static str, value: f64) -> Result<(), TrainError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(TrainError::Setting {
        setting,
        found: value.to_string(),
        expected: "a number above 0".into(),
    })
}

/// Scalars of the graph as numbers by name.
pub(crate) fn values(terms: Terms) -> Result<Vec<(&'static str, f64)>, TrainError> {
    let value = |(name, value): (&'static str, Tensor)| Ok((name, scalar(&value)?));
    terms.into_iter().map(value).collect()
}

/// A scalar of the graph as a number.
pub(crate) fn scalar(value: &Tensor) -> Result<f64, TrainError> {
    Ok(value
        .to_dtype(candle_core::DType::F64)?
        .to_scalar::<f64>()?)
}
