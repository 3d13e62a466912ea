//! A whole post-norm transformer layer as one operation.
//!
//! One node of the graph instead of a dozen: between the matrix products nothing is allocated,
//! copied or summed by the graph, and what the backward pass needs stays in pooled buffers.

mod backward;

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use crate::access::{slice, with_data, with_parameters};
use crate::anchor;
use crate::attention_maps::Tap;
use crate::buffer::Buffer;
use crate::dropout::{DropoutKey, RowDropout};
use crate::kernels::attention::{self, Columns, Inputs};
use crate::kernels::norm::{self, NormWeights};
use crate::linear::forward as linear_forward;
use crate::parameter::{Parameter, is_fused};
use crate::pass::Pass;
use crate::relative::RelativePositionBias;
use crate::{Activation, AttentionMaps, Starts, plain};

/// Weights of one post-norm transformer layer of width `H` and inner width `I`.
#[derive(Debug, Clone)]
pub struct LayerParameters {
    /// Queries, keys and values merged, `[3H, H]`.
    pub qkv_weight: Parameter,
    /// `[3H]`.
    pub qkv_bias: Parameter,
    /// Attention output, `[H, H]`.
    pub output_weight: Parameter,
    /// `[H]`.
    pub output_bias: Parameter,
    /// Norm after attention, `[H]`.
    pub attention_norm_scale: Parameter,
    /// `[H]`.
    pub attention_norm_shift: Parameter,
    /// First feed-forward layer, `[I, H]`.
    pub up_weight: Parameter,
    /// `[I]`.
    pub up_bias: Parameter,
    /// Second feed-forward layer, `[H, I]`.
    pub down_weight: Parameter,
    /// `[H]`.
    pub down_bias: Parameter,
    /// Norm after the feed-forward block, `[H]`.
    pub norm_scale: Parameter,
    /// `[H]`.
    pub norm_shift: Parameter,
}

impl LayerParameters {
    /// All twelve, in the order of a forward pass.
    pub fn all(&self) -> [&Parameter; 12] {
        [
            &self.qkv_weight,
            &self.qkv_bias,
            &self.output_weight,
            &self.output_bias,
            &self.attention_norm_scale,
            &self.attention_norm_shift,
            &self.up_weight,
            &self.up_bias,
            &self.down_weight,
            &self.down_bias,
            &self.norm_scale,
            &self.norm_shift,
        ]
    }
}

/// Settings of one transformer layer.
#[derive(Debug, Clone)]
pub struct LayerSpec {
    /// Number of attention heads.
    pub heads: usize,
    /// Constant under the root of the norms.
    pub epsilon: f64,
    /// Function inside the feed-forward block.
    pub activation: Activation,
    /// Dropout after the attention block, in `[0, 1)`.
    pub attention_output_dropout: f64,
    /// Dropout after the feed-forward block, in `[0, 1)`.
    pub hidden_dropout: f64,
    /// Dropout of the attention probabilities, in `[0, 1)`.
    pub attention_dropout: f64,
    /// First of the three numbers that tell this layer's dropouts from others'.
    pub site: u32,
    /// Learned term added to the scores by relative position (MPNet).
    pub relative_bias: Option<RelativePositionBias>,
}

/// Which tokens of a sentence leave a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queries {
    /// All: the result is `[N, H]`.
    All,
    /// Only the first of each sentence: the result is `[B, H]`. Where a classifier pools the first
    /// token, the last layer's queries, attention output and feed-forward block are needed for that
    /// token alone; its keys and values still come from all.
    First,
}

/// One post-norm layer: attention, dropout, residual and norm, then feed-forward, dropout, residual
/// and norm (Vaswani et al. 2017, §3.1, as in BERT).
///
/// `x`: `[N, H]`. Returns `[N, H]`, or `[B, H]` for [`Queries::First`].
pub fn transformer_layer(
    x: &Tensor,
    parameters: &LayerParameters,
    starts: &Starts,
    spec: &LayerSpec,
    queries: Queries,
    pass: &Pass,
) -> Result<Tensor> {
    if !is_fused(x) || parameters.all().iter().any(|p| !p.is_fused()) {
        let (y, _) = plain::transformer_layer(x, parameters, starts, spec, pass)?;
        return match queries {
            Queries::All => Ok(y),
            Queries::First => y.index_select(&Tensor::new(starts.first_rows(), x.device())?, 0),
        };
    }
    apply(
        x,
        Layer::new(parameters, starts, spec, queries, pass, x.track_op()),
    )
}

/// The same for all tokens, with the layer's attention scores; gradients flow through both.
pub fn transformer_layer_with_maps(
    x: &Tensor,
    parameters: &LayerParameters,
    starts: &Starts,
    spec: &LayerSpec,
    pass: &Pass,
) -> Result<(Tensor, AttentionMaps)> {
    if !is_fused(x) || parameters.all().iter().any(|p| !p.is_fused()) {
        let (y, scores) = plain::transformer_layer(x, parameters, starts, spec, pass)?;
        return Ok((y, plain::maps(&scores, starts, spec.heads)?));
    }
    let tap = Tap::default();
    let op = Layer {
        tap: Some(tap.clone()),
        ..Layer::new(parameters, starts, spec, Queries::All, pass, x.track_op())
    };
    let y = apply(x, op)?;
    let maps = AttentionMaps {
        scores: tap.scores(&y)?,
        starts: starts.clone(),
        heads: spec.heads,
    };
    Ok((y, maps))
}

fn apply(x: &Tensor, op: Layer) -> Result<Tensor> {
    let x = x.contiguous()?;
    if op.records && !x.track_op() {
        anchor::track(&x)?.apply_op1(op)
    } else {
        x.apply_op1(op)
    }
}

struct Layer {
    parameters: LayerParameters,
    starts: Starts,
    query_starts: Starts,
    query_dropout: Option<DropoutKey>,
    spec: LayerSpec,
    queries: Queries,
    learning: bool,
    records: bool,
    saved: Mutex<Option<Saved>>,
    tap: Option<Tap>,
}

/// What the backward pass needs from the forward pass. `M` rows leave the layer, `N` enter it.
struct Saved {
    /// `[N, 3H]`; with single queries `[M, H]` of queries, then `[N, 2H]` of keys and values.
    qkv: Buffer,
    probabilities: Buffer,
    context: Buffer,
    attention_normalised: Buffer,
    attention_deviation: Buffer,
    middle: Buffer,
    inner: Buffer,
    activated: Buffer,
    normalised: Buffer,
    deviation: Buffer,
}

#[derive(Clone, Copy)]
struct Sizes {
    tokens: usize,
    rows: usize,
    hidden: usize,
    inner: usize,
}

impl Layer {
    fn new(
        parameters: &LayerParameters,
        starts: &Starts,
        spec: &LayerSpec,
        queries: Queries,
        pass: &Pass,
        is_tracked: bool,
    ) -> Self {
        Self {
            parameters: parameters.clone(),
            starts: starts.clone(),
            query_starts: match queries {
                Queries::All => starts.clone(),
                Queries::First => starts.single_rows(),
            },
            query_dropout: match queries {
                Queries::All => pass.dropout.clone(),
                Queries::First => pass
                    .dropout
                    .as_ref()
                    .map(|key| key.select(starts.first_rows())),
            },
            spec: spec.clone(),
            queries,
            learning: pass.is_learning(),
            records: pass.is_learning() || is_tracked,
            saved: Mutex::new(None),
            tap: None,
        }
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            tokens: self.starts.tokens(),
            rows: self.query_starts.tokens(),
            hidden: self.parameters.norm_scale.len(),
            inner: self.parameters.up_bias.len(),
        }
    }

    fn shape(&self) -> attention::Shape<'_> {
        attention::Shape {
            key_starts: self.starts.offsets(),
            query_starts: self.query_starts.offsets(),
            heads: self.spec.heads,
            head_size: self.sizes().hidden / self.spec.heads,
        }
    }

    fn dropout(&self, probability: f64, site: u32) -> RowDropout<'_> {
        RowDropout::new(
            self.query_dropout.as_ref(),
            probability as f32,
            self.spec.site + site,
        )
    }

    /// Queries, keys and values inside the saved projections.
    fn inputs<'a>(&self, qkv: &'a [f32]) -> Inputs<'a> {
        let Sizes { rows, hidden, .. } = self.sizes();
        let columns = |data, stride, offset| Columns {
            data,
            stride,
            offset,
        };
        match self.queries {
            Queries::All => Inputs {
                query: columns(qkv, 3 * hidden, 0),
                key: columns(qkv, 3 * hidden, hidden),
                value: columns(qkv, 3 * hidden, 2 * hidden),
            },
            Queries::First => {
                let (query, key_value) = qkv.split_at(rows * hidden);
                Inputs {
                    query: columns(query, hidden, 0),
                    key: columns(key_value, 2 * hidden, 0),
                    value: columns(key_value, 2 * hidden, hidden),
                }
            }
        }
    }

    fn project(&self, qkv: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32]) {
        let Sizes {
            tokens,
            rows,
            hidden,
            ..
        } = self.sizes();
        match self.queries {
            Queries::All => {
                linear_forward(qkv, x, weight, Some(bias), (tokens, 3 * hidden, hidden));
            }
            Queries::First => {
                let first = self.first_rows(x);
                let (query, key_value) = qkv.split_at_mut(rows * hidden);
                let ((query_weight, kv_weight), (query_bias, kv_bias)) =
                    (weight.split_at(hidden * hidden), bias.split_at(hidden));
                linear_forward(
                    query,
                    &first,
                    query_weight,
                    Some(query_bias),
                    (rows, hidden, hidden),
                );
                linear_forward(
                    key_value,
                    x,
                    kv_weight,
                    Some(kv_bias),
                    (tokens, 2 * hidden, hidden),
                );
            }
        }
    }

    /// The rows of `x` that leave the layer.
    fn first_rows(&self, x: &[f32]) -> Buffer {
        let Sizes { rows, hidden, .. } = self.sizes();
        let mut first = Buffer::take(rows * hidden);
        for (out, &row) in first.chunks_exact_mut(hidden).zip(self.starts.first_rows()) {
            out.copy_from_slice(&x[row as usize * hidden..][..hidden]);
        }
        first
    }

    fn forward(&self, y: &mut [f32], x: &[f32]) -> Result<Saved> {
        let Sizes {
            tokens,
            rows,
            hidden,
            inner,
        } = self.sizes();
        let epsilon = self.spec.epsilon as f32;
        let qkv_len = match self.queries {
            Queries::All => tokens * 3 * hidden,
            Queries::First => (rows + 2 * tokens) * hidden,
        };
        let mut saved = Saved {
            qkv: Buffer::take(qkv_len),
            probabilities: Buffer::take(self.shape().probability_count()),
            context: Buffer::take(rows * hidden),
            attention_normalised: Buffer::take(rows * hidden),
            attention_deviation: Buffer::take(rows),
            middle: Buffer::take(rows * hidden),
            inner: Buffer::take(rows * inner),
            activated: Buffer::take(rows * inner),
            normalised: Buffer::take(rows * hidden),
            deviation: Buffer::take(rows),
        };
        let bias = self
            .spec
            .relative_bias
            .as_ref()
            .map(|b| b.values(self.starts.longest()))
            .transpose()?;
        let first = (self.queries == Queries::First).then(|| self.first_rows(x));
        let residual = first.as_deref().unwrap_or(x);
        let mut scores = self
            .tap
            .as_ref()
            .map(|_| vec![0.0; self.shape().probability_count()]);
        with_parameters(
            self.parameters.all(),
            |[
                qkv_w,
                qkv_b,
                out_w,
                out_b,
                norm1_w,
                norm1_b,
                up_w,
                up_b,
                down_w,
                down_b,
                norm2_w,
                norm2_b,
            ]| {
                self.project(&mut saved.qkv, x, qkv_w, qkv_b);
                attention::forward(
                    &mut saved.context,
                    (&mut saved.probabilities, scores.as_deref_mut()),
                    self.inputs(&saved.qkv),
                    self.shape(),
                    bias.as_ref().map(crate::relative::BiasValues::view),
                    &self.dropout(self.spec.attention_dropout, 0),
                );
                let mut out = Buffer::take(rows * hidden);
                linear_forward(
                    &mut out,
                    &saved.context,
                    out_w,
                    Some(out_b),
                    (rows, hidden, hidden),
                );
                norm::forward(
                    &mut saved.middle,
                    (
                        &mut saved.attention_normalised,
                        &mut saved.attention_deviation,
                    ),
                    &out,
                    Some(residual),
                    NormWeights {
                        scale: norm1_w,
                        shift: norm1_b,
                        epsilon,
                    },
                    &self.dropout(self.spec.attention_output_dropout, 1),
                );
                linear_forward(
                    &mut saved.inner,
                    &saved.middle,
                    up_w,
                    Some(up_b),
                    (rows, inner, hidden),
                );
                self.spec
                    .activation
                    .forward(&mut saved.activated, &saved.inner, inner);
                linear_forward(
                    &mut out,
                    &saved.activated,
                    down_w,
                    Some(down_b),
                    (rows, hidden, inner),
                );
                norm::forward(
                    y,
                    (&mut saved.normalised, &mut saved.deviation),
                    &out,
                    Some(&saved.middle),
                    NormWeights {
                        scale: norm2_w,
                        shift: norm2_b,
                        epsilon,
                    },
                    &self.dropout(self.spec.hidden_dropout, 2),
                );
                Ok(())
            },
        )?;
        if let (Some(tap), Some(scores)) = (&self.tap, scores) {
            tap.put_scores(scores);
        }
        Ok(saved)
    }
}

impl CustomOp1 for Layer {
    fn name(&self) -> &'static str {
        "transformer-layer"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let Sizes {
            tokens,
            rows,
            hidden,
            ..
        } = self.sizes();
        if x.len() != tokens * hidden || hidden % self.spec.heads != 0 {
            bail!(
                "transformer layer: {} values for {tokens} tokens of {hidden} in {} heads",
                x.len(),
                self.spec.heads
            );
        }
        let mut y = vec![0.0; rows * hidden];
        let saved = self.forward(&mut y, x)?;
        if self.records {
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        }
        Ok((CpuStorage::F32(y), (rows, hidden).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(saved) = &*saved else {
            bail!("transformer layer: backward without a recorded forward pass")
        };
        let x_gradient = with_data(x, |x| {
            with_data(gradient, |gradient| self.backward(x, gradient, saved))
        })?;
        Ok(Some(Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?))
    }
}
