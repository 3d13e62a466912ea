//! What a student learns from: a model at hand, or its outputs stored before.

use candle_core::{Device, Tensor};
use limbeck_model::{Needs, SentenceClassifier};
use limbeck_ops::Pass;

use crate::TrainError;
use crate::data::EncodedSet;

/// A teacher's outputs for a batch, cut off from the graph.
#[derive(Debug, Clone)]
pub struct Signal {
    /// `[B, C]`.
    pub logits: Tensor,
    /// Embedding output and each layer's, `[N, H]` or first tokens `[B, H]`; empty unless needed.
    pub hidden: Vec<Tensor>,
    /// Each layer's attention; empty unless needed.
    pub attention: Vec<limbeck_ops::AttentionMaps>,
}

impl Signal {
    /// The same on another device, where the student computes; a stored teacher's lie on the CPU.
    pub(crate) fn on(self, device: &Device) -> Result<Self, TrainError> {
        let moved = |tensor: Tensor| tensor.to_device(device);
        Ok(Self {
            logits: moved(self.logits)?,
            hidden: self
                .hidden
                .into_iter()
                .map(moved)
                .collect::<Result<_, _>>()?,
            attention: self
                .attention
                .into_iter()
                .map(|maps| maps.to_device(device))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// A source of signals, addressed by row of the training set.
///
/// Rows and not tokens: the teacher reads the raw text with its own tokenizer, which need not be
/// the student's.
pub trait Teacher {
    /// What it can give beside logits.
    fn provides(&self) -> Needs;

    /// Its outputs for the examples at `rows`.
    fn signal(&self, rows: &[usize], needs: Needs) -> Result<Signal, TrainError>;

    /// The training set as it reads it, where it gives states or attention of all tokens.
    fn reads(&self) -> Option<&EncodedSet> {
        None
    }
}

/// A model that answers when asked, without dropout and without gradients.
pub struct LiveTeacher {
    model: SentenceClassifier,
    set: EncodedSet,
}

impl LiveTeacher {
    /// `set` is the training set as the teacher's own tokenizer cuts it.
    pub fn new(model: SentenceClassifier, set: EncodedSet) -> Self {
        Self { model, set }
    }
}

impl Teacher for LiveTeacher {
    fn provides(&self) -> Needs {
        self.model.provides()
    }

    fn signal(&self, rows: &[usize], needs: Needs) -> Result<Signal, TrainError> {
        let output = self
            .model
            .forward(&self.set.batch(rows), needs, &Pass::EVALUATE)?;
        Ok(Signal {
            logits: output.logits,
            hidden: output.hidden,
            attention: output.attention,
        })
    }

    fn reads(&self) -> Option<&EncodedSet> {
        Some(&self.set)
    }
}

/// The signal, or an error that names the objective that needs it.
pub(crate) fn required<'a>(
    teacher: Option<&'a Signal>,
    objective: &'static str,
) -> Result<&'a Signal, TrainError> {
    teacher.ok_or(TrainError::NoTeacher { objective })
}
