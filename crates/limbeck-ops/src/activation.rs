//! `f(x + bias)` in one pass.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use crate::access::{slice, with_data};
use crate::parameter::is_fused;
use crate::{Activation, plain};

/// An activation function, element by element; `x`: `[N, I]`.
///
/// The bias before it is part of [`crate::linear()`], which starts its product from it.
pub fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    if !is_fused(x) {
        return plain::activation(x, function);
    }
    x.contiguous()?.apply_op1(ActivationOp(function))
}

/// `x` where it is positive, elsewhere `slope · x` (Maas et al. 2013), for the few rows of a head.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    (x.relu()? * (1.0 - slope))? + (x * slope)?
}

struct ActivationOp(Activation);

impl CustomOp1 for ActivationOp {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let mut y = vec![0.0; x.len()];
        self.0.forward(&mut y, x, 1);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut x_gradient = with_data(gradient, |gradient| Ok(gradient.to_vec()))?;
        with_data(x, |x| {
            self.0.backward(&mut x_gradient, x, 1);
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?))
    }
}
