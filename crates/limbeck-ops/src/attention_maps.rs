//! What a layer attends to, packed as its sentences are.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use crate::access::with_data;
use crate::{Starts, plain};

/// Attention scores of one layer: sentence after sentence, `[heads, T, T]` each, `T` the sentence's own length.
///
/// No entry belongs to padding, so a mean over `scores` is a mean over valid pairs.
#[derive(Debug, Clone)]
pub struct AttentionMaps {
    /// Before the softmax, scaled, with a relative bias where there is one; `[heads · Σ T²]`.
    pub scores: Tensor,
    /// Where sentences begin.
    pub starts: Starts,
    /// Number of heads.
    pub heads: usize,
}

impl AttentionMaps {
    /// After the softmax, before dropout; laid out like the scores.
    pub fn probabilities(&self) -> Result<Tensor> {
        plain::packed_softmax(&self.scores, &self.starts, self.heads)
    }

    /// One sentence's part of a tensor laid out like the scores: `[heads, T, T]`.
    pub fn of_sentence(&self, packed: &Tensor, sentence: usize) -> Result<Tensor> {
        let areas = self.starts.lengths().map(|t| self.heads * t * t);
        let first: usize = areas.take(sentence).sum();
        let length = self.starts.lengths().nth(sentence).unwrap_or(0);
        packed
            .narrow(0, first, self.heads * length * length)?
            .reshape((self.heads, length, length))
    }

    /// The same on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            scores: self.scores.to_device(device)?,
            ..self.clone()
        })
    }
}

/// Scores on their way out of a fused layer, and their gradient on its way back in.
///
/// An operation has one result. The scores are therefore a second operation on the layer's result, which passes no
/// gradient on to that but leaves its own here; the backward pass reaches it before the layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Flow>>);

#[derive(Debug, Default)]
struct Flow {
    scores: Vec<f32>,
    gradient: Option<Vec<f32>>,
}

impl Tap {
    pub(crate) fn put_scores(&self, scores: Vec<f32>) {
        self.flow(|flow| flow.scores = scores);
    }

    /// The gradient left by this backward pass, if it came by.
    pub(crate) fn take_gradient(&self) -> Option<Vec<f32>> {
        self.flow(|flow| flow.gradient.take())
    }

    /// The scores of the layer that gave `y`.
    pub(crate) fn scores(&self, y: &Tensor) -> Result<Tensor> {
        if y.track_op() {
            return y.apply_op1(ScoresOf(self.clone()));
        }
        let scores = self.flow(|flow| std::mem::take(&mut flow.scores));
        Tensor::new(scores, &Device::Cpu)
    }

    fn flow<R>(&self, work: impl FnOnce(&mut Flow) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct ScoresOf(Tap);

impl CustomOp1 for ScoresOf {
    fn name(&self) -> &'static str {
        "attention-scores"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = self.0.flow(|flow| std::mem::take(&mut flow.scores));
        let shape = scores.len().into();
        Ok((CpuStorage::F32(scores), shape))
    }

    fn bwd(&self, y: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = with_data(gradient, |gradient| Ok(gradient.to_vec()))?;
        self.0.flow(|flow| flow.gradient = Some(gradient));
        Ok(Some(y.zeros_like()?))
    }
}
