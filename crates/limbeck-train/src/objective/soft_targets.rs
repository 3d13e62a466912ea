use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{Reduction, SquaredReduction, soft_targets, squared_error};
use serde::{Deserialize, Serialize};

use super::{Given, Objective};
use crate::TrainError;
use crate::step::above_zero;
use crate::teacher::{Signal, required};

/// Settings of `soft-targets`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SoftTargetsConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// Divides the logits of both; above 1 flattens the distributions.
    pub temperature: f64,
    /// `batch-mean` (with T², DistilBERT), `element-mean` (with T², PKD), `cross-entropy` (without T², `TextBrewer`).
    pub reduction: SoftReduction,
}

impl Default for SoftTargetsConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            temperature: 1.0,
            reduction: SoftReduction::BatchMean,
        }
    }
}

/// How the divergence of distributions becomes one number; see [`Reduction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoftReduction {
    /// See [`Reduction::BatchMean`].
    BatchMean,
    /// See [`Reduction::ElementMean`].
    ElementMean,
    /// See [`Reduction::CrossEntropy`].
    CrossEntropy,
}

impl From<SoftReduction> for Reduction {
    fn from(reduction: SoftReduction) -> Self {
        match reduction {
            SoftReduction::BatchMean => Self::BatchMean,
            SoftReduction::ElementMean => Self::ElementMean,
            SoftReduction::CrossEntropy => Self::CrossEntropy,
        }
    }
}

/// The teacher's softened distribution (Hinton et al. 2015); in a regression its output, by mean
/// squared error. TinyBERT's released code takes the gold score there instead, a bug its authors
/// acknowledge.
pub struct SoftTargets {
    pub(crate) temperature: f64,
    pub(crate) reduction: Reduction,
    pub(crate) regression: bool,
}

impl SoftTargets {
    pub(crate) fn new(config: &SoftTargetsConfig, regression: bool) -> Result<Self, TrainError> {
        above_zero("temperature", config.temperature)?;
        Ok(Self {
            temperature: config.temperature,
            reduction: config.reduction.into(),
            regression,
        })
    }
}

impl Objective for SoftTargets {
    fn name(&self) -> &'static str {
        "soft-targets"
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn ignores_shifts(&self) -> bool {
        !self.regression
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        _: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, self.name())?;
        if self.regression {
            return Ok(squared_error(
                &student.logits,
                &teacher.logits,
                SquaredReduction::ElementMean,
            )?);
        }
        Ok(soft_targets(
            &student.logits,
            &teacher.logits,
            self.temperature,
            self.reduction,
        )?)
    }
}
