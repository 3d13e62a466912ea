//! Attention over packed sentences as one operation.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use crate::access::{slice, with_data};
use crate::buffer::Buffer;
use crate::dropout::{DropoutKey, RowDropout};
use crate::kernels::attention::{self as kernel, Columns, Gradients, Inputs};
use crate::layer::LayerSpec;
use crate::parameter::is_fused;
use crate::pass::{Pass, learns};
use crate::{Starts, plain};

/// `softmax(q · kᵀ / √d) · v` by head, within each sentence (Vaswani et al. 2017, eq. 1).
///
/// `qkv`: `[N, 3H]`, queries, keys and values side by side. Returns the context, `[N, H]`.
/// Of `spec`, the heads, the attention dropout and its place, and the relative bias count.
pub fn attention(qkv: &Tensor, starts: &Starts, spec: &LayerSpec, pass: &Pass) -> Result<Tensor> {
    if !is_fused(qkv) {
        return Ok(plain::attention(qkv, starts, spec, pass)?.0);
    }
    let op = Attention {
        starts: starts.clone(),
        spec: spec.clone(),
        dropout: pass.dropout.clone(),
        learning: pass.is_learning(),
        probabilities: Mutex::new(None),
    };
    qkv.contiguous()?.apply_op1(op)
}

struct Attention {
    starts: Starts,
    spec: LayerSpec,
    dropout: Option<DropoutKey>,
    learning: bool,
    probabilities: Mutex<Option<Buffer>>,
}

impl Attention {
    fn shape(&self, hidden: usize) -> kernel::Shape<'_> {
        kernel::Shape {
            key_starts: self.starts.offsets(),
            query_starts: self.starts.offsets(),
            heads: self.spec.heads,
            head_size: hidden / self.spec.heads,
        }
    }

    fn dropout(&self) -> RowDropout<'_> {
        RowDropout::new(
            self.dropout.as_ref(),
            self.spec.attention_dropout as f32,
            self.spec.site,
        )
    }
}

fn inputs(qkv: &[f32], hidden: usize) -> Inputs<'_> {
    let columns = |offset| Columns {
        data: qkv,
        stride: 3 * hidden,
        offset,
    };
    Inputs {
        query: columns(0),
        key: columns(hidden),
        value: columns(2 * hidden),
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = slice(storage, layout)?;
        let tokens = self.starts.tokens();
        let hidden = qkv.len() / tokens / 3;
        let mut context = vec![0.0; tokens * hidden];
        let mut probabilities = Buffer::take(self.shape(hidden).probability_count());
        let bias = self
            .spec
            .relative_bias
            .as_ref()
            .map(|b| b.values(self.starts.longest()))
            .transpose()?;
        let bias = bias.as_ref().map(crate::relative::BiasValues::view);
        kernel::forward(
            &mut context,
            (&mut probabilities, None),
            inputs(qkv, hidden),
            self.shape(hidden),
            bias,
            &self.dropout(),
        );
        *self
            .probabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(probabilities);
        Ok((CpuStorage::F32(context), (tokens, hidden).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let probabilities = self
            .probabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(probabilities) = &*probabilities else {
            bail!("attention: backward without a forward pass")
        };
        let hidden = qkv.dim(1)? / 3;
        let longest = self.starts.longest();
        let mut bias = self
            .spec
            .relative_bias
            .as_ref()
            .map(|_| Buffer::zeroed(self.spec.heads * (2 * longest - 1)));
        let mut qkv_gradient = vec![0.0; qkv.elem_count()];
        with_data(qkv, |qkv| {
            with_data(gradient, |gradient| {
                kernel::backward(
                    Gradients {
                        query: (&mut qkv_gradient, 3 * hidden, 0),
                        key_value: None,
                        key_offset: hidden,
                        value_offset: 2 * hidden,
                    },
                    (gradient, None),
                    probabilities,
                    inputs(qkv, hidden),
                    self.shape(hidden),
                    bias.as_mut().map(|bias| (&mut **bias, longest)),
                    &self.dropout(),
                );
                Ok(())
            })
        })?;
        let learning = learns(self.learning);
        if let (Some(bias), Some(values), true) = (&self.spec.relative_bias, &bias, learning) {
            bias.add_gradient(values, longest);
        }
        Ok(Some(Tensor::from_vec(
            qkv_gradient,
            qkv.shape(),
            &Device::Cpu,
        )?))
    }
}
