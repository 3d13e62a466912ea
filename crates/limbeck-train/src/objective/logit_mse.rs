use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{SquaredReduction, squared_error};
use serde::{Deserialize, Serialize};

use super::{Given, Objective};
use crate::TrainError;
use crate::teacher::{Signal, required};

/// Settings of `logit-mse`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LogitMseConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `element-mean` (Tang, Annealing-KD, `TextBrewer`) or `batch-mean` (sum over labels; Sučík).
    pub reduction: MseReduction,
}

impl Default for LogitMseConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            reduction: MseReduction::ElementMean,
        }
    }
}

/// How squared differences become one number; see [`SquaredReduction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MseReduction {
    /// See [`SquaredReduction::ElementMean`].
    ElementMean,
    /// See [`SquaredReduction::BatchMean`].
    BatchMean,
}

impl From<MseReduction> for SquaredReduction {
    fn from(reduction: MseReduction) -> Self {
        match reduction {
            MseReduction::ElementMean => Self::ElementMean,
            MseReduction::BatchMean => Self::BatchMean,
        }
    }
}

/// Squared differences between the logits of student and teacher (Ba & Caruana 2014, eq. 1).
pub struct LogitMse {
    pub(crate) reduction: SquaredReduction,
}

impl Objective for LogitMse {
    fn name(&self) -> &'static str {
        "logit-mse"
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        _: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, self.name())?;
        Ok(squared_error(
            &student.logits,
            &teacher.logits,
            self.reduction,
        )?)
    }
}
