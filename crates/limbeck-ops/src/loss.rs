//! Losses on logits, each with its gradient computed in the forward pass; on hidden states and attention in the files below.

mod attention;
mod squares;
mod states;

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use crate::access::{slice, with_data};
use crate::parameter::is_fused;
use crate::plain;

pub use attention::attention_divergence;
pub use squares::{mean_squared_distance, squared_distance};
pub use states::{
    PatientReduction, TwoLayers, cosine_distance, feature_distance, flow_distance, normalised,
    patient, standardised, sum, token_gram_distance,
};

/// How the differences between two distributions become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// `T² · Σ over labels, mean over the batch` of `p_T · (log p_T − log p_S)` (DistilBERT).
    #[default]
    BatchMean,
    /// The same, mean over batch and labels (PKD): smaller by the number of labels.
    ElementMean,
    /// `H(p_T, p_S)`, mean over the batch, without `T²` (`TextBrewer`, MATE-KD).
    CrossEntropy,
}

/// `mean over the batch of −log softmax(logits)[target]`.
///
/// `logits`: `[B, C]`; `targets`: `B` numbers below `C`. Returns a scalar.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (rows, labels) = logits.dims2()?;
    if rows != targets.len() || targets.iter().any(|&t| t as usize >= labels) {
        bail!("cross-entropy of {rows} x {labels} logits with targets {targets:?}");
    }
    if !is_fused(logits) {
        return plain::cross_entropy(logits, targets);
    }
    let targets = targets.to_vec();
    fused(logits, move |row, logits, gradient| {
        let total = softmax_row(gradient, logits, 1.0);
        let target = targets[row] as usize;
        let loss = total - f64::from(logits[target]);
        gradient[target] -= 1.0;
        (loss, 1.0)
    })
}

/// The student against the softened teacher (Hinton et al. 2015, §2), reduced as `reduction` says.
///
/// `student`, `teacher`: logits `[B, C]`; no gradient flows to the teacher. Returns a scalar.
pub fn soft_targets(
    student: &Tensor,
    teacher: &Tensor,
    temperature: f64,
    reduction: Reduction,
) -> Result<Tensor> {
    let (rows, labels) = student.dims2()?;
    if teacher.dims2()? != (rows, labels) {
        bail!(
            "soft targets: student logits {:?}, teacher logits {:?}",
            student.dims(),
            teacher.dims()
        );
    }
    if !is_fused(student) || !is_fused(teacher) {
        return plain_soft_targets(student, teacher, temperature, reduction);
    }
    let teacher: Vec<f32> = teacher.detach().flatten_all()?.to_vec1()?;
    let inverse = (1.0 / temperature) as f32;
    let (value_factor, with_entropy) = match reduction {
        Reduction::BatchMean => (temperature.powi(2), true),
        Reduction::ElementMean => (temperature.powi(2) / labels as f64, true),
        Reduction::CrossEntropy => (1.0, false),
    };
    fused(student, move |row, student, gradient| {
        let teacher = &teacher[row * labels..][..labels];
        let mut target = vec![0.0; labels];
        let teacher_total = softmax_row(&mut target, teacher, inverse);
        let student_total = softmax_row(gradient, student, inverse);
        let mut loss = 0.0;
        for ((gradient, &target), (&s, &t)) in gradient
            .iter_mut()
            .zip(&target)
            .zip(student.iter().zip(teacher))
        {
            let log_p_student = f64::from(s * inverse) - student_total;
            let log_p_teacher = if with_entropy {
                f64::from(t * inverse) - teacher_total
            } else {
                0.0
            };
            loss += f64::from(target) * (log_p_teacher - log_p_student);
            *gradient = (*gradient - target) * inverse;
        }
        (loss * value_factor, value_factor as f32)
    })
}

fn plain_soft_targets(
    student: &Tensor,
    teacher: &Tensor,
    temperature: f64,
    reduction: Reduction,
) -> Result<Tensor> {
    let labels = student.dim(1)? as f64;
    match reduction {
        Reduction::BatchMean => {
            plain::divergence(student, teacher, temperature)? * temperature.powi(2)
        }
        Reduction::ElementMean => {
            plain::divergence(student, teacher, temperature)? * (temperature.powi(2) / labels)
        }
        Reduction::CrossEntropy => {
            let student = plain::log_softmax(&(student / temperature)?)?;
            let teacher = plain::softmax(&(teacher.detach() / temperature)?)?;
            let rows = student.dim(0)? as f64;
            (teacher * student)?.sum_all()? * (-1.0 / rows)
        }
    }
}

/// How squared differences of logits become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SquaredReduction {
    /// Sum over labels, mean over the batch (Sučík).
    BatchMean,
    /// Mean over batch and labels (Tang, Annealing-KD, `TextBrewer`).
    #[default]
    ElementMean,
}

/// Squared differences of logits, or of a regression's output and its target; `[B, C]` both.
pub fn squared_error(
    student: &Tensor,
    target: &Tensor,
    reduction: SquaredReduction,
) -> Result<Tensor> {
    let squares = (student - target.detach())?.sqr()?;
    match reduction {
        SquaredReduction::ElementMean => squares.mean_all(),
        SquaredReduction::BatchMean => squares.sum_all()? / student.dim(0)? as f64,
    }
}

/// Writes `softmax(factor · logits)` and returns `log Σ exp(factor · logits)`.
fn softmax_row(out: &mut [f32], logits: &[f32], factor: f32) -> f64 {
    let largest = logits
        .iter()
        .fold(f32::NEG_INFINITY, |a, &b| a.max(b * factor));
    let mut total = 0.0;
    let powers: Vec<f64> = logits
        .iter()
        .map(|&l| (f64::from(l * factor) - f64::from(largest)).exp())
        .collect();
    for &power in &powers {
        total += power;
    }
    for (out, power) in out.iter_mut().zip(powers) {
        *out = (power / total) as f32;
    }
    total.ln() + f64::from(largest)
}

/// Mean over rows of a loss given row by row with its gradient.
///
/// `row(index, logits, gradient)` fills `gradient` and returns the loss and the gradient's factor.
fn fused<F>(logits: &Tensor, row: F) -> Result<Tensor>
where
    F: Fn(usize, &[f32], &mut [f32]) -> (f64, f32) + Send + Sync + 'static,
{
    logits.contiguous()?.apply_op1(RowLoss {
        row,
        gradient: Mutex::new(Vec::new()),
    })
}

struct RowLoss<F> {
    row: F,
    gradient: Mutex<Vec<f32>>,
}

impl<F: Fn(usize, &[f32], &mut [f32]) -> (f64, f32) + Send + Sync> CustomOp1 for RowLoss<F> {
    fn name(&self) -> &'static str {
        "row-loss"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = slice(storage, layout)?;
        let (rows, labels) = layout.shape().dims2()?;
        let mut gradient = vec![0.0; logits.len()];
        let mut total = 0.0;
        for (index, (logits, gradient)) in logits
            .chunks_exact(labels)
            .zip(gradient.chunks_exact_mut(labels))
            .enumerate()
        {
            let (loss, factor) = (self.row)(index, logits, gradient);
            total += loss;
            for value in gradient {
                *value *= factor / rows as f32;
            }
        }
        *self.gradient.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
        Ok((
            CpuStorage::F32(vec![(total / rows as f64) as f32]),
            ().into(),
        ))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let factor = with_data(upstream, |upstream| Ok(upstream[0]))?;
        let saved = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        let gradient = saved.iter().map(|g| g * factor).collect();
        Ok(Some(Tensor::from_vec(
            gradient,
            logits.shape(),
            &Device::Cpu,
        )?))
    }
}
