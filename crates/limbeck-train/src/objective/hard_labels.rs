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
///
/// The mean is over the batch, where an example without a label counts as a loss of 0: beside a transfer set the term
/// weighs as much as its share of labelled examples, and no example's weight depends on the batch that it is in.
pub struct HardLabels {
    pub(crate) regression: bool,
}

impl HardLabels {
    /// The rows that have a label, and what it is.
    fn gold<T>(
        &self,
        given: Given<'_>,
        value: impl Fn(Label) -> Option<T>,
    ) -> Result<(Vec<u32>, Vec<T>), TrainError> {
        let rows = (0..).zip(given.labels.iter().zip(given.ids));
        let labelled = rows.filter_map(|(row, (label, &id))| Some((row, (*label)?, id)));
        let gold = labelled.map(|(row, label, id)| match value(label) {
            Some(value) => Ok((row, value)),
            None => Err(TrainError::Unlabelled {
                id,
                objective: self.name(),
            }),
        });
        gold.collect()
    }

    /// `loss` of the labelled rows' logits and their labels, as a mean over all rows.
    fn mean<T>(
        logits: &Tensor,
        (rows, gold): (Vec<u32>, Vec<T>),
        loss: impl Fn(&Tensor, Vec<T>) -> candle_core::Result<Tensor>,
    ) -> Result<Tensor, TrainError> {
        let (labelled, all) = (rows.len(), logits.dim(0)?);
        if labelled == all {
            return Ok(loss(logits, gold)?);
        }
        if labelled == 0 {
            // Nothing, with a gradient of 0.
            let reduction = SquaredReduction::ElementMean;
            return Ok(squared_error(logits, logits, reduction)?);
        }
        let rows = Tensor::new(rows, logits.device())?;
        let mean = loss(&logits.index_select(&rows, 0)?, gold)?;
        Ok((mean * (labelled as f64 / all as f64))?)
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
            return Self::mean(&student.logits, scores, |logits, scores| {
                let scores = Tensor::from_vec(scores, logits.shape(), logits.device())?;
                squared_error(logits, &scores, SquaredReduction::ElementMean)
            });
        }
        let classes = self.gold(given, Label::class)?;
        Self::mean(&student.logits, classes, |logits, classes| {
            cross_entropy(logits, &classes)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use limbeck_ops::{Pass, Starts};

    use super::*;

    /// The loss and its gradient.
    fn learn(logits: &Tensor, regression: bool, labels: &[Option<Label>]) -> (f32, Vec<Vec<f32>>) {
        let logits = Var::from_tensor(logits).unwrap();
        let pass = Pass::EVALUATE;
        let ids: Vec<u64> = (0..labels.len() as u64).collect();
        let given = Given {
            labels,
            ids: &ids,
            starts: &Starts::from_lengths(labels.iter().map(|_| 1)),
            epoch: 0,
            pass: &pass,
        };
        let output = Output {
            logits: logits.as_tensor().clone(),
            pooled: logits.detach(),
            hidden: Vec::new(),
            attention: Vec::new(),
        };
        let loss = HardLabels { regression }.loss(&output, None, given);
        let loss = loss.unwrap();
        let gradient = loss.backward().unwrap().remove(&logits).unwrap();
        (loss.to_scalar().unwrap(), gradient.to_vec2().unwrap())
    }

    #[test]
    fn rows_without_a_label_count_as_a_loss_of_nothing() {
        let classes = [Some(2), None, Some(0), None].map(|class| class.map(Label::Class));
        let scores = [Some(0.5), None, Some(-2.0), None].map(|score| score.map(Label::Score));
        for (labels, regression, width) in [(classes, false, 3), (scores, true, 1)] {
            let logits = Tensor::arange(0_f32, (4 * width) as f32, &Device::Cpu).unwrap();
            let logits = logits.sin().unwrap().reshape((4, width)).unwrap();
            let two = Tensor::new(&[0_u32, 2], &Device::Cpu).unwrap();
            let two = logits.index_select(&two, 0).unwrap();
            let (of_two, expected) = learn(&two, regression, &[labels[0], labels[2]]);
            let (of_all, gradient) = learn(&logits, regression, &labels);
            assert_eq!(of_all, of_two / 2.0);
            let nothing = vec![0.0; width];
            let half = |row: &[f32]| row.iter().map(|slope| slope / 2.0).collect::<Vec<f32>>();
            let [first, second] = [&expected[0], &expected[1]].map(|row| half(row));
            assert_eq!(gradient, [first, nothing.clone(), second, nothing.clone()]);
            let (of_none, gradient) = learn(&logits, regression, &[None; 4]);
            assert_eq!((of_none, gradient), (0.0, vec![nothing; 4]));
        }
    }
}
