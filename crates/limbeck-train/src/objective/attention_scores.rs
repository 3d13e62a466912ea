use candle_core::Tensor;
use limbeck_model::{Needs, Output};
use limbeck_ops::loss::{squared_distance, sum};
use serde::{Deserialize, Serialize};

use super::layers::{LayerMap, Transformers};
use super::{ATTENTION, Given, MeanOver, Objective, Pair, check_mean};
use crate::TrainError;
use crate::config::TrainConfig;
use crate::teacher::{Signal, required};

const NAME: &str = "attention-scores";

/// Settings of `attention-scores`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AttentionScoresConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `uniform`, `final`, or `{ pairs = [[1, 2], [2, 4]] }` of student's and teacher's layers.
    pub layers: LayerMap,
    /// `valid`: mean over pairs of tokens of one sentence. `paper`: divided by the padded size, masked entries zero in both.
    pub mask: MeanOver,
    /// Length that `paper` pads to.
    pub padded_tokens: usize,
}

impl Default for AttentionScoresConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            layers: LayerMap::Uniform,
            mask: MeanOver::Valid,
            padded_tokens: 128,
        }
    }
}

/// Squared differences of attention scores before the softmax (`TinyBERT`, Jiao et al. 2020, eq. 7), summed over layers.
///
/// With `paper`, the mean is over `B · A · L²` of the padded batch. The released code also counts what padding attends
/// to; no padding is computed here, so those differences are left out.
pub struct AttentionScores {
    pairs: Vec<[usize; 2]>,
    mask: MeanOver,
    padded_tokens: usize,
}

impl AttentionScores {
    pub(crate) fn new(config: &AttentionScoresConfig, pair: &Pair<'_>) -> Result<Self, TrainError> {
        let both = Transformers::of(pair, NAME)?;
        both.check_heads(NAME)?;
        Ok(Self {
            pairs: config.layers.pairs(&both.depths(), 1)?,
            mask: config.mask,
            padded_tokens: config.padded_tokens,
        })
    }
}

impl Objective for AttentionScores {
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
        check_mean(NAME, self.mask, self.padded_tokens, config)
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, NAME)?;
        Ok(sum(self.pairs.iter().map(|&[s, t]| {
            let (student, teacher) = (&student.attention[s - 1], &teacher.attention[t - 1]);
            let padded = given.starts.sentences() * student.heads * self.padded_tokens.pow(2);
            let count = match self.mask {
                MeanOver::Valid => student.scores.elem_count(),
                MeanOver::Paper => padded,
            };
            squared_distance(&student.scores, &teacher.scores, count as f64)
        }))?)
    }
}
