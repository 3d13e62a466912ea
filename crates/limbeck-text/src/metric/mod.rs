mod classification;
mod correlation;
mod glue;
mod interval;

pub use classification::{
    ClassReport, ConfusionMatrix, accuracy, f1_binary, f1_macro, f1_micro, matthews,
};
pub use correlation::{pearson, spearman};
pub use glue::{glue_average, task_score};
pub use interval::{BootstrapConfig, Interval, bootstrap_interval, wilson_interval};

use serde::{Deserialize, Serialize};

use crate::{Label, TextError};

/// How well predictions fit the gold labels; higher is better for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of right predictions, in `[0, 1]`; see [`accuracy`].
    Accuracy,
    /// F1 of class 1, in `[0, 1]`; see [`f1_binary`].
    F1Binary,
    /// Mean F1 over the classes, in `[0, 1]`; see [`f1_macro`].
    F1Macro,
    /// F1 over all decisions, in `[0, 1]`; see [`f1_micro`].
    F1Micro,
    /// Matthews' correlation, in `[-1, 1]`; see [`matthews`].
    Matthews,
    /// Pearson's correlation, in `[-1, 1]`; see [`pearson`]. Undefined counts as 0.
    Pearson,
    /// Spearman's rank correlation, in `[-1, 1]`; see [`spearman`]. Undefined counts as 0.
    Spearman,
}

impl Metric {
    /// The name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1Binary => "f1-binary",
            Self::F1Macro => "f1-macro",
            Self::F1Micro => "f1-micro",
            Self::Matthews => "matthews",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
        }
    }

    /// Whether it compares scores rather than classes.
    pub fn needs_scores(self) -> bool {
        matches!(self, Self::Pearson | Self::Spearman)
    }

    /// The metric of `predicted` against `gold`, example by example.
    ///
    /// Never NaN: a correlation that is undefined, because one side is constant, is 0, as a model that says the same of every
    /// sentence has learnt nothing.
    ///
    /// # Errors
    /// [`TextError::Metric`] on no labels at all, unequal lengths, labels of the other kind, or a score that is not finite.
    pub fn score(self, predicted: &[Label], gold: &[Label]) -> Result<f64, TextError> {
        let fail = |problem: String| TextError::Metric {
            metric: self.name(),
            problem,
        };
        if predicted.len() != gold.len() {
            let (left, right) = (predicted.len(), gold.len());
            return Err(fail(format!("{left} predictions for {right} gold labels")));
        }
        if gold.is_empty() {
            return Err(fail("no labels to compare; give at least one".to_owned()));
        }
        if self.needs_scores() {
            let finite = |label: &Label| label.score().map(f64::from).filter(|s| s.is_finite());
            let scores =
                |labels: &[Label]| -> Option<Vec<f64>> { labels.iter().map(finite).collect() };
            let (Some(predicted), Some(gold)) = (scores(predicted), scores(gold)) else {
                return Err(fail(
                    "needs finite scores, found classes or a score that is not finite".to_owned(),
                ));
            };
            return Ok(self.of_scores(&predicted, &gold).unwrap_or(0.0));
        }
        let classes =
            |labels: &[Label]| -> Option<Vec<u32>> { labels.iter().map(|l| l.class()).collect() };
        let (Some(predicted), Some(gold)) = (classes(predicted), classes(gold)) else {
            return Err(fail("needs classes, found scores".to_owned()));
        };
        Ok(self.of_classes(&predicted, &gold))
    }

    fn of_classes(self, predicted: &[u32], gold: &[u32]) -> f64 {
        match self {
            Self::F1Binary => f1_binary(predicted, gold, 1),
            Self::F1Macro => f1_macro(predicted, gold),
            Self::F1Micro => f1_micro(predicted, gold),
            Self::Matthews => matthews(predicted, gold),
            Self::Accuracy | Self::Pearson | Self::Spearman => accuracy(predicted, gold),
        }
    }

    fn of_scores(self, predicted: &[f64], gold: &[f64]) -> Option<f64> {
        match self {
            Self::Spearman => spearman(predicted, gold),
            _ => pearson(predicted, gold),
        }
    }
}
