use candle_core::Tensor;
use limbeck_model::Output;
use limbeck_ops::loss::{SquaredReduction, squared_error};
use serde::{Deserialize, Serialize};

use super::{Given, Objective};
use crate::TrainError;
use crate::config::TrainConfig;
use crate::teacher::{Signal, required};

const NAME: &str = "annealed-logits";

/// Settings of `annealed-logits`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AnnealedLogitsConfig {
    /// Weight in the sum, at least 0.
    pub weight: f64,
    /// Steps from a flattened to the full teacher; the paper's `τ_max`.
    pub max_temperature: u64,
    /// Epochs of the phase: `train.epochs`, rounded up.
    pub epochs: u64,
}

impl Default for AnnealedLogitsConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            max_temperature: 7,
            epochs: 14,
        }
    }
}

/// The teacher's logits, small at first and growing to their full size (Annealing-KD, Jafari et al. 2021, eq. 6):
/// `MSE(z_S, z_T · t / τ_max)`, mean over batch and labels, with `t` rising from 1 to `τ_max`.
pub struct AnnealedLogits(AnnealedLogitsConfig);

/// `t / τ_max` in the 0-based `epoch` of `epochs`: `t = min(τ_max, ⌊epoch / ⌊epochs / τ_max⌋⌋ + 1)`.
///
/// The released code has no minimum, so that odd ratios grow past the teacher's own logits.
pub fn annealing_factor(epoch: u64, epochs: u64, max_temperature: u64) -> f64 {
    let each = (epochs / max_temperature).max(1);
    let temperature = max_temperature.min(epoch / each + 1);
    temperature as f64 / max_temperature as f64
}

impl AnnealedLogits {
    pub(crate) fn new(config: AnnealedLogitsConfig) -> Result<Self, TrainError> {
        if config.max_temperature == 0 || config.epochs < config.max_temperature {
            return Err(TrainError::Setting {
                setting: "max-temperature",
                found: format!("{} in {} epochs", config.max_temperature, config.epochs),
                expected: "1 or more, and no more than there are epochs".into(),
            });
        }
        Ok(Self(config))
    }
}

impl Objective for AnnealedLogits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn check(&self, config: &TrainConfig) -> Result<(), TrainError> {
        if self.0.epochs == config.epochs.ceil() as u64 {
            return Ok(());
        }
        Err(TrainError::Setting {
            setting: "annealed-logits.epochs",
            found: self.0.epochs.to_string(),
            expected: format!("the phase's epochs, {}", config.epochs.ceil()),
        })
    }

    fn loss(
        &self,
        student: &Output,
        teacher: Option<&Signal>,
        given: Given<'_>,
    ) -> Result<Tensor, TrainError> {
        let teacher = required(teacher, NAME)?;
        let factor = annealing_factor(given.epoch, self.0.epochs, self.0.max_temperature);
        Ok(squared_error(
            &student.logits,
            &(&teacher.logits * factor)?,
            SquaredReduction::ElementMean,
        )?)
    }
}
