use std::error::Error;

use crate::{Text, TextError};

/// Whatever went wrong inside a model; text code passes it on.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a model offers to code that knows text only: attacks, augmentation, evaluation.
pub trait Classifier {
    /// The probability of every label for every text, in the order of `texts`.
    fn predict(&self, texts: &[Text]) -> Result<Probabilities, BoxError>;
}

/// A distribution over labels for each text: `[texts, labels]`, each row non-negative with sum 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    values: Vec<f32>,
    label_count: usize,
}

impl Probabilities {
    /// How far a row's sum may be from 1: single precision over many labels.
    const TOLERANCE: f32 = 1e-3;

    /// Takes row-major `values`, refusing rows that are not distributions.
    pub fn new(values: Vec<f32>, label_count: usize) -> Result<Self, TextError> {
        let whole_rows = label_count > 0 && values.len().is_multiple_of(label_count);
        if !whole_rows {
            let problem = format!("{} values do not fill rows of {label_count}", values.len());
            return Err(TextError::Probabilities { problem });
        }
        for (row, probabilities) in values.chunks_exact(label_count).enumerate() {
            let sum: f32 = probabilities.iter().sum();
            let in_range = probabilities.iter().all(|&p| p >= 0.0);
            let sums_to_one = (sum - 1.0).abs() <= Self::TOLERANCE;
            if !in_range || !sums_to_one {
                let problem = format!("row {row} is {probabilities:?}, not a distribution");
                return Err(TextError::Probabilities { problem });
            }
        }
        Ok(Self {
            values,
            label_count,
        })
    }

    /// The softmax of row-major `logits`: `p_c = exp(z_c − max z) / Σ_k exp(z_k − max z)`.
    pub fn from_logits(logits: &[f32], label_count: usize) -> Result<Self, TextError> {
        let mut values = logits.to_vec();
        for row in values.chunks_mut(label_count.max(1)) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for value in row.iter_mut() {
                *value = (*value - max).exp();
                sum += *value;
            }
            for value in row.iter_mut() {
                *value /= sum;
            }
        }
        Self::new(values, label_count)
    }

    /// How many texts.
    pub fn len(&self) -> usize {
        self.values.len() / self.label_count
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many labels.
    pub fn label_count(&self) -> usize {
        self.label_count
    }

    /// The distribution of text `index`, counted from 0.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.label_count..][..self.label_count]
    }

    /// The distributions in the order of the texts.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.label_count)
    }

    /// The most probable class of each text; of equals the first.
    pub fn classes(&self) -> Vec<u32> {
        let first_best = |row: &[f32]| {
            let best = (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            best as u32
        };
        self.rows().map(first_best).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_rows_are_distributions() {
        let probabilities = Probabilities::from_logits(&[0.0, 0.0, 1000.0, 0.0], 2).unwrap();
        assert_eq!(probabilities.row(0), [0.5, 0.5]);
        assert_eq!(probabilities.row(1), [1.0, 0.0]);
        assert_eq!(probabilities.classes(), [0, 0]);
        assert_eq!((probabilities.len(), probabilities.label_count()), (2, 2));
    }

    #[test]
    fn rows_that_are_no_distribution_are_refused() {
        for (values, label_count) in [
            (vec![0.5, 0.6], 2),
            (vec![1.5, -0.5], 2),
            (vec![f32::NAN, 1.0], 2),
            (vec![1.0, 0.0, 1.0], 2),
            (vec![], 0),
        ] {
            assert!(Probabilities::new(values, label_count).is_err());
        }
        assert!(Probabilities::from_logits(&[f32::INFINITY, 0.0], 2).is_err());
    }
}
