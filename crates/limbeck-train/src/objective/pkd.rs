use candle_core::Tensor;
use limbeck_model::{HiddenStates, Needs, Output};
use limbeck_ops::Parameter;
use limbeck_ops::loss::{PatientReduction, normalised, patient};
use serde::{Deserialize, Serialize};

use super::layers::{PatientLayers, Transformers};
use super::projection::Match;
use super::{Given, Objective, Pair, first_tokens};
use crate::TrainError;
use crate::teacher::{Signal, required};

const NAME: &str = "pkd";

/// Settings of `pkd`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PkdConfig {
    /// Weight in the sum, at least 0; the paper's β.
    pub weight: f64,
    /// `skip`, `last`, `as-released`, or `{ list = [2, 4] }`: the teacher's layers for the student's 1, 2, ..
    pub layers: PatientLayers,
    /// Whether each layer's state is divided by its length first.
    pub normalised: bool,
    /// `element-mean` (released) or `batch-mean` (printed: the sum over layers and width).
    pub reduction: PkdReduction,
}

impl Default for PkdConfig {
    fn default() -> Self {
        Self {
            weight: 100.0,
            layers: PatientLayers::Skip,
            normalised: true,
            reduction: PkdReduction::ElementMean,
        }
    }
}

/// See [`PatientReduction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PkdReduction {
    /// See [`PatientReduction::ElementMean`].
    ElementMean,
    /// See [`PatientReduction::BatchMean`].
    BatchMean,
}

/// First tokens' hidden states of the layers before the last (Patient-KD, Sun et al. 2019).
///
/// Where widths differ, which the paper does not treat, each layer has a projection that learns with the student.
pub struct Pkd {
    matches: Vec<Match>,
    normalised: bool,
    reduction: PatientReduction,
}

impl Pkd {
    pub(crate) fn new(config: &PkdConfig, pair: &Pair<'_>) -> Result<Self, TrainError> {
        let both = Transformers::of(pair, NAME)?;
        let pairs = config.layers.pairs(&both.depths())?;
        Ok(Self {
            matches: Match::all(NAME, &pairs, both.widths(), pair)?,
            normalised: config.normalised,
            reduction: match config.reduction {
                PkdReduction::ElementMean => PatientReduction::ElementMean,
                PkdReduction::BatchMean => PatientReduction::BatchMean,
            },
        })
    }
}

impl Objective for Pkd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        Needs {
            hidden: HiddenStates::First,
            attention: false,
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        Match::parameters(&self.matches)
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, NAME)?;
        let student = first_tokens(&student.hidden, given.starts)?;
        let teacher = first_tokens(&teacher.hidden, given.starts)?;
        let ready = |states: Tensor| {
            if self.normalised {
                normalised(&states)
            } else {
                Ok(states)
            }
        };
        let layers = self.matches.iter().map(|layer| {
            let student = ready(layer.student_states(&student, given.pass)?)?;
            let teacher = ready(teacher[layer.teacher].detach())?;
            Ok((student, teacher))
        });
        let layers: Vec<_> = layers.collect::<Result<_, TrainError>>()?;
        Ok(patient(&layers, self.reduction)?)
    }
}
