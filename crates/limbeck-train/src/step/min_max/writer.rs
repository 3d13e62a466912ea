//! Who fills the gaps of a text.

use limbeck_model::{Input, MaskedLanguageModel, Pieces, TextTokenizer};
use limbeck_ops::{Parameter, Pass, mix64};
use serde::{Deserialize, Serialize};

use super::gumbel;
use super::masked::{Masked, share};
use crate::TrainError;
use crate::group::{Group, Pace};
use crate::schedule::Schedule;
use crate::step::above_zero;

/// Who fills the gaps, in a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum GeneratorConfig {
    /// A masked language model that learns to write texts of which student and teacher judge differently.
    Model(GeneratorModelConfig),
    /// A control: tokens drawn uniformly from the vocabulary, special ones left out.
    Random,
    /// A control: gaps stay gaps, each with the mask token.
    Mask,
}

/// Settings of a generator that is a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GeneratorModelConfig {
    /// A folder, a finished run of `limbeck pretrain mlm`, or a hub id; its vocabulary has to be the student's and the teacher's.
    pub from: String,
    /// Batches in a row from which it learns; 0 leaves it as it is (a control).
    #[serde(default = "ten")]
    pub steps: u64,
    /// Peak learning rate of its own optimiser.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// How that changes over the run.
    #[serde(default = "flat")]
    pub schedule: Schedule,
    /// Weight decay of its matrices.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// τ of the soft choices that gradients pass through on the way back, above 0.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn ten() -> u64 {
    10
}

fn learning_rate() -> f64 {
    5e-7
}

fn flat() -> Schedule {
    Schedule::Flat
}

fn weight_decay() -> f64 {
    0.01
}

fn one() -> f64 {
    1.0
}

impl GeneratorModelConfig {
    /// The defaults for this model.
    pub fn new(from: &str) -> Self {
        Self {
            from: from.to_owned(),
            steps: ten(),
            learning_rate: learning_rate(),
            schedule: flat(),
            weight_decay: weight_decay(),
            temperature: one(),
        }
    }

    fn check(&self) -> Result<(), TrainError> {
        above_zero("step.generator.model.learning-rate", self.learning_rate)?;
        above_zero("step.generator.model.temperature", self.temperature)?;
        if (0.0..1.0).contains(&self.weight_decay) {
            return Ok(());
        }
        Err(TrainError::Setting {
            setting: "step.generator.model.weight-decay",
            found: self.weight_decay.to_string(),
            expected: "a number in [0, 1)".into(),
        })
    }
}

/// Who fills the gaps, ready to write.
#[derive(Debug)]
pub(super) enum Writer {
    Model {
        model: Box<MaskedLanguageModel>,
        config: GeneratorModelConfig,
    },
    Random(Vec<u32>),
    Mask(u32),
}

impl Writer {
    /// `student`: the tokenizer whose vocabulary all models share.
    pub(super) fn new(
        config: &GeneratorConfig,
        model: Option<&MaskedLanguageModel>,
        student: &TextTokenizer,
        mask_id: u32,
    ) -> Result<Self, TrainError> {
        Ok(match (config, model) {
            (GeneratorConfig::Model(config), Some(model)) => {
                config.check()?;
                Self::Model {
                    model: Box::new(model.clone()),
                    config: config.clone(),
                }
            }
            (GeneratorConfig::Model(config), None) => {
                return Err(TrainError::Setting {
                    setting: "step.generator.model",
                    found: format!("`{}`, not opened", config.from),
                    expected: "a masked language model".into(),
                });
            }
            (GeneratorConfig::Random, _) => Self::Random(Pieces::of(student).ordinary_ids()),
            (GeneratorConfig::Mask, _) => Self::Mask(mask_id),
        })
    }

    /// The model with its settings.
    pub(super) fn model(&self) -> Option<(&MaskedLanguageModel, &GeneratorModelConfig)> {
        match self {
            Self::Model { model, config } => Some((model, config)),
            Self::Random(_) | Self::Mask(_) => None,
        }
    }

    /// Batches in a row from which it learns.
    pub(super) fn steps(&self) -> u64 {
        self.model().map_or(0, |(_, config)| config.steps)
    }

    /// Its parameters with an optimiser of their own, where it learns.
    pub(super) fn group(&self) -> Option<Group> {
        let (model, config) = self.model().filter(|(_, config)| config.steps > 0)?;
        let pace = Pace {
            learning_rate: config.learning_rate,
            schedule: config.schedule,
            weight_decay: config.weight_decay,
        };
        Some(Group::beside("generator", model.parameters(), pace))
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        self.model()
            .map_or_else(Vec::new, |(model, _)| model.parameters())
    }

    /// Tokens for all gaps, without a graph: a model's are drawn from its distribution, without dropout.
    pub(super) fn write(
        &self,
        masked: &Masked,
        vocabulary: usize,
        key: u64,
    ) -> Result<Vec<u32>, TrainError> {
        let keys = masked.keys(key);
        match self {
            Self::Model { model, .. } if !keys.is_empty() => {
                let pass = &Pass::EVALUATE;
                let logits = model.logits(&masked.batch, Input::Ids, &masked.rows, pass)?;
                gumbel::sample(&logits.narrow(1, 0, vocabulary)?.contiguous()?, &keys)
            }
            Self::Model { .. } => Ok(Vec::new()),
            Self::Random(ids) => {
                let pick = |key| ids[(share(mix64(key)) * ids.len() as f64) as usize];
                Ok(keys.into_iter().map(pick).collect())
            }
            Self::Mask(id) => Ok(vec![*id; keys.len()]),
        }
    }
}
