use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{SquaredReduction, squared_error};

use super::{Given, Objective};
use crate::TrainError;
use crate::teacher::{Signal, required};

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
