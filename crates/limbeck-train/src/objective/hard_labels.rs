use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{SquaredReduction, cross_entropy, squared_error};
use limbeck_text::Label;

use super::{Gold, Objective};
use crate::TrainError;
use crate::teacher::Signal;

/// The gold labels: cross-entropy, or mean squared error in a regression.
pub struct HardLabels {
    pub(crate) regression: bool,
}

impl HardLabels {
    fn gold<T>(
        &self,
        gold: Gold<'_>,
        value: impl Fn(Label) -> Option<T>,
    ) -> Result<Vec<T>, TrainError> {
        let labels = gold.labels.iter().zip(gold.ids);
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

    fn loss(
        &self,
        student: &Output,
        _: Option<&Signal>,
        gold: Gold<'_>,
    ) -> Result<Tensor, TrainError> {
        if self.regression {
            let scores = self.gold(gold, Label::score)?;
            let scores = Tensor::from_vec(scores, student.logits.shape(), student.logits.device())?;
            return Ok(squared_error(
                &student.logits,
                &scores,
                SquaredReduction::ElementMean,
            )?);
        }
        Ok(cross_entropy(
            &student.logits,
            &self.gold(gold, Label::class)?,
        )?)
    }
}
