//! Training sets of which only a part is labelled.

use limbeck_model::stream_key;
use limbeck_ops::mix64;
use limbeck_text::Example;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Copies of an example have its id with their number above this bit, so that each has randomness of its own.
const COPY_BIT: u32 = 48;

/// Which examples of a training set keep their labels: `labelled = { fraction = 0.2 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LabelSplit {
    /// Probability with which each example keeps its label, in `(0, 1]`.
    pub fraction: f64,
    /// What becomes of the others.
    pub rest: Rest,
    /// Whether labelled examples are repeated.
    pub balance: Balance,
    /// Decides which examples; apart from the run's seed, so that runs compare.
    pub seed: u64,
}

impl Default for LabelSplit {
    fn default() -> Self {
        Self {
            fraction: 1.0,
            rest: Rest::Unlabelled,
            balance: Balance::None,
            seed: 0,
        }
    }
}

/// What becomes of examples without a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rest {
    /// They stay, without labels.
    Unlabelled,
    /// They are left out: the control of learning from them.
    LeftOut,
}

/// Whether labelled examples are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Each stands once.
    None,
    /// Each stands `max(1, ⌊log2 ⌊1 / share of labelled⌋⌋)` times (GAN-BERT in TensorFlow).
    Log2,
}

impl LabelSplit {
    /// The training set after the split; the same whatever the order of `examples`.
    ///
    /// Examples without a label have none to keep; they count in the share of labelled ones.
    pub fn apply(&self, examples: Vec<Example>) -> Result<Vec<Example>, TrainError> {
        self.check(&examples)?;
        let total = examples.len();
        let split: Vec<Example> = examples
            .into_iter()
            .map(|example| Example {
                label: example.label.filter(|_| self.keeps(example.id)),
                ..example
            })
            .collect();
        let labelled = split.iter().filter(|e| e.label.is_some()).count();
        if labelled == 0 {
            return Err(TrainError::Setting {
                setting: "labelled",
                found: format!("no label kept of {total} examples"),
                expected: "a larger fraction, or another seed".into(),
            });
        }
        let copies = match self.balance {
            Balance::None => 1,
            Balance::Log2 => Self::copies(labelled as f64 / total as f64),
        };
        let kept = split.into_iter().flat_map(|example| {
            let count = match (example.label, self.rest) {
                (Some(_), _) => copies,
                (None, Rest::Unlabelled) => 1,
                (None, Rest::LeftOut) => 0,
            };
            (0..count).map(move |copy| Example {
                id: example.id | copy << COPY_BIT,
                ..example.clone()
            })
        });
        Ok(kept.collect())
    }

    /// `max(1, ⌊log2 ⌊1 / fraction⌋⌋)` for a share of labelled examples in `(0, 1]`.
    pub fn copies(fraction: f64) -> u64 {
        let examples_per_label = (1.0 / fraction).floor() as u64;
        u64::from(examples_per_label.max(1).ilog2()).max(1)
    }

    fn keeps(&self, id: u64) -> bool {
        let bits = mix64(stream_key(self.seed, "labelled") ^ mix64(id));
        ((bits >> 11) as f64 / (1_u64 << 53) as f64) < self.fraction
    }

    fn check(&self, examples: &[Example]) -> Result<(), TrainError> {
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(TrainError::Setting {
                setting: "labelled.fraction",
                found: self.fraction.to_string(),
                expected: "a share in (0, 1]".into(),
            });
        }
        match examples.iter().find(|example| example.id >> COPY_BIT > 0) {
            Some(example) => Err(TrainError::Setting {
                setting: "labelled",
                found: format!("an example with the id {}", example.id),
                expected: "ids below 2^48".into(),
            }),
            None => Ok(()),
        }
    }
}
