//! MATE-KD: a student learns on texts that a generator wrote against it.

use limbeck_model::Target;
use serde::{Deserialize, Serialize};

use super::min_max::{Beside, Divergence, DivergenceKind, GeneratorConfig, MinMax, Rules};
use crate::TrainError;
use crate::objective::Pair;

/// Settings of `mate-kd` (Rashid et al. 2021): masked adversarial text for distillation.
///
/// For a few batches a masked language model learns to fill gaps such that teacher and student disagree; for many more the
/// student learns from the objectives on the text itself, and to follow the teacher on texts with such fillings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MateKdConfig {
    /// Who fills the gaps: `{ model = { from = ".." } }`, or the controls `random` and `mask`.
    pub generator: Option<GeneratorConfig>,
    /// Batches in a row from which the student learns, between those from which the generator does.
    pub student_steps: u64,
    /// Probability that a token is hidden, in `(0, 1]`; special tokens never are.
    pub mask_fraction: f64,
    /// `kl` or `cross-entropy`.
    pub divergence: DivergenceKind,
    /// Divides the logits of both models in the divergence, above 0.
    pub temperature: f64,
    /// Weight of the divergence on written texts beside the objectives, at least 0.
    pub weight: f64,
}

impl Default for MateKdConfig {
    fn default() -> Self {
        Self {
            generator: None,
            student_steps: 100,
            mask_fraction: 0.3,
            divergence: DivergenceKind::Kl,
            temperature: 1.0,
            weight: 1.0 / 3.0,
        }
    }
}

impl MateKdConfig {
    /// The step for these models.
    pub fn build(&self, pair: &Pair<'_>, beside: Beside<'_>) -> Result<MinMax, TrainError> {
        let rules = Rules {
            name: "mate-kd",
            student_steps: self.student_steps,
            mask_fraction: self.mask_fraction,
            divergence: Divergence {
                kind: self.divergence,
                temperature: self.temperature,
                regression: *pair.student.target() == Target::Regression,
            },
            gain: 1.0,
            weight: self.weight,
            contrast: None,
        };
        MinMax::new(rules, self.generator.as_ref(), pair, beside)
    }
}
