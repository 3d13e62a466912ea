//! What a student learns: pure losses on outputs, and their weighted sums.

mod hard_labels;
mod logit_mse;
mod soft_targets;

use candle_core::Tensor;
use limbeck_model::{Needs, Output, SentenceClassifier, Target};
use limbeck_ops::loss::{Reduction, SquaredReduction};
use limbeck_ops::{Parameter, Pass, Starts};
use limbeck_text::Label;
use serde::{Deserialize, Serialize};

pub use hard_labels::HardLabels;
pub use logit_mse::LogitMse;
pub use soft_targets::SoftTargets;

use crate::TrainError;
use crate::teacher::Signal;

/// What a batch brings beside outputs.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Gold labels, one per example; `None` where unlabelled.
    pub labels: &'a [Option<Label>],
    /// The examples' ids, for messages.
    pub ids: &'a [u64],
    /// Where sentences begin in packed outputs.
    pub starts: &'a Starts,
    /// 0-based epoch.
    pub epoch: u64,
    /// Whether an objective's own parameters learn.
    pub pass: &'a Pass,
}

/// The two models of a run, as far as objectives and steps are built after them.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Who learns.
    pub student: &'a SentenceClassifier,
    /// From whom, if anyone.
    pub teacher: Option<&'a SentenceClassifier>,
    /// Decides fresh parameters.
    pub seed: u64,
}

impl<'a> Pair<'a> {
    /// A student without a teacher.
    pub fn alone(student: &'a SentenceClassifier) -> Self {
        Self {
            student,
            teacher: None,
            seed: 0,
        }
    }
}

/// A loss on a student's outputs.
pub trait Objective {
    /// Name in a run file and in the log.
    fn name(&self) -> &'static str;

    /// Whether it learns from a teacher's logits.
    fn needs_teacher(&self) -> bool {
        false
    }

    /// Whether it learns from gold labels.
    fn needs_labels(&self) -> bool {
        false
    }

    /// What it needs of student and teacher beside logits.
    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    /// What it trains beside the student, such as a projection; names begin with its own.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// The loss, a scalar: the mean over the batch of something.
    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError>;
}

/// One objective of a run file: `soft-targets = { weight = 0.9, temperature = 4.0 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ObjectiveConfig {
    /// The gold labels: cross-entropy, or squared error in a regression.
    HardLabels(HardLabelsConfig),
    /// The teacher's distribution at a temperature; in a regression, its output.
    SoftTargets(SoftTargetsConfig),
    /// Squared differences to the teacher's logits.
    LogitMse(LogitMseConfig),
}

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

/// Settings of `logit-mse`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LogitMseConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// `element-mean` (Tang, Annealing-KD, `TextBrewer`) or `batch-mean` (sum over labels; Sučík).
    pub reduction: MseReduction,
}

impl Default for LogitMseConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            reduction: MseReduction::ElementMean,
        }
    }
}

/// How squared differences become one number; see [`SquaredReduction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MseReduction {
    /// See [`SquaredReduction::ElementMean`].
    ElementMean,
    /// See [`SquaredReduction::BatchMean`].
    BatchMean,
}

impl From<MseReduction> for SquaredReduction {
    fn from(reduction: MseReduction) -> Self {
        match reduction {
            MseReduction::ElementMean => Self::ElementMean,
            MseReduction::BatchMean => Self::BatchMean,
        }
    }
}

impl ObjectiveConfig {
    /// Weight in the sum.
    pub fn weight(self) -> f64 {
        match self {
            Self::HardLabels(config) => config.weight,
            Self::SoftTargets(config) => config.weight,
            Self::LogitMse(config) => config.weight,
        }
    }

    fn build(self, pair: &Pair<'_>) -> Result<Box<dyn Objective>, TrainError> {
        let regression = *pair.student.target() == Target::Regression;
        Ok(match self {
            Self::HardLabels(_) => Box::new(HardLabels { regression }),
            Self::SoftTargets(config) => {
                if !(config.temperature > 0.0 && config.temperature.is_finite()) {
                    return Err(TrainError::Setting {
                        setting: "temperature",
                        found: config.temperature.to_string(),
                        expected: "a number above 0".into(),
                    });
                }
                Box::new(SoftTargets {
                    temperature: config.temperature,
                    reduction: config.reduction.into(),
                    regression,
                })
            }
            Self::LogitMse(config) => Box::new(LogitMse {
                reduction: config.reduction.into(),
            }),
        })
    }
}

/// Each objective's own loss by its name, unweighted and cut off from the graph.
pub type Terms = Vec<(&'static str, Tensor)>;

/// Several objectives, each with its weight.
pub struct WeightedSum {
    terms: Vec<(f64, Box<dyn Objective>)>,
}

impl WeightedSum {
    /// The objectives of a run file; weights must be finite, not negative and not all zero.
    pub fn new(configs: &[ObjectiveConfig], pair: &Pair<'_>) -> Result<Self, TrainError> {
        let weights_fit = configs
            .iter()
            .all(|c| c.weight() >= 0.0 && c.weight().is_finite());
        if !weights_fit || configs.iter().map(|c| c.weight()).sum::<f64>() <= 0.0 {
            return Err(TrainError::Setting {
                setting: "objective",
                found: format!(
                    "weights {:?}",
                    configs.iter().map(|c| c.weight()).collect::<Vec<_>>()
                ),
                expected: "at least one objective, with weights of 0 or more that are not all 0"
                    .into(),
            });
        }
        let terms = configs
            .iter()
            .filter(|c| c.weight() > 0.0)
            .map(|c| Ok((c.weight(), c.build(pair)?)));
        Ok(Self {
            terms: terms.collect::<Result<_, TrainError>>()?,
        })
    }

    /// The objectives.
    pub fn objectives(&self) -> impl Iterator<Item = &dyn Objective> {
        self.terms.iter().map(|(_, objective)| &**objective)
    }

    /// Whether any term learns from a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.objectives().any(Objective::needs_teacher)
    }

    /// Fails where a term learns from something that the teacher, or no teacher, cannot give.
    pub fn check(&self, teacher: Option<Needs>) -> Result<(), TrainError> {
        for objective in self.objectives() {
            match teacher {
                None if objective.needs_teacher() => {
                    return Err(TrainError::NoTeacher {
                        objective: objective.name(),
                    });
                }
                Some(provides) if !objective.needs().is_met_by(provides) => {
                    return Err(TrainError::TeacherLacks {
                        objective: objective.name(),
                        needs: format!("{:?}", objective.needs()),
                        provides: format!("{provides:?}"),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The weight of the objective of this name; 0 where there is none.
    pub fn weight_of(&self, name: &str) -> f64 {
        let terms = self.terms.iter();
        terms
            .filter(|(_, objective)| objective.name() == name)
            .map(|(weight, _)| weight)
            .sum()
    }

    /// What all terms together need beside logits.
    pub fn needs(&self) -> Needs {
        self.objectives()
            .map(Objective::needs)
            .fold(Needs::NOTHING, Needs::union)
    }

    /// What the terms train beside the student.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.objectives().flat_map(Objective::parameters).collect()
    }

    /// The weighted sum and each term's own value.
    pub fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<(Tensor, Terms), TrainError> {
        let mut total: Option<Tensor> = None;
        let mut values = Vec::with_capacity(self.terms.len());
        for (weight, objective) in &self.terms {
            let value = objective.loss(student, teacher, given)?;
            let weighted = (&value * *weight)?;
            values.push((objective.name(), value.detach()));
            total = Some(match total {
                Some(total) => (total + weighted)?,
                None => weighted,
            });
        }
        let total = total.ok_or(TrainError::Setting {
            setting: "objective",
            found: "none".into(),
            expected: "at least one with a weight above 0".into(),
        })?;
        Ok((total, values))
    }
}
