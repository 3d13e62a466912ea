//! CILDA: MATE-KD's game, with a contrastive loss between all layers on both sides of it.

use limbeck_model::Target;
use serde::{Deserialize, Serialize};

use super::above_zero;
use super::min_max::{
    Beside, Contrast, Divergence, DivergenceKind, GeneratorConfig, MinMax, Rules, WeighedContrast,
};
use crate::TrainError;
use crate::objective::Pair;

/// Settings of `cilda` (Haidar et al. 2022): contrastive intermediate-layer distillation with augmentation.
///
/// As [`super::MateKdConfig`]; generator and student also see how well the teacher's states of a written text, all layers
/// together, find the student's states of the same text among those of the batch. The batch is what it is found among, so the
/// epoch's last one teaches this only when whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CildaConfig {
    /// Who fills the gaps: `{ model = { from = ".." } }`, or the controls `random` and `mask`.
    pub generator: Option<GeneratorConfig>,
    /// Batches in a row from which the student learns, between those from which the generator does.
    pub student_steps: u64,
    /// Probability that a token is hidden, in `(0, 1]`; special tokens never are.
    pub mask_fraction: f64,
    /// `kl` or `cross-entropy`.
    pub divergence: DivergenceKind,
    /// Divides the logits of both models in the divergence (τ1), above 0.
    pub temperature: f64,
    /// Weight of the divergence on written texts in the student's loss, at least 0.
    pub weight: f64,
    /// The same in what the generator makes large (α1), at least 0.
    pub generator_weight: f64,
    /// Weight of the contrastive loss in the student's loss, at least 0.
    pub contrastive_weight: f64,
    /// The same in what the generator makes large (α2), at least 0.
    pub generator_contrastive_weight: f64,
    /// Divides cosines in the contrastive loss (τ2), above 0.
    pub contrastive_temperature: f64,
    /// Width of the common space that states are projected to.
    pub projection_size: usize,
}

impl Default for CildaConfig {
    fn default() -> Self {
        Self {
            generator: None,
            student_steps: 100,
            mask_fraction: 0.3,
            divergence: DivergenceKind::Kl,
            temperature: 1.0,
            weight: 2.0 / 9.0,
            generator_weight: 1.0,
            contrastive_weight: 1.0 / 9.0,
            generator_contrastive_weight: 1.0,
            contrastive_temperature: 2.0,
            projection_size: 128,
        }
    }
}

impl CildaConfig {
    /// The step for these models; fails where one of them has no layers.
    pub fn build(&self, pair: &Pair<'_>, beside: Beside<'_>) -> Result<MinMax, TrainError> {
        above_zero(
            "step.cilda.contrastive-temperature",
            self.contrastive_temperature,
        )?;
        above_zero("step.cilda.projection-size", self.projection_size as f64)?;
        let contrast = pair.teacher.map(|teacher| {
            Contrast::new(
                teacher,
                pair.student,
                self.projection_size,
                self.contrastive_temperature,
                pair.seed,
            )
        });
        let rules = Rules {
            name: "cilda",
            student_steps: self.student_steps,
            mask_fraction: self.mask_fraction,
            divergence: Divergence {
                kind: self.divergence,
                temperature: self.temperature,
                regression: *pair.student.target() == Target::Regression,
            },
            gain: self.generator_weight,
            weight: self.weight,
            contrast: contrast.transpose()?.map(|contrast| WeighedContrast {
                contrast,
                gain: self.generator_contrastive_weight,
                weight: self.contrastive_weight,
            }),
        };
        MinMax::new(rules, self.generator.as_ref(), pair, beside)
    }
}
