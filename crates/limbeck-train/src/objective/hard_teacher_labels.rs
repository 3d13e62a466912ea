use candle_core::{DType, Tensor};
use limbeck_model::Output;
use limbeck_ops::loss::cross_entropy;
use serde::{Deserialize, Serialize};

use super::{Given, Objective};
use crate::TrainError;
use crate::evaluate::highest;
use crate::teacher::{Signal, required};

/// Settings of `hard-teacher-labels`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HardTeacherLabelsConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
}

impl Default for HardTeacherLabelsConfig {
    fn default() -> Self {
        Self { weight: 1.0 }
    }
}

/// Cross-entropy on the label that the teacher finds likeliest (`hard_logits` in Sučík 2020): as many labelled rows
/// as there is text. Of equally likely labels the first counts.
pub struct HardTeacherLabels;

impl Objective for HardTeacherLabels {
    fn name(&self) -> &'static str {
        "hard-teacher-labels"
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn ignores_shifts(&self) -> bool {
        true
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        _: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let logits = &required(teacher, self.name())?.logits;
        let rows = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let labels: Vec<u32> = rows.iter().map(|row| highest(row)).collect();
        Ok(cross_entropy(&student.logits, &labels)?)
    }
}
