//! `TextBrewer`'s further losses on hidden states: `cosine-states`, `mmd` and `fsp`.

use candle_core::Tensor;
use limbeck_model::{Needs, Output};
use limbeck_ops::Parameter;
use limbeck_ops::loss::{cosine_distance, flow_distance, sum, token_gram_distance};
use serde::{Deserialize, Serialize};

use super::layers::{LayerMap, Transformers};
use super::projection::Match;
use super::{ALL_STATES, Given, Objective, Pair, check_uncut};
use crate::TrainError;
use crate::config::TrainConfig;
use crate::teacher::{Signal, required};

/// Settings of `cosine-states`, `mmd` and `fsp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StateRelationConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `uniform` (embeddings included), `final`, or `{ pairs = [[0, 0], [1, 2]] }` of student's and teacher's layers.
    pub layers: LayerMap,
}

impl Default for StateRelationConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            layers: LayerMap::Uniform,
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Directions of tokens' states.
    Cosine,
    /// Products of the tokens of one layer: NST, squared MMD with a linear kernel.
    TokenProducts,
    /// Products of the columns of neighbouring matched layers: FSP.
    Flow,
}

/// Sum over matched layers of a distance between hidden states of all tokens.
///
/// Where widths differ, each layer of `cosine-states` and `fsp` has a projection that learns with the student.
pub struct StateRelations {
    relation: Relation,
    matches: Vec<Match>,
}

impl StateRelations {
    pub(crate) fn new(
        relation: Relation,
        config: &StateRelationConfig,
        pair: &Pair<'_>,
    ) -> Result<Self, TrainError> {
        let name = relation.name();
        let both = Transformers::of(pair, name)?;
        let pairs = config.layers.pairs(&both.depths(), 0)?;
        if relation == Relation::Flow && pairs.len() < 2 {
            return Err(TrainError::Setting {
                setting: name,
                found: format!("layers {pairs:?}"),
                expected: "two pairs of layers or more, between which something flows".into(),
            });
        }
        let widths = match relation {
            Relation::TokenProducts => [0, 0],
            Relation::Cosine | Relation::Flow => both.widths(),
        };
        Ok(Self {
            relation,
            matches: Match::all(name, &pairs, widths, pair)?,
        })
    }
}

impl Relation {
    fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine-states",
            Self::TokenProducts => "mmd",
            Self::Flow => "fsp",
        }
    }
}

impl Objective for StateRelations {
    fn name(&self) -> &'static str {
        self.relation.name()
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        ALL_STATES
    }

    fn parameters(&self) -> Vec<Parameter> {
        Match::parameters(&self.matches)
    }

    fn check(&self, config: &TrainConfig) -> Result<(), TrainError> {
        match self.relation {
            Relation::Cosine | Relation::TokenProducts => check_uncut(self.name(), config),
            // A mean over sentences.
            Relation::Flow => Ok(()),
        }
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, self.name())?;
        let layers = self.matches.iter().map(|layer| {
            let states = layer.student_states(&student.hidden, given.pass)?;
            Ok((states, &teacher.hidden[layer.teacher]))
        });
        let layers: Vec<(Tensor, &Tensor)> = layers.collect::<Result<_, TrainError>>()?;
        let each = layers.iter();
        Ok(match self.relation {
            Relation::Cosine => sum(each.map(|(s, t)| cosine_distance(s, t)))?,
            Relation::TokenProducts => {
                sum(each.map(|(s, t)| token_gram_distance((s, s), (t, t), given.starts)))?
            }
            Relation::Flow => sum(layers.windows(2).map(|pair| {
                let [(s, t), (next_s, next_t)] = pair else {
                    unreachable!("windows of two")
                };
                flow_distance((s, next_s), (t, next_t), given.starts)
            }))?,
        })
    }
}
