//! The same operations as compositions of candle's own: for a GPU, for double precision, and as
//! the reference that the fused operations are tested against.

use candle_core::{D, Result, Tensor};

use crate::embedding::EmbeddingIds;
use crate::layer::LayerSpec;
use crate::parameter::Parameter;
use crate::pass::Pass;
use crate::selection::{select_learning, select_once};
use crate::{Activation, AttentionMaps, Starts};

/// The parameter as it enters the graph in this pass.
pub(crate) fn leaf(parameter: &Parameter, pass: &Pass) -> Tensor {
    if pass.is_learning() {
        parameter.tensor()
    } else {
        parameter.value()
    }
}

/// A parameter for each of `rows` rows.
///
/// Where it learns by a product, since its backward pass, a sum over rows, is a product, too: the broadcast's is slow on a GPU.
pub(crate) fn on_rows(parameter: &Parameter, rows: usize, pass: &Pass) -> Result<Tensor> {
    let row = leaf(parameter, pass).unsqueeze(0)?;
    if pass.is_learning() && parameter.is_trainable() {
        return Tensor::ones((rows, 1), row.dtype(), row.device())?.matmul(&row);
    }
    row.broadcast_as((rows, row.dim(1)?))
}

/// See [`crate::linear()`].
pub fn linear(
    x: &Tensor,
    weight: &Parameter,
    bias: Option<&Parameter>,
    pass: &Pass,
) -> Result<Tensor> {
    let y = x.matmul(&leaf(weight, pass).t()?)?;
    match bias {
        Some(bias) => {
            let bias = on_rows(bias, y.dim(0)?, pass)?;
            y + bias
        }
        None => Ok(y),
    }
}

/// See [`crate::add_layer_norm`].
pub fn layer_norm(
    x: &Tensor,
    scale: &Parameter,
    shift: &Parameter,
    epsilon: f64,
    pass: &Pass,
) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    let rows = x.dim(0)?;
    (normalised * on_rows(scale, rows, pass)?)? + on_rows(shift, rows, pass)?
}

/// See [`crate::dropout()`].
pub fn dropout(x: &Tensor, probability: f64, site: u32, pass: &Pass) -> Result<Tensor> {
    match crate::dropout::mask(x.dims(), probability, site, pass) {
        Some(mask) => mask?.apply(x),
        None => Ok(x.clone()),
    }
}

/// An activation function, element by element.
pub fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        // Composed: the backward pass of candle's own operation has a constant of six digits.
        Activation::Gelu => {
            let share = ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?;
            (x * share)? * 0.5
        }
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
    }
}

/// See [`crate::embedding_sum`].
pub fn embedding_sum(tables: &[&Parameter], ids: &EmbeddingIds, pass: &Pass) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (table, ids) in tables.iter().zip(ids.columns()) {
        let values = leaf(table, pass);
        let rows = if pass.is_learning() && table.is_trainable() {
            select_learning(&values, ids)?
        } else {
            values.index_select(&Tensor::new(ids, values.device())?, 0)?
        };
        sum = Some(match sum {
            Some(sum) => (sum + rows)?,
            None => rows,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("an embedding sum needs at least one table".into()))
}

/// See [`crate::attention()`]; also returns the scores, padded to `[B, heads, longest, longest]`.
pub fn attention(
    qkv: &Tensor,
    starts: &Starts,
    spec: &LayerSpec,
    pass: &Pass,
) -> Result<(Tensor, Tensor)> {
    let (batch, longest) = (starts.sentences(), starts.longest());
    let hidden = qkv.dim(1)? / 3;
    let size = hidden / spec.heads;
    let device = qkv.device();
    let (in_packed, in_padded) = (starts.padded_rows(), starts.rows_in_padded());
    let padded = select_once(qkv, in_packed.clone(), in_padded.clone())?
        .reshape((batch, longest, 3, spec.heads, size))?;
    let part = |index: usize| {
        padded
            .narrow(2, index, 1)?
            .squeeze(2)?
            .transpose(1, 2)?
            .contiguous()
    };
    let (query, key, value) = (part(0)?, part(1)?, part(2)?);
    let mut scores = (query.matmul(&key.t()?)? / (size as f64).sqrt())?;
    if let Some(bias) = &spec.relative_bias {
        let table = leaf(&bias.table, pass);
        let buckets = Tensor::from_vec(bias.bucket_matrix(longest), longest * longest, device)?;
        let rows = table
            .index_select(&buckets, 0)?
            .reshape((longest, longest, spec.heads))?;
        scores = scores.broadcast_add(&rows.permute((2, 0, 1))?.unsqueeze(0)?)?;
    }
    let mask = Tensor::from_vec(starts.key_mask(), (batch, 1, 1, longest), device)?
        .to_dtype(qkv.dtype())?;
    let probabilities = masked_softmax(&scores, &mask)?;
    let dropped = match crate::dropout::attention_mask(starts, spec, pass) {
        Some(mask) => mask?.apply(&probabilities)?,
        None => probabilities.clone(),
    };
    let context = dropped
        .matmul(&value)?
        .transpose(1, 2)?
        .reshape((batch * longest, hidden))?;
    Ok((select_once(&context, in_padded, in_packed)?, scores))
}

/// Padded attention scores without their padding.
pub fn maps(padded: &Tensor, starts: &Starts, heads: usize) -> Result<AttentionMaps> {
    let (entries, places) = (starts.maps_in_padded(heads), starts.maps_of_padded(heads));
    Ok(AttentionMaps {
        scores: select_once(&padded.flatten_all()?, entries, places)?,
        starts: starts.clone(),
        heads,
    })
}

/// Packed attention scores as rows padded to the longest sentence.
pub(crate) struct PaddedMapRows {
    /// `[heads · N, longest]`.
    pub(crate) rows: Tensor,
    /// Of the same shape: one where a score is.
    pub(crate) mask: Tensor,
    /// Where each padded place's score is among the packed ones.
    entries: Vec<u32>,
    /// Where each packed score is among the padded places.
    places: Vec<u32>,
}

impl PaddedMapRows {
    pub(crate) fn new(packed: &Tensor, starts: &Starts, heads: usize) -> Result<Self> {
        let (entries, mask) = starts.padded_map_rows(heads);
        let places = starts.maps_in_padded_rows(heads);
        let shape = (heads * starts.tokens(), starts.longest());
        Ok(Self {
            rows: select_once(packed, entries.clone(), places.clone())?.reshape(shape)?,
            mask: Tensor::from_vec(mask, shape, packed.device())?.to_dtype(packed.dtype())?,
            entries,
            places,
        })
    }

    /// The values of padded rows without their padding.
    fn pack(self, rows: &Tensor) -> Result<Tensor> {
        select_once(&rows.flatten_all()?, self.places, self.entries)
    }
}

/// Softmax over the keys of packed attention scores; see [`AttentionMaps`].
pub fn packed_softmax(packed: &Tensor, starts: &Starts, heads: usize) -> Result<Tensor> {
    let padded = PaddedMapRows::new(packed, starts, heads)?;
    let probabilities = masked_softmax(&padded.rows, &padded.mask)?;
    padded.pack(&probabilities)
}

/// Softmax over the last dimension where `mask` is one; exact zeros elsewhere.
fn masked_softmax(scores: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let hidden = ((1.0 - mask)? * 1e9)?;
    let masked = scores.broadcast_sub(&hidden)?;
    let largest = masked.max_keepdim(D::Minus1)?.detach();
    let powers = masked.broadcast_sub(&largest)?.exp()?.broadcast_mul(mask)?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

/// See [`crate::transformer_layer`]; also returns the scores as [`attention`] does.
pub fn transformer_layer(
    x: &Tensor,
    weights: &crate::LayerParameters,
    starts: &Starts,
    spec: &LayerSpec,
    pass: &Pass,
) -> Result<(Tensor, Tensor)> {
    let w = weights;
    let qkv = linear(x, &w.qkv_weight, Some(&w.qkv_bias), pass)?;
    let (context, scores) = attention(&qkv, starts, spec, pass)?;
    let out = linear(&context, &w.output_weight, Some(&w.output_bias), pass)?;
    let out = (dropout(&out, spec.attention_output_dropout, spec.site + 1, pass)? + x)?;
    let middle = layer_norm(
        &out,
        &w.attention_norm_scale,
        &w.attention_norm_shift,
        spec.epsilon,
        pass,
    )?;
    let inner = activation(
        &linear(&middle, &w.up_weight, Some(&w.up_bias), pass)?,
        spec.activation,
    )?;
    let out = linear(&inner, &w.down_weight, Some(&w.down_bias), pass)?;
    let out = (dropout(&out, spec.hidden_dropout, spec.site + 2, pass)? + middle)?;
    let y = layer_norm(&out, &w.norm_scale, &w.norm_shift, spec.epsilon, pass)?;
    Ok((y, scores))
}

/// `log_softmax` over the last dimension.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

/// `softmax` over the last dimension.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let powers = x
        .broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?
        .exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

/// See [`crate::loss::cross_entropy`].
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let targets = Tensor::from_slice(targets, (targets.len(), 1), logits.device())?;
    log_softmax(logits)?.gather(&targets, 1)?.mean_all()?.neg()
}

/// `Σ p · (log p − log q) / rows`, times `factor`.
pub fn divergence(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let student = log_softmax(&(student / temperature)?)?;
    let teacher = (teacher.detach() / temperature)?;
    let (p, log_p) = (softmax(&teacher)?, log_softmax(&teacher)?);
    let rows = student.dim(0)? as f64;
    (p * (log_p - student)?)?.sum_all()?.affine(1.0 / rows, 0.0)
}
