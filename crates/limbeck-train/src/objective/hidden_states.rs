use candle_core::Tensor;
use limbeck_model::{Needs, Output};
use limbeck_ops::Parameter;
use limbeck_ops::loss::{squared_distance, sum};
use serde::{Deserialize, Serialize};

use super::layers::{LayerMap, Transformers};
use super::projection::Projection;
use super::{ALL_STATES, Given, MeanOver, Objective, Pair, check_mean};
use crate::TrainError;
use crate::config::TrainConfig;
use crate::teacher::{Signal, required};

const NAME: &str = "hidden-states";

/// Settings of `hidden-states`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HiddenStatesConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `uniform` (embeddings included), `final`, or `{ pairs = [[0, 0], [1, 2]] }` of student's and teacher's layers.
    pub layers: LayerMap,
    /// `valid`: mean over tokens. `paper`: divided by the padded size, whose padding counts as equal.
    pub mask: MeanOver,
    /// Length that `paper` pads to.
    pub padded_tokens: usize,
}

impl Default for HiddenStatesConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            layers: LayerMap::Uniform,
            mask: MeanOver::Valid,
            padded_tokens: 128,
        }
    }
}

/// Squared differences of all tokens' hidden states and embeddings (`TinyBERT`, Jiao et al. 2020, eq. 8 and 9):
/// `Σ over layers of MSE(h_S W, h_T)`, with one `W` for all layers, also where widths agree.
pub struct MatchedStates {
    pairs: Vec<[usize; 2]>,
    projection: Projection,
    mask: MeanOver,
    padded_tokens: usize,
}

impl MatchedStates {
    pub(crate) fn new(config: &HiddenStatesConfig, pair: &Pair<'_>) -> Result<Self, TrainError> {
        let both = Transformers::of(pair, NAME)?;
        let name = format!("{NAME}.projection");
        Ok(Self {
            pairs: config.layers.pairs(&both.depths(), 0)?,
            projection: Projection::new(&name, both.widths(), pair)?,
            mask: config.mask,
            padded_tokens: config.padded_tokens,
        })
    }
}

impl Objective for MatchedStates {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        ALL_STATES
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![self.projection.parameter()]
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
        let tokens = match self.mask {
            MeanOver::Valid => given.starts.tokens(),
            MeanOver::Paper => given.starts.sentences() * self.padded_tokens,
        };
        let layers = self.pairs.iter().map(|&[s, t]| {
            let projected = self.projection.apply(&student.hidden[s], given.pass)?;
            let count = (tokens * projected.dim(1)?) as f64;
            Ok(squared_distance(&projected, &teacher.hidden[t], count)?)
        });
        let layers: Vec<_> = layers.collect::<Result<_, TrainError>>()?;
        Ok(sum(layers.into_iter().map(Ok))?)
    }
}
