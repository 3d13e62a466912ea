//! Sums of squared differences in one pass over the data.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use crate::access::{slice, with_data};
use crate::parameter::is_fused;

/// `Σ (student − target)² / count`, over all elements.
///
/// `student`, `target`: of one shape; no gradient flows to the target. Returns a scalar.
pub fn squared_distance(student: &Tensor, target: &Tensor, count: f64) -> Result<Tensor> {
    if student.dims() != target.dims() {
        bail!(
            "squared distance: student {:?}, target {:?}",
            student.dims(),
            target.dims()
        );
    }
    if !is_fused(student) || !is_fused(target) {
        return (student - target.detach())?.sqr()?.sum_all()? * (1.0 / count);
    }
    student.contiguous()?.apply_op1(Squares {
        target: target.detach(),
        factor: 1.0 / count,
        differences: Mutex::new(Vec::new()),
    })
}

/// Mean over all elements of `(student − target)²`.
pub fn mean_squared_distance(student: &Tensor, target: &Tensor) -> Result<Tensor> {
    squared_distance(student, target, student.elem_count() as f64)
}

struct Squares {
    target: Tensor,
    factor: f64,
    differences: Mutex<Vec<f32>>,
}

impl CustomOp1 for Squares {
    fn name(&self) -> &'static str {
        "squared-distance"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let student = slice(storage, layout)?;
        let differences: Vec<f32> = with_data(&self.target, |target| {
            Ok(student.iter().zip(target).map(|(s, t)| s - t).collect())
        })?;
        // Short sums in single precision, added in double: as exact, and no slower than memory.
        let sums = differences.chunks(64);
        let total: f64 = sums
            .map(|part| f64::from(part.iter().map(|d| d * d).sum::<f32>()))
            .sum();
        *self.held() = differences;
        Ok((
            CpuStorage::F32(vec![(total * self.factor) as f32]),
            ().into(),
        ))
    }

    fn bwd(&self, student: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let upstream = with_data(upstream, |upstream| Ok(f64::from(upstream[0])))?;
        let factor = (2.0 * self.factor * upstream) as f32;
        let gradient = self.held().iter().map(|d| d * factor).collect();
        Ok(Some(Tensor::from_vec(
            gradient,
            student.shape(),
            &Device::Cpu,
        )?))
    }
}

impl Squares {
    fn held(&self) -> std::sync::MutexGuard<'_, Vec<f32>> {
        self.differences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
