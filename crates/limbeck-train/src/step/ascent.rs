//! How adversarial perturbations climb: where they start, how far a step goes, and what holds them back.

use limbeck_model::{Batch, stream_key};
use limbeck_ops::mix64;
use serde::{Deserialize, Serialize};

use super::Lesson;
use super::perturbation::{Norm, Perturbation, Span};
use crate::TrainError;

/// What a perturbation may be.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeltaConfig {
    /// At most 1e-5 (l2) for each token, steps of 1e-3: the numbers that AD²'s paper prints.
    #[default]
    AsPrinted,
    /// Steps along the gradient's direction, held in an l2 ball.
    Ball(BallConfig),
    /// Each token's vector brought to norm 1 after every step, as in SMART and ALUM.
    Unit(UnitConfig),
    /// `FreeLB`'s steps and ball, for each sentence.
    FreeLb(FreeLbDeltaConfig),
    /// None: what remains is a second dropout mask.
    None,
}

/// Settings of `ball`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BallConfig {
    /// Largest l2 norm, above 0.
    pub radius: f64,
    /// Length of a step, above 0; from `radius` on, one step from zero ends on the sphere.
    pub step_size: f64,
    /// What has that norm: `token` or `sentence`.
    pub over: Span,
}

impl Default for BallConfig {
    fn default() -> Self {
        Self {
            radius: 0.1,
            step_size: 0.1,
            over: Span::Sentence,
        }
    }
}

/// Settings of `unit`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct UnitConfig {
    /// `l2` or `max`.
    pub norm: Norm,
    /// Factor of the gradient, above 0; does not matter where a single step starts from zero.
    pub step_size: f64,
}

impl Default for UnitConfig {
    fn default() -> Self {
        Self {
            norm: Norm::L2,
            step_size: 1e-3,
        }
    }
}

/// Settings of `free-lb` as a perturbation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FreeLbDeltaConfig {
    /// Length of a step for a whole sentence, above 0 (`adv_lr`).
    pub step_size: f64,
    /// Largest l2 norm for a whole sentence; 0 for no limit.
    pub max_norm: f64,
}

impl Default for FreeLbDeltaConfig {
    fn default() -> Self {
        Self {
            step_size: 0.1,
            max_norm: 0.3,
        }
    }
}

/// Where a perturbation starts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StartConfig {
    /// At zero.
    #[default]
    Zero,
    /// At even draws from `±magnitude / √(tokens · width)` for each sentence.
    Uniform {
        /// Above 0.
        magnitude: f64,
    },
    /// At draws from a normal distribution.
    Normal {
        /// Its standard deviation, above 0.
        deviation: f64,
    },
}

impl StartConfig {
    /// The perturbation to begin with; `key` changes with every step.
    pub fn draw(self, batch: &Batch, width: usize, key: u64) -> Perturbation {
        match self {
            Self::Zero => Perturbation::zeros(&batch.starts, width),
            Self::Uniform { magnitude } => Perturbation::uniform(batch, width, magnitude, key),
            Self::Normal { deviation } => Perturbation::normal(batch, width, deviation, key),
        }
    }

    pub(super) fn check(self) -> Result<(), TrainError> {
        match self {
            Self::Zero => Ok(()),
            Self::Uniform { magnitude } => above_zero("step.start.magnitude", magnitude),
            Self::Normal { deviation } => above_zero("step.start.deviation", deviation),
        }
    }
}

/// Key of a lesson's random perturbations: the run's seed and the step.
pub(super) fn perturbation_key(lesson: &Lesson<'_>) -> u64 {
    mix64(stream_key(lesson.run.seed, "perturbation") ^ mix64(lesson.keys.step))
}

/// One step of projected gradient ascent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ascent {
    /// Factor of the gradient, or of its direction.
    pub step_size: f64,
    /// What follows the step.
    pub bound: Bound,
}

/// What holds a perturbation back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Steps along the gradient's direction over the span; then into an l2 ball.
    Ball {
        /// What is measured.
        over: Span,
        /// The ball's, if there is one.
        radius: Option<f64>,
    },
    /// Steps along the gradient itself; then every token is brought to norm 1.
    Unit(Norm),
}

impl DeltaConfig {
    /// How the perturbation climbs; `None` where there is none.
    pub fn ascent(self) -> Option<Ascent> {
        let (step_size, bound) = match self {
            Self::AsPrinted => (
                1e-3,
                Bound::Ball {
                    over: Span::Token,
                    radius: Some(1e-5),
                },
            ),
            Self::Ball(ball) => (
                ball.step_size,
                Bound::Ball {
                    over: ball.over,
                    radius: Some(ball.radius),
                },
            ),
            Self::Unit(unit) => (unit.step_size, Bound::Unit(unit.norm)),
            Self::FreeLb(free) => (
                free.step_size,
                Bound::Ball {
                    over: Span::Sentence,
                    radius: Some(free.max_norm).filter(|&radius| radius > 0.0),
                },
            ),
            Self::None => return None,
        };
        Some(Ascent { step_size, bound })
    }

    pub(super) fn check(self) -> Result<(), TrainError> {
        match self {
            Self::AsPrinted | Self::None => Ok(()),
            Self::Ball(ball) => {
                above_zero("step.delta.radius", ball.radius)?;
                above_zero("step.delta.step-size", ball.step_size)
            }
            Self::Unit(unit) => above_zero("step.delta.step-size", unit.step_size),
            Self::FreeLb(free) => {
                above_zero("step.delta.step-size", free.step_size)?;
                not_negative("step.delta.max-norm", free.max_norm)
            }
        }
    }
}

impl Ascent {
    /// Moves `delta` along `gradient`, the gradient of each sentence's own loss, not of a mean over sentences.
    pub fn step(self, delta: &mut Perturbation, mut gradient: Perturbation) {
        match self.bound {
            Bound::Ball { over, radius } => {
                gradient.normalise(over, Norm::L2);
                delta.advance(&gradient, self.step_size);
                if let Some(radius) = radius {
                    delta.project(over, radius);
                }
            }
            Bound::Unit(norm) => {
                delta.advance(&gradient, self.step_size);
                delta.normalise(Span::Token, norm);
            }
        }
    }
}

pub(super) fn above_zero(setting: &'static str, value: f64) -> Result<(), TrainError> {
    in_range(setting, value, value > 0.0, "a number above 0")
}

pub(super) fn not_negative(setting: &'static str, value: f64) -> Result<(), TrainError> {
    in_range(setting, value, value >= 0.0, "a number of 0 or more")
}

pub(super) fn at_least_one(setting: &'static str, value: usize) -> Result<(), TrainError> {
    in_range(setting, value as f64, value > 0, "1 or more")
}

fn in_range(
    setting: &'static str,
    value: f64,
    fits: bool,
    expected: &str,
) -> Result<(), TrainError> {
    if fits && value.is_finite() {
        return Ok(());
    }
    Err(TrainError::Setting {
        setting,
        found: value.to_string(),
        expected: expected.into(),
    })
}
