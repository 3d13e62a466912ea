//! How far a student is from its teacher, with gradients to both.

use candle_core::Tensor;
use limbeck_ops::plain::{log_softmax, softmax};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// What a generator makes large and a student small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DivergenceKind {
    /// `KL(T‖S)`, as the papers of MATE-KD and CILDA print it.
    #[default]
    Kl,
    /// `H(T, S)`, as MATE-KD's code has it: the student's gradient is that of `Kl`, but a generator is also rewarded for texts
    /// of which the teacher is unsure.
    CrossEntropy,
}

/// A divergence of logits with all its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Which.
    pub kind: DivergenceKind,
    /// Divides both models' logits; the gradient's size is kept by its square for `Kl`.
    pub temperature: f64,
    /// Outputs are numbers: squared error instead.
    pub regression: bool,
}

impl Divergence {
    /// The mean over the batch; `teacher` and `student`: `[B, C]`. Gradients flow to both.
    ///
    /// `Kl`: `T² Σ_C p_T (log p_T − log p_S)`; `CrossEntropy`: `−Σ_C p_T log p_S`; regression: `(z_T − z_S)²`.
    pub fn between(&self, teacher: &Tensor, student: &Tensor) -> Result<Tensor, TrainError> {
        if self.regression {
            return Ok((teacher - student)?.sqr()?.mean_all()?);
        }
        let (teacher, student) = ((teacher / self.temperature)?, (student / self.temperature)?);
        let log_p_student = log_softmax(&student)?;
        let p_teacher = softmax(&teacher)?;
        let rows = student.dim(0)? as f64;
        Ok(match self.kind {
            DivergenceKind::Kl => {
                let difference = (log_softmax(&teacher)? - log_p_student)?;
                ((p_teacher * difference)?.sum_all()? * (self.temperature.powi(2) / rows))?
            }
            DivergenceKind::CrossEntropy => {
                ((p_teacher * log_p_student)?.sum_all()? * (-1.0 / rows))?
            }
        })
    }
}
