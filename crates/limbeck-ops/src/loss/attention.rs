//! Losses on what student and teacher attend to.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor, bail};

use super::softmax_row;
use crate::AttentionMaps;
use crate::access::{slice, with_data};
use crate::parameter::is_fused;
use crate::plain::{self, PaddedMapRows};

/// `KL(teacher ‖ student)` of attention probabilities, mean over heads and queries (`MobileBERT`, Sun et al. 2020, eq. 2).
///
/// Queries and keys are real tokens only. No gradient flows to the teacher. Returns a scalar.
pub fn attention_divergence(student: &AttentionMaps, teacher: &AttentionMaps) -> Result<Tensor> {
    if student.starts != teacher.starts || student.heads != teacher.heads {
        bail!(
            "attention of {} heads over {} tokens against {} heads over {} tokens",
            student.heads,
            student.starts.tokens(),
            teacher.heads,
            teacher.starts.tokens()
        );
    }
    if !is_fused(&student.scores) || !is_fused(&teacher.scores) {
        return plain_divergence(student, teacher);
    }
    student.scores.contiguous()?.apply_op1(Divergence {
        student: student.clone(),
        teacher: teacher.scores.detach(),
        gradient: Mutex::new(Vec::new()),
    })
}

fn plain_divergence(student: &AttentionMaps, teacher: &AttentionMaps) -> Result<Tensor> {
    let (starts, heads) = (&student.starts, student.heads);
    let student = PaddedMapRows::new(&student.scores, starts, heads)?;
    let teacher = PaddedMapRows::new(&teacher.scores.detach(), starts, heads)?.rows;
    let (student, mask) = (student.rows, student.mask);
    let log_probabilities = |scores: &Tensor| {
        let hidden = ((1.0 - &mask)? * 1e9)?;
        plain::log_softmax(&(scores - hidden)?)
    };
    let (student, teacher) = (log_probabilities(&student)?, log_probabilities(&teacher)?);
    let rows = mask.dim(0)? as f64;
    ((teacher.exp()? * (teacher - student)?)? * mask)?
        .sum(D::Minus1)?
        .sum_all()?
        .affine(1.0 / rows, 0.0)
}

struct Divergence {
    /// For its layout.
    student: AttentionMaps,
    teacher: Tensor,
    gradient: Mutex<Vec<f32>>,
}

impl Divergence {
    fn rows(&self) -> usize {
        self.student.heads * self.student.starts.tokens()
    }

    /// Sum over rows, and its gradient.
    fn compute(&self, student: &[f32], teacher: &[f32], gradient: &mut [f32]) -> f64 {
        let (mut first, mut total) = (0, 0.0);
        let mut target = vec![0.0; self.student.starts.longest()];
        for length in self.student.starts.lengths() {
            for _ in 0..self.student.heads * length {
                let range = first..first + length;
                first += length;
                let (student, teacher) = (&student[range.clone()], &teacher[range.clone()]);
                let (gradient, target) = (&mut gradient[range], &mut target[..length]);
                let teacher_total = softmax_row(target, teacher, 1.0);
                let student_total = softmax_row(gradient, student, 1.0);
                for ((gradient, &p), (&s, &t)) in gradient
                    .iter_mut()
                    .zip(target.iter())
                    .zip(student.iter().zip(teacher))
                {
                    let log_ratio = (f64::from(t) - teacher_total) - (f64::from(s) - student_total);
                    total += f64::from(p) * log_ratio;
                    *gradient -= p;
                }
            }
        }
        total
    }
}

impl CustomOp1 for Divergence {
    fn name(&self) -> &'static str {
        "attention-divergence"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let student = slice(storage, layout)?;
        let mut gradient = vec![0.0; student.len()];
        let total = with_data(&self.teacher, |teacher| {
            Ok(self.compute(student, teacher, &mut gradient))
        })?;
        *self.gradient.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
        let mean = total / self.rows() as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), ().into()))
    }

    fn bwd(&self, scores: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let upstream = with_data(upstream, |upstream| Ok(f64::from(upstream[0])))?;
        let factor = (upstream / self.rows() as f64) as f32;
        let saved = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        let gradient = saved.iter().map(|g| g * factor).collect();
        Ok(Some(Tensor::from_vec(
            gradient,
            scores.shape(),
            &Device::Cpu,
        )?))
    }
}
