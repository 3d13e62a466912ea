use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{Reduction, SquaredReduction, soft_targets, squared_error};

use super::{Given, Objective};
use crate::TrainError;
use crate::teacher::{Signal, required};

/// The teacher's softened distribution (Hinton et al. 2015); in a regression its output, by mean
/// squared error. TinyBERT's released code takes the gold score there instead, a bug its authors
/// acknowledge.
pub struct SoftTargets {
    pub(crate) temperature: f64,
    pub(crate) reduction: Reduction,
    pub(crate) regression: bool,
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
