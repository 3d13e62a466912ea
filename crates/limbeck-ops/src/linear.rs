//! `y = x · Wᵀ + b` without transposed copies.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use crate::access::{slice, with_data, with_parameters};
use crate::kernels::gemm::{Start, Write, matmul_nn, matmul_nt, matmul_tn};
use crate::kernels::reduce::add_column_sums;
use crate::parameter::{Parameter, is_fused};
use crate::pass::{Learning, Pass, learns};
use crate::plain;

/// A linear layer: `y = x · weightᵀ + bias`.
///
/// `x`: `[N, inputs]`; `weight`: `[outputs, inputs]`; `bias`: `[outputs]`. Returns `[N, outputs]`.
pub fn linear(
    x: &Tensor,
    weight: &Parameter,
    bias: Option<&Parameter>,
    pass: &Pass,
) -> Result<Tensor> {
    if !is_fused(x) || !weight.is_fused() {
        return plain::linear(x, weight, bias, pass);
    }
    let op = Linear {
        weight: weight.clone(),
        bias: bias.cloned(),
        learning: pass.learning,
    };
    let x = x.contiguous()?;
    if pass.is_learning() && !x.track_op() {
        // A leaf that needs no gradient itself must still lead the backward pass here.
        return crate::anchor::track(&x)?.apply_op1(op);
    }
    x.apply_op1(op)
}

struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    learning: Learning,
}

impl Linear {
    fn sizes(&self, elements: usize) -> (usize, usize, usize) {
        let dims = self.weight.shape().dims();
        (elements / dims[1], dims[0], dims[1])
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let sizes @ (rows, outputs, _) = self.sizes(x.len());
        let mut y = vec![0.0; rows * outputs];
        match &self.bias {
            Some(bias) => with_parameters([&self.weight, bias], |[weight, bias]| {
                forward(&mut y, x, weight, Some(bias), sizes);
                Ok(())
            })?,
            None => with_parameters([&self.weight], |[weight]| {
                forward(&mut y, x, weight, None, sizes);
                Ok(())
            })?,
        }
        let mut dims = layout.dims().to_vec();
        *dims.last_mut().expect("linear needs a matrix") = outputs;
        Ok((CpuStorage::F32(y), dims.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        with_data(gradient, |gradient| {
            let mut x_gradient = vec![0.0; x.elem_count()];
            let (rows, outputs, inputs) = self.sizes(x.elem_count());
            with_parameters([&self.weight], |[weight]| {
                matmul_nn(
                    &mut x_gradient,
                    gradient,
                    weight,
                    (rows, inputs, outputs),
                    Write::Replace,
                );
                Ok(())
            })?;
            if learns(self.learning == Learning::On) {
                with_data(x, |x| {
                    add_weight_gradient(&self.weight, gradient, x, (rows, outputs, inputs));
                    Ok(())
                })?;
                if let Some(bias) = &self.bias {
                    add_bias_gradient(bias, gradient);
                }
            }
            Ok(Some(Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?))
        })
    }
}

/// `y = x · weightᵀ (+ bias)` for `(rows, outputs, inputs)`.
pub(crate) fn forward(
    y: &mut [f32],
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    (rows, outputs, inputs): (usize, usize, usize),
) {
    let start = bias.map_or(Start::Zero, Start::Row);
    matmul_nt(y, x, weight, (rows, outputs, inputs), start);
}

/// Adds `gradientᵀ · x` to a weight's gradient.
pub(crate) fn add_weight_gradient(
    weight: &Parameter,
    gradient: &[f32],
    x: &[f32],
    (rows, outputs, inputs): (usize, usize, usize),
) {
    if weight.is_trainable() {
        weight.gradient().add_dense(weight.len(), |total, write| {
            matmul_tn(total, gradient, x, (outputs, inputs, rows), write);
        });
    }
}

/// Adds the column sums of `gradient` to a bias's gradient.
pub(crate) fn add_bias_gradient(bias: &Parameter, gradient: &[f32]) {
    if bias.is_trainable() {
        bias.gradient().add_dense(bias.len(), |total, write| {
            add_column_sums(total, gradient, write);
        });
    }
}

/// Gradients of a merged query-key-value projection whose queries saw other rows than the rest.
pub(crate) fn add_split_gradients(
    (weight, bias): (&Parameter, &Parameter),
    (query, query_x, query_rows): (&[f32], &[f32], usize),
    (key_value, x, rows): (&[f32], &[f32], usize),
    hidden: usize,
) {
    if !weight.is_trainable() {
        return;
    }
    weight.gradient().add_dense(weight.len(), |total, write| {
        let (query_total, kv_total) = total.split_at_mut(hidden * hidden);
        matmul_tn(
            query_total,
            query,
            query_x,
            (hidden, hidden, query_rows),
            write,
        );
        matmul_tn(kv_total, key_value, x, (2 * hidden, hidden, rows), write);
    });
    bias.gradient().add_dense(bias.len(), |total, write| {
        let (query_total, kv_total) = total.split_at_mut(hidden);
        add_column_sums(query_total, query, write);
        add_column_sums(kv_total, key_value, write);
    });
}
