//! The same operations as compositions of candle's own: for a GPU, for double precision, and as
//! the reference that the fused operations are tested against.

use candle_core::{D, Result, Tensor};

use crate::embedding::EmbeddingIds;
use crate::layer::LayerSpec;
use crate::parameter::Parameter;
use crate::pass::Pass;
use crate::{Activation, AttentionMaps, Starts};

/// The parameter as it enters the graph in this pass.
pub(crate) fn leaf(parameter: &Parameter, pass: &Pass) -> Tensor {
    if pass.is_learning() {
        parameter.tensor()
    } else {
        parameter.value()
    }
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
        Some(bias) => y.broadcast_add(&leaf(bias, pass)),
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
    normalised
        .broadcast_mul(&leaf(scale, pass))?
        .broadcast_add(&leaf(shift, pass))
}

/// See [`crate::dropout()`].
pub fn dropout(x: &Tensor, probability: f64, site: u32, pass: &Pass) -> Result<Tensor> {
    match crate::dropout::mask(x.dims(), probability, site, pass) {
        Some(mask) => x * mask?.to_dtype(x.dtype())?.to_device(x.device())?,
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
        let table = leaf(table, pass);
        let ids = Tensor::from_slice(ids, ids.len(), table.device())?;
        let rows = table.index_select(&ids, 0)?;
        sum = Some(match sum {
            Some(sum) => (sum + rows)?,
            None => rows,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("an embedding sum needs at least one table".into()))
}

/// See [`crate::attention()`]; also returns the maps.
pub fn attention(
    qkv: &Tensor,
    starts: &Starts,
    spec: &LayerSpec,
    pass: &Pass,
) -> Result<(Tensor, AttentionMaps)> {
    let (batch, longest) = (starts.sentences(), starts.longest());
    let hidden = qkv.dim(1)? / 3;
    let size = hidden / spec.heads;
    let device = qkv.device();
    let gather = Tensor::from_vec(starts.padded_rows(), batch * longest, device)?;
    let padded = qkv
        .index_select(&gather, 0)?
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
        Some(kept) => (&probabilities * kept?.to_dtype(qkv.dtype())?.to_device(device)?)?,
        None => probabilities.clone(),
    };
    let context = dropped
        .matmul(&value)?
        .transpose(1, 2)?
        .reshape((batch * longest, hidden))?;
    let rows = Tensor::from_vec(starts.rows_in_padded(), starts.tokens(), device)?;
    let entries = Tensor::new(starts.maps_in_padded(spec.heads), device)?;
    Ok((
        context.index_select(&rows, 0)?,
        AttentionMaps {
            scores: scores.flatten_all()?.index_select(&entries, 0)?,
            starts: starts.clone(),
            heads: spec.heads,
        },
    ))
}

/// Packed attention scores as rows padded to the longest sentence, `[heads · N, longest]`, and their mask.
pub(crate) fn padded_map_rows(
    packed: &Tensor,
    starts: &Starts,
    heads: usize,
) -> Result<(Tensor, Tensor)> {
    let (entries, mask) = starts.padded_map_rows(heads);
    let shape = (heads * starts.tokens(), starts.longest());
    let mask = Tensor::from_vec(mask, shape, packed.device())?.to_dtype(packed.dtype())?;
    let entries = Tensor::new(entries, packed.device())?;
    Ok((packed.index_select(&entries, 0)?.reshape(shape)?, mask))
}

/// Softmax over the keys of packed attention scores; see [`AttentionMaps`].
pub fn packed_softmax(packed: &Tensor, starts: &Starts, heads: usize) -> Result<Tensor> {
    let (rows, mask) = padded_map_rows(packed, starts, heads)?;
    let places = Tensor::new(starts.maps_in_padded_rows(heads), packed.device())?;
    masked_softmax(&rows, &mask)?
        .flatten_all()?
        .index_select(&places, 0)
}

/// Softmax over the last dimension where `mask` is one; exact zeros elsewhere.
fn masked_softmax(scores: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let hidden = ((1.0 - mask)? * 1e9)?;
    let masked = scores.broadcast_sub(&hidden)?;
    let largest = masked.max_keepdim(D::Minus1)?.detach();
    let powers = masked.broadcast_sub(&largest)?.exp()?.broadcast_mul(mask)?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

/// See [`crate::transformer_layer`]; also returns the maps.
pub fn transformer_layer(
    x: &Tensor,
    weights: &crate::LayerParameters,
    starts: &Starts,
    spec: &LayerSpec,
    pass: &Pass,
) -> Result<(Tensor, AttentionMaps)> {
    let w = weights;
    let qkv = linear(x, &w.qkv_weight, Some(&w.qkv_bias), pass)?;
    let (context, maps) = attention(&qkv, starts, spec, pass)?;
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
    Ok((y, maps))
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
