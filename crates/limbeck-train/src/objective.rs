//! What a student learns: pure losses on outputs, and their weighted sums.

mod annealed_logits;
mod attention_maps;
mod attention_scores;
mod feature_maps;
mod hard_labels;
mod hard_teacher_labels;
mod hidden_states;
mod layers;
mod logit_mse;
mod pkd;
mod projection;
mod soft_targets;
mod state_relations;

use candle_core::Tensor;
use limbeck_model::{HiddenStates, Needs, Output, SentenceClassifier, Target};
use limbeck_ops::{Parameter, Pass, Starts};
use limbeck_text::Label;
use serde::{Deserialize, Serialize};

pub use annealed_logits::{AnnealedLogits, AnnealedLogitsConfig, annealing_factor};
pub use attention_maps::{AttentionMapsConfig, MatchedAttention};
pub use attention_scores::{AttentionScores, AttentionScoresConfig};
pub use feature_maps::{FeatureMaps, FeatureMapsConfig};
pub use hard_labels::{HardLabels, HardLabelsConfig};
pub use hard_teacher_labels::{HardTeacherLabels, HardTeacherLabelsConfig};
pub use hidden_states::{HiddenStatesConfig, MatchedStates};
pub use layers::{LayerMap, PatientLayers};
pub use logit_mse::{LogitMse, LogitMseConfig, MseReduction};
pub use pkd::{Pkd, PkdConfig, PkdReduction};
pub use soft_targets::{SoftReduction, SoftTargets, SoftTargetsConfig};
pub use state_relations::{StateRelationConfig, StateRelations};

use state_relations::Relation;

use crate::TrainError;
use crate::config::TrainConfig;
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

    /// Whether one number added to all logits of a sentence changes nothing, as before a softmax.
    fn ignores_shifts(&self) -> bool {
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

    /// Fails where the phase's settings do not fit its own; before anything costly.
    fn check(&self, _config: &TrainConfig) -> Result<(), TrainError> {
        Ok(())
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ObjectiveConfig {
    /// The gold labels: cross-entropy, or squared error in a regression.
    HardLabels(HardLabelsConfig),
    /// The teacher's distribution at a temperature; in a regression, its output.
    SoftTargets(SoftTargetsConfig),
    /// Squared differences to the teacher's logits.
    LogitMse(LogitMseConfig),
    /// First tokens' hidden states of the layers before the last (Patient-KD).
    Pkd(PkdConfig),
    /// All tokens' hidden states, with one projection (`TinyBERT`).
    HiddenStates(HiddenStatesConfig),
    /// Attention scores before the softmax (`TinyBERT`).
    AttentionScores(AttentionScoresConfig),
    /// The teacher's logits, growing from epoch to epoch (Annealing-KD).
    AnnealedLogits(AnnealedLogitsConfig),
    /// All tokens' hidden states, standardised (`MobileBERT`, AD²).
    FeatureMaps(FeatureMapsConfig),
    /// Attention probabilities (`MobileBERT`, AD²).
    AttentionMaps(AttentionMapsConfig),
    /// Directions of all tokens' hidden states (DistilBERT).
    CosineStates(StateRelationConfig),
    /// Products of a layer's tokens (NST).
    Mmd(StateRelationConfig),
    /// The flow between neighbouring matched layers (FSP).
    Fsp(StateRelationConfig),
    /// The label that the teacher finds likeliest.
    HardTeacherLabels(HardTeacherLabelsConfig),
}

/// What a mean over a batch's tokens or their pairs is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeanOver {
    /// The tokens there are.
    Valid,
    /// As many as if every sentence were padded, padding counting as equal (`TinyBERT`'s code).
    Paper,
}

/// Fails where batches are cut into parts of unlike lengths: a mean over tokens is not the mean of its parts' means.
fn check_uncut(name: &str, config: &TrainConfig) -> Result<(), TrainError> {
    if config.token_budget == 0 {
        return Ok(());
    }
    Err(TrainError::Setting {
        setting: "token-budget",
        found: config.token_budget.to_string(),
        expected: format!(
            "0: `{name}` is a mean over the tokens of whole batches; make `batch-size` smaller"
        ),
    })
}

/// Fails where a mean over tokens does not fit how batches are cut or padded.
fn check_mean(
    name: &str,
    mask: MeanOver,
    padded: usize,
    config: &TrainConfig,
) -> Result<(), TrainError> {
    match mask {
        MeanOver::Valid => check_uncut(name, config),
        MeanOver::Paper if padded >= config.max_tokens => Ok(()),
        MeanOver::Paper => Err(TrainError::Setting {
            setting: "padded-tokens",
            found: format!("{padded} with `{name}`"),
            expected: format!("`max-tokens`, {}, or more", config.max_tokens),
        }),
    }
}

const ALL_STATES: Needs = Needs {
    hidden: HiddenStates::All,
    attention: false,
};

const ATTENTION: Needs = Needs {
    hidden: HiddenStates::None,
    attention: true,
};

/// The first token's states of each layer, `[B, H]`, of those or of all tokens' states.
fn first_tokens(hidden: &[Tensor], starts: &Starts) -> Result<Vec<Tensor>, TrainError> {
    let layers = hidden.iter().map(|states| {
        if states.dim(0)? == starts.sentences() {
            return Ok(states.clone());
        }
        let rows = Tensor::new(starts.first_rows(), states.device())?;
        Ok(states.index_select(&rows, 0)?)
    });
    layers.collect()
}

impl ObjectiveConfig {
    /// Whether it learns from gold labels, so that every row of the training file has to have one.
    pub fn needs_labels(&self) -> bool {
        matches!(self, Self::HardLabels(config) if config.weight > 0.0)
    }

    /// Its name where it learns from a teacher's layers, which several teachers have no average of.
    pub fn looks_inside(&self) -> Option<&'static str> {
        let name = match self {
            Self::Pkd(_) => "pkd",
            Self::HiddenStates(_) => "hidden-states",
            Self::AttentionScores(_) => "attention-scores",
            Self::FeatureMaps(_) => "feature-maps",
            Self::AttentionMaps(_) => "attention-maps",
            Self::CosineStates(_) => "cosine-states",
            Self::Mmd(_) => "mmd",
            Self::Fsp(_) => "fsp",
            Self::HardLabels(_)
            | Self::SoftTargets(_)
            | Self::LogitMse(_)
            | Self::AnnealedLogits(_)
            | Self::HardTeacherLabels(_) => return None,
        };
        (self.weight() > 0.0).then_some(name)
    }

    /// Weight in the sum.
    pub fn weight(&self) -> f64 {
        match self {
            Self::HardLabels(config) => config.weight,
            Self::SoftTargets(config) => config.weight,
            Self::LogitMse(config) => config.weight,
            Self::Pkd(config) => config.weight,
            Self::HiddenStates(config) => config.weight,
            Self::AttentionScores(config) => config.weight,
            Self::AnnealedLogits(config) => config.weight,
            Self::FeatureMaps(config) => config.weight,
            Self::AttentionMaps(config) => config.weight,
            Self::CosineStates(config) | Self::Mmd(config) | Self::Fsp(config) => config.weight,
            Self::HardTeacherLabels(config) => config.weight,
        }
    }

    fn build(&self, pair: &Pair<'_>) -> Result<Box<dyn Objective>, TrainError> {
        let regression = *pair.student.target() == Target::Regression;
        Ok(match self {
            Self::HardLabels(_) => Box::new(HardLabels { regression }),
            Self::SoftTargets(config) => Box::new(SoftTargets::new(config, regression)?),
            Self::LogitMse(config) => Box::new(LogitMse {
                reduction: config.reduction.into(),
            }),
            Self::Pkd(config) => Box::new(Pkd::new(config, pair)?),
            Self::HiddenStates(config) => Box::new(MatchedStates::new(config, pair)?),
            Self::AttentionScores(config) => Box::new(AttentionScores::new(config, pair)?),
            Self::AnnealedLogits(config) => Box::new(AnnealedLogits::new(*config)?),
            Self::FeatureMaps(config) => Box::new(FeatureMaps::new(config, pair)?),
            Self::AttentionMaps(config) => Box::new(MatchedAttention::new(config, pair)?),
            Self::CosineStates(config) => {
                Box::new(StateRelations::new(Relation::Cosine, config, pair)?)
            }
            Self::Mmd(config) => {
                Box::new(StateRelations::new(Relation::TokenProducts, config, pair)?)
            }
            Self::Fsp(config) => Box::new(StateRelations::new(Relation::Flow, config, pair)?),
            Self::HardTeacherLabels(_) if regression => {
                return Err(TrainError::Setting {
                    setting: "hard-teacher-labels",
                    found: "a regression".into(),
                    expected: "labels; for numbers use `logit-mse`".into(),
                });
            }
            Self::HardTeacherLabels(_) => Box::new(HardTeacherLabels),
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
        if !weights_fit || configs.iter().map(ObjectiveConfig::weight).sum::<f64>() <= 0.0 {
            return Err(TrainError::Setting {
                setting: "objective",
                found: format!(
                    "weights {:?}",
                    configs
                        .iter()
                        .map(ObjectiveConfig::weight)
                        .collect::<Vec<_>>()
                ),
                expected: "at least one objective, with weights of 0 or more that are not all 0"
                    .into(),
            });
        }
        let terms = configs
            .iter()
            .filter(|c| c.weight() > 0.0)
            .map(|c| Ok((c.weight(), c.build(pair)?)));
        let sum = Self {
            terms: terms.collect::<Result<_, TrainError>>()?,
        };
        sum.check_names()?;
        Ok(sum)
    }

    /// Fails where two objectives would keep what they train under one name.
    fn check_names(&self) -> Result<(), TrainError> {
        let mut names = std::collections::BTreeSet::new();
        for parameter in self.parameters() {
            if !names.insert(parameter.name().to_owned()) {
                return Err(TrainError::Setting {
                    setting: "objective",
                    found: format!("`{}` twice", parameter.name()),
                    expected: "an objective with projections once; name all its layers there"
                        .into(),
                });
            }
        }
        Ok(())
    }

    /// Fails where a phase's settings do not fit an objective's own.
    pub fn check_settings(&self, config: &TrainConfig) -> Result<(), TrainError> {
        let mut objectives = self.objectives();
        objectives.try_for_each(|objective| objective.check(config))
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

    /// The weighted sum of those terms alone that learn from hidden states or attention; `None` where none does.
    pub fn loss_of_maps(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Option<Tensor>, TrainError> {
        let mut total: Option<Tensor> = None;
        let maps = |objective: &dyn Objective| objective.needs() != Needs::NOTHING;
        for (weight, objective) in self.terms.iter().filter(|(_, o)| maps(&**o)) {
            let weighted = (objective.loss(student, teacher, given)? * *weight)?;
            total = Some(match total {
                Some(total) => (total + weighted)?,
                None => weighted,
            });
        }
        Ok(total)
    }
}
