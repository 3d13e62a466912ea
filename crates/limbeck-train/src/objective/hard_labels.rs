use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{SquaredReduction, cross_entropy, squared_error};
use limbeck_text::Label;
use serde::{Deserialize, Serialize};

use super::{Given, Objective};
use crate::TrainError;
use crate::teacher::Signal;

/// Settings of `hard-labels`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HardLabelsConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
}

impl Default for HardLabelsConfig {
    fn default() -> Self {
        Self { weight: 1.0 }
    }
}

/// The gold labels: cross-entropy, or mean squared error in a regression.
pub struct HardLabels {
    pub(crate) regression: bool,
}

impl HardLabels {
    fn gold<T>(
        &self,
        given: Given<'_>,
        value: impl Fn(Label) -> Option<T>,
    ) -> Result<Vec<T>, TrainError> {
        let labels = given.labels.iter().zip(given.ids);
        labels
            .map(|(label, &id)| {
                label.and_then(&value).ok_or(TrainError::Unlabelled {
                    id,
                    objective: self.name(),
                })
            })
            .collect()
    }
}

impl Objective for HardLabels {
    fn name(&self) -> &'static str {
        "hard-labels"
    }

    fn needs_labels(&self) -> bool {
        true
    }

    fn ignores_shifts(&self) -> bool {
        !self.regression
    }

    fn loss(
        &self,
        student: &Output,
        _: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        if self.regression {
            let scores = self.gold(given, Label::score)?;
            let scores = Tensor::from_vec(scores, student.logits.shape(), student.logits.device())?;
            return Ok(squared_error(
                &student.logits,
                &scores,
                SquaredReduction::ElementMean,
            )?);
        }
        Ok(cross_entropy(
            &student.logits,
            &self.gold(given, Label::class)?,
        )?)
    }
}
