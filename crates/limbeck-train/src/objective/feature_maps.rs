use candle_core::Tensor;
use limbeck_model::{Needs, Output};
use limbeck_ops::Parameter;
use limbeck_ops::loss::{feature_distance, sum};
use serde::{Deserialize, Serialize};

use super::layers::{LayerMap, Transformers};
use super::projection::Match;
use super::{ALL_STATES, Given, Objective, Pair, check_uncut};
use crate::TrainError;
use crate::config::TrainConfig;
use crate::teacher::{Signal, required};

const NAME: &str = "feature-maps";

/// Settings of `feature-maps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FeatureMapsConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `uniform` (layer 2m for half of the depth), `final`, or `{ pairs = [[1, 2]] }` of student's and teacher's layers.
    pub layers: LayerMap,
}

impl Default for FeatureMapsConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            layers: LayerMap::Uniform,
        }
    }
}

/// Deep distillation of feature maps: every token's state standardised, squared differences, mean over tokens and
/// width, summed over layers (after `MobileBERT`, Sun et al. 2020; part of AD², whose paper gives no formula).
///
/// Where widths differ, each layer has a projection that learns with the student; it comes before standardising.
pub struct FeatureMaps(Vec<Match>);

impl FeatureMaps {
    pub(crate) fn new(config: &FeatureMapsConfig, pair: &Pair<'_>) -> Result<Self, TrainError> {
        let both = Transformers::of(pair, NAME)?;
        let pairs = config.layers.pairs(&both.depths(), 1)?;
        Ok(Self(Match::all(NAME, &pairs, both.widths(), pair)?))
    }
}

impl Objective for FeatureMaps {
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
        Match::parameters(&self.0)
    }

    fn check(&self, config: &TrainConfig) -> Result<(), TrainError> {
        check_uncut(NAME, config)
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, NAME)?;
        let layers = self.0.iter().map(|layer| {
            let states = layer.student_states(&student.hidden, given.pass)?;
            Ok(feature_distance(&states, &teacher.hidden[layer.teacher])?)
        });
        let layers: Vec<_> = layers.collect::<Result<_, TrainError>>()?;
        Ok(sum(layers.into_iter().map(Ok))?)
    }
}
