//! From tokens to sentences.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use crate::Starts;
use crate::access::{slice, with_data};
use crate::parameter::is_fused;

/// The mean of each sentence's rows; `x`: `[N, H]`. Returns `[B, H]`.
pub fn mean_pool(x: &Tensor, starts: &Starts) -> Result<Tensor> {
    if !is_fused(x) {
        let means: Result<Vec<Tensor>> = starts
            .first_rows()
            .iter()
            .zip(starts.lengths())
            .map(|(&start, length)| x.narrow(0, start as usize, length)?.mean_keepdim(0))
            .collect();
        return Tensor::cat(&means?, 0);
    }
    x.contiguous()?.apply_op1(MeanPool(starts.clone()))
}

struct MeanPool(Starts);

impl CustomOp1 for MeanPool {
    fn name(&self) -> &'static str {
        "mean-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let width = layout.shape().dims2()?.1;
        let mut y = vec![0.0; self.0.sentences() * width];
        let sentences = self.0.first_rows().iter().zip(self.0.lengths());
        for (out, (&start, length)) in y.chunks_exact_mut(width).zip(sentences) {
            for row in x[start as usize * width..][..length * width].chunks_exact(width) {
                for (out, &value) in out.iter_mut().zip(row) {
                    *out += value;
                }
            }
            for value in out {
                *value /= length as f32;
            }
        }
        Ok((CpuStorage::F32(y), (self.0.sentences(), width).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(1)?;
        let mut x_gradient = Vec::with_capacity(x.elem_count());
        with_data(gradient, |gradient| {
            for (row, length) in gradient.chunks_exact(width).zip(self.0.lengths()) {
                for _ in 0..length {
                    x_gradient.extend(row.iter().map(|g| g / length as f32));
                }
            }
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?))
    }
}
