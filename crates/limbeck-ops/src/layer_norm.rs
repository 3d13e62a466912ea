//! Layer normalisation, alone or fused with dropout and a residual.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use crate::access::{slice, with_data, with_parameters};
use crate::anchor;
use crate::buffer::Buffer;
use crate::dropout::{DropoutKey, RowDropout};
use crate::kernels::gemm::Write;
use crate::kernels::norm::{self, NormWeights};
use crate::parameter::{Parameter, is_fused};
use crate::pass::{Pass, learns};
use crate::plain;

/// Scale, shift and constant of a layer norm (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[H]`.
    pub scale: Parameter,
    /// `[H]`.
    pub shift: Parameter,
    /// Constant under the root.
    pub epsilon: f64,
}

/// `y = (x − mean) / √(variance + ε) · scale + shift` over the last dimension; `x`: `[N, H]`.
pub fn layer_norm(x: &Tensor, norm: &LayerNorm, pass: &Pass) -> Result<Tensor> {
    if !is_fused(x) || !norm.scale.is_fused() {
        return plain::layer_norm(x, &norm.scale, &norm.shift, norm.epsilon, pass);
    }
    apply(x, None, norm, (0.0, 0), pass)
}

/// `y = norm(residual + dropout(x))`; `x` and `residual`: `[N, H]`.
///
/// `dropout` is a probability and the number that tells this place from others.
pub fn add_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    norm: &LayerNorm,
    dropout: (f64, u32),
    pass: &Pass,
) -> Result<Tensor> {
    if !is_fused(x) || !norm.scale.is_fused() {
        let dropped = plain::dropout(x, dropout.0, dropout.1, pass)?;
        return plain::layer_norm(
            &(dropped + residual)?,
            &norm.scale,
            &norm.shift,
            norm.epsilon,
            pass,
        );
    }
    apply(x, Some(residual), norm, dropout, pass)
}

fn apply(
    x: &Tensor,
    residual: Option<&Tensor>,
    norm: &LayerNorm,
    (probability, site): (f64, u32),
    pass: &Pass,
) -> Result<Tensor> {
    let op = AddLayerNorm {
        norm: norm.clone(),
        has_residual: residual.is_some(),
        dropout: pass.dropout.clone(),
        probability: probability as f32,
        site,
        learning: pass.is_learning(),
        saved: Mutex::new(None),
    };
    let x = x.contiguous()?;
    let residual = residual.map_or_else(|| Ok(x.detach()), Tensor::contiguous)?;
    let tracked = x.track_op() || residual.track_op();
    let x = if pass.is_learning() && !tracked {
        anchor::track(&x)?
    } else {
        x
    };
    x.apply_op2(&residual, op)
}

struct AddLayerNorm {
    norm: LayerNorm,
    has_residual: bool,
    dropout: Option<DropoutKey>,
    probability: f32,
    site: u32,
    learning: bool,
    /// Normalised rows and inverse deviations.
    saved: Mutex<Option<(Buffer, Buffer)>>,
}

impl AddLayerNorm {
    fn dropout(&self) -> RowDropout<'_> {
        RowDropout::new(self.dropout.as_ref(), self.probability, self.site)
    }
}

impl CustomOp2 for AddLayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, residual) = (slice(x, x_layout)?, slice(residual, residual_layout)?);
        let width = self.norm.scale.len();
        let mut y = vec![0.0; x.len()];
        let (mut normalised, mut deviation) =
            (Buffer::take(x.len()), Buffer::take(x.len() / width));
        with_parameters([&self.norm.scale, &self.norm.shift], |[scale, shift]| {
            norm::forward(
                &mut y,
                (&mut normalised, &mut deviation),
                x,
                self.has_residual.then_some(residual),
                NormWeights {
                    scale,
                    shift,
                    epsilon: self.norm.epsilon as f32,
                },
                &self.dropout(),
            );
            Ok(())
        })?;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some((normalised, deviation));
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((normalised, deviation)) = &*saved else {
            bail!("layer norm: backward without a forward pass")
        };
        let mut total = with_data(gradient, |gradient| Ok(gradient.to_vec()))?;
        add_norm_gradients(
            (&self.norm.scale, &self.norm.shift),
            &total,
            normalised,
            learns(self.learning),
        );
        with_parameters([&self.norm.scale], |[scale]| {
            norm::backward(&mut total, normalised, deviation, scale);
            Ok(())
        })?;
        let residual = if self.has_residual {
            Some(Tensor::from_slice(&total, x.shape(), &Device::Cpu)?)
        } else {
            None
        };
        self.dropout().apply_all(&mut total, self.norm.scale.len());
        Ok((
            Some(Tensor::from_vec(total, x.shape(), &Device::Cpu)?),
            residual,
        ))
    }
}

/// Adds a norm's weight gradients when it learns.
pub(crate) fn add_norm_gradients(
    (scale, shift): (&Parameter, &Parameter),
    gradient: &[f32],
    normalised: &[f32],
    learning: bool,
) {
    if learning && scale.is_trainable() {
        scale.gradient().add_dense(scale.len(), |scale, write| {
            shift.gradient().add_dense(shift.len(), |shift, _| {
                if write == Write::Replace {
                    scale.fill(0.0);
                    shift.fill(0.0);
                }
                norm::add_weight_gradients((scale, shift), gradient, normalised);
            });
        });
    }
}
