//! Settings of the training loop.

use limbeck_ops::optimizer::Rule;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::schedule::Schedule;

/// The training loop's settings; the defaults are BERT's for fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training set, above 0; fractions are allowed.
    pub epochs: f64,
    /// Stop after this many steps at the latest; 0 for no limit.
    pub max_steps: u64,
    /// Sentences per forward and backward pass.
    pub batch_size: usize,
    /// Batches whose gradients are averaged into one step.
    pub accumulation: usize,
    /// Most tokens per forward pass; larger batches are cut, with the same result up to rounding; refused by
    /// losses that are means over tokens or compare sentences. 0 for no limit.
    pub token_budget: usize,
    /// Longest sentence in tokens, special tokens included; longer ones are cut.
    pub max_tokens: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How it changes after warm-up.
    pub schedule: Schedule,
    /// Share of all steps in which it rises from zero, in `[0, 1]`.
    pub warmup_fraction: f64,
    /// Rule that changes the parameters.
    pub optimizer: OptimizerKind,
    /// Weight decay of matrices (AdamW); biases and norms do not decay.
    pub weight_decay: f64,
    /// Decay of the squared gradient's mean (AdamW), in `[0, 1)`.
    pub beta2: f64,
    /// What is added to the root of that mean (AdamW), above 0.
    pub epsilon: f64,
    /// Largest norm of all gradients together; 0 for no limit.
    pub clip_norm: f64,
    /// Evaluate on the dev set every so many steps; 0 for once an epoch.
    pub evaluate_every: u64,
    /// Stop after so many evaluations without a better dev score; 0 to go on.
    pub patience: u64,
    /// Write a log record every so many steps.
    pub log_every: u64,
    /// Seconds between checkpoints that an interrupted run goes on from.
    pub checkpoint_every_s: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 3.0,
            max_steps: 0,
            batch_size: 32,
            accumulation: 1,
            token_budget: 0,
            max_tokens: 128,
            learning_rate: 2e-5,
            schedule: Schedule::Linear,
            warmup_fraction: 0.1,
            optimizer: OptimizerKind::AdamW,
            weight_decay: 0.01,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            evaluate_every: 0,
            patience: 0,
            log_every: 10,
            checkpoint_every_s: 60,
        }
    }
}

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay; β₁ 0.9.
    #[serde(rename = "adamw")]
    AdamW,
    /// Adadelta; ρ 0.95, ε 1e-6.
    Adadelta,
}

impl TrainConfig {
    /// Fails on a setting out of range.
    pub fn check(&self) -> Result<(), TrainError> {
        let rules: [(&'static str, bool, String, &str); 11] = [
            (
                "epochs",
                self.epochs > 0.0 && self.epochs.is_finite(),
                self.epochs.to_string(),
                "a number above 0",
            ),
            (
                "batch-size",
                self.batch_size > 0,
                self.batch_size.to_string(),
                "1 or more",
            ),
            (
                "accumulation",
                self.accumulation > 0,
                self.accumulation.to_string(),
                "1 or more",
            ),
            (
                "max-tokens",
                self.max_tokens > 2,
                self.max_tokens.to_string(),
                "3 or more",
            ),
            (
                "learning-rate",
                self.learning_rate > 0.0 && self.learning_rate.is_finite(),
                self.learning_rate.to_string(),
                "a number above 0",
            ),
            (
                "warmup-fraction",
                (0.0..=1.0).contains(&self.warmup_fraction),
                self.warmup_fraction.to_string(),
                "a share in [0, 1]",
            ),
            (
                "weight-decay",
                (0.0..1.0).contains(&self.weight_decay),
                self.weight_decay.to_string(),
                "a number in [0, 1)",
            ),
            (
                "beta2",
                (0.0..1.0).contains(&self.beta2),
                self.beta2.to_string(),
                "a number in [0, 1)",
            ),
            (
                "epsilon",
                self.epsilon > 0.0 && self.epsilon.is_finite(),
                self.epsilon.to_string(),
                "a number above 0",
            ),
            (
                "clip-norm",
                self.clip_norm >= 0.0,
                self.clip_norm.to_string(),
                "0 (no limit) or more",
            ),
            (
                "log-every",
                self.log_every > 0,
                self.log_every.to_string(),
                "1 or more",
            ),
        ];
        match rules.into_iter().find(|(_, fits, _, _)| !fits) {
            Some((setting, _, found, expected)) => Err(TrainError::Setting {
                setting,
                found,
                expected: expected.into(),
            }),
            None => Ok(()),
        }
    }

    /// The optimiser's rule, with this weight decay where it has one.
    pub fn rule(&self, weight_decay: f64) -> Rule {
        match self.optimizer {
            OptimizerKind::AdamW => Rule::AdamW {
                beta1: 0.9,
                beta2: self.beta2,
                epsilon: self.epsilon,
                weight_decay,
            },
            OptimizerKind::Adadelta => Rule::ADADELTA,
        }
    }

    /// Steps of one epoch and of the whole run for `examples` examples.
    pub fn steps(&self, examples: usize) -> (u64, u64) {
        let per_epoch = examples
            .div_ceil(self.batch_size * self.accumulation)
            .max(1) as u64;
        let total = ((per_epoch as f64 * self.epochs).round() as u64).max(1);
        (
            per_epoch,
            if self.max_steps > 0 {
                total.min(self.max_steps)
            } else {
                total
            },
        )
    }
}
