//! How a batch becomes gradients: one forward and one backward pass, or a method of its own.

mod gan_bert;
mod plain;

use candle_core::Tensor;
use limbeck_model::{Batch, Needs, Output, SentenceClassifier};
use limbeck_ops::{Parameter, Pass, backward, mix64};
use limbeck_text::Label;
use serde::{Deserialize, Serialize};

pub use gan_bert::{
    GanBert, GanBertConfig, GanLosses, GanPasses, GanUpdates, Generator, losses as gan_losses,
};
pub use plain::Plain;

use crate::TrainError;
use crate::group::{Group, Updates};
use crate::objective::{Given, Pair, Terms};
use crate::teacher::Signal;
use crate::train::{Run, StepKeys, StepLoss};

/// How a batch becomes gradients.
pub trait Step {
    /// Name in a run file.
    fn name(&self) -> &'static str;

    /// What it needs of student and teacher beside what the objectives need.
    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

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
    pub(crate) fn new(
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
            labels: rows.iter().map(|&row| run.train.labels()[row]).collect(),
            ids: rows.iter().map(|&row| run.train.ids()[row]).collect(),
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

    /// What objectives and step need beside logits.
    pub fn needs(&self) -> Needs {
        self.run.objective.needs().union(self.run.step.needs())
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
            Some(teacher) if run.objective.needs_teacher() || run.step.needs_teacher() => {
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
        let given = Given {
            labels: &self.labels,
            ids: &self.ids,
            starts: &self.batch.starts,
            epoch: self.keys.epoch,
            pass,
        };
        self.run.objective.loss(output, signal, given)
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
    /// GAN-BERT: a generator against the model's head, a discriminator; learns from unlabelled examples too.
    GanBert(GanBertConfig),
}

impl StepConfig {
    /// The step for a pair of models.
    pub fn build(&self, pair: &Pair<'_>) -> Result<Box<dyn Step>, TrainError> {
        Ok(match self {
            Self::Plain => Box::new(Plain),
            Self::GanBert(config) => Box::new(GanBert::new(*config, pair)?),
        })
    }

    /// The student with what the step trains of it, such as a head of another kind; before [`StepConfig::build`].
    pub fn prepare(
        &self,
        student: SentenceClassifier,
        seed: u64,
    ) -> Result<SentenceClassifier, TrainError> {
        match self {
            Self::Plain => Ok(student),
            Self::GanBert(config) => config.prepare(&student, seed),
        }
    }
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
