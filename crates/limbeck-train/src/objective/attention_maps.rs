use candle_core::Tensor;
use limbeck_model::{Needs, Output};
use limbeck_ops::loss::{attention_divergence, sum};
use serde::{Deserialize, Serialize};

use super::layers::{LayerMap, Transformers};
use super::{ATTENTION, Given, Objective, Pair, check_uncut};
use crate::TrainError;
use crate::config::TrainConfig;
use crate::teacher::{Signal, required};

const NAME: &str = "attention-maps";

/// Settings of `attention-maps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AttentionMapsConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `uniform` (layer 2m for half of the depth), `final`, or `{ pairs = [[1, 2]] }` of student's and teacher's layers.
    pub layers: LayerMap,
}

impl Default for AttentionMapsConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            layers: LayerMap::Uniform,
        }
    }
}

/// Deep distillation of attention: `KL(teacher ‖ student)` of the probabilities, mean over tokens and heads, summed over
/// layers (after `MobileBERT`, Sun et al. 2020; part of AD², whose paper gives no formula).
pub struct MatchedAttention(Vec<[usize; 2]>);

impl MatchedAttention {
    pub(crate) fn new(config: &AttentionMapsConfig, pair: &Pair<'_>) -> Result<Self, TrainError> {
        let both = Transformers::of(pair, NAME)?;
        both.check_heads(NAME)?;
        Ok(Self(config.layers.pairs(&both.depths(), 1)?))
    }
}

impl Objective for MatchedAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        ATTENTION
    }

    fn check(&self, config: &TrainConfig) -> Result<(), TrainError> {
        check_uncut(NAME, config)
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        _: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, NAME)?;
        Ok(sum(self.0.iter().map(|&[s, t]| {
            attention_divergence(&student.attention[s - 1], &teacher.attention[t - 1])
        }))?)
    }
}
