//! Choices from a distribution over the vocabulary, by Gumbel noise (Jang et al. 2017, §2).

use candle_core::{D, DType, Device, Tensor};
use limbeck_ops::{mix64, plain};
use rayon::prelude::*;

use crate::TrainError;

/// Choices made at once, and what they leave for the way back.
#[derive(Debug, Clone)]
pub struct Choices {
    /// The chosen column of each row, `[M]`.
    pub ids: Vec<u32>,
    /// `softmax((logits + noise) / τ)`, `[M, V]`, cut off from the graph.
    pub soft: Tensor,
}

/// Each row's largest `logits + noise`: draws from `softmax(logits)` where `noise` is Gumbel's; both `[M, V]`.
pub fn choose(logits: &Tensor, noise: &Tensor, temperature: f64) -> Result<Choices, TrainError> {
    let noisy = (logits.detach() + noise)?;
    Ok(Choices {
        ids: noisy.argmax(D::Minus1)?.to_vec1()?,
        soft: plain::softmax(&(noisy / temperature)?)?,
    })
}

/// The gradient at the logits of choices `y` that were hard on the way forward and count as soft on the way back.
///
/// With `soft = softmax((logits + noise) / τ)` and `g` the loss's gradient at `y`: `soft ⊙ (g − Σ_V soft ⊙ g) / τ`. All `[M, V]`.
pub fn straight_through(
    soft: &Tensor,
    gradient: &Tensor,
    temperature: f64,
) -> Result<Tensor, TrainError> {
    let mean = (soft * gradient)?.sum_keepdim(D::Minus1)?;
    Ok((soft * gradient.broadcast_sub(&mean)?)?.affine(1.0 / temperature, 0.0)?)
}

/// Gumbel noise of the rows that `keys` name, `[M, V]`: a function of key and column alone.
pub fn noise(keys: &[u64], columns: usize) -> Result<Tensor, TrainError> {
    let mut values = vec![0.0; keys.len() * columns];
    let rows = values.par_chunks_mut(columns.max(1)).zip(keys);
    rows.for_each(|(row, &key)| {
        for (column, value) in row.iter_mut().enumerate() {
            *value = gumbel(uniform(key, column));
        }
    });
    Ok(Tensor::from_vec(
        values,
        (keys.len(), columns),
        &Device::Cpu,
    )?)
}

/// The same choices as [`choose`] makes with [`noise`] of the same keys, without either matrix.
pub fn sample(logits: &Tensor, keys: &[u64]) -> Result<Vec<u32>, TrainError> {
    let columns = logits.dim(1)?;
    let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let logits = logits.flatten_all()?.to_vec1::<f32>()?;
    let rows = logits.par_chunks_exact(columns).zip(keys);
    Ok(rows.map(|(row, &key)| sample_row(row, key)).collect())
}

fn sample_row(logits: &[f32], key: u64) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (column, &logit) in logits.iter().enumerate() {
        let uniform = uniform(key, column);
        if is_hopeless(best.1 - logit, uniform) {
            continue;
        }
        let noisy = logit + gumbel(uniform);
        if noisy > best.1 {
            best = (column, noisy);
        }
    }
    best.0 as u32
}

/// Whether the noise of `uniform` is certainly below `lead`; spares two logarithms for nearly every token.
///
/// `−ln(−ln(1 − u)) > d` needs `u < e^−d`, and `e^−d ≤ 1 / (1 + d + d²/2 + d³/6)` for `d ≥ 0`.
fn is_hopeless(lead: f32, uniform: f32) -> bool {
    // The margin is far above what rounding can move.
    lead > 0.0
        && lead < 1e6
        && uniform * (1.0 + lead * (1.0 + lead * (0.5 + lead * (1.0 / 6.0)))) > 1.01
}

/// A number in `(0, 1)`, finest near 0, where [`gumbel`] is largest.
fn uniform(key: u64, column: usize) -> f32 {
    let bits = mix64(key.wrapping_add((column as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 32;
    let largest = 1.0 - f32::EPSILON / 2.0;
    ((bits as f64 + 0.5) * 2f64.powi(-32)).min(f64::from(largest)) as f32
}

/// `−ln(−ln(1 − u))`.
fn gumbel(uniform: f32) -> f32 {
    -(-(-uniform).ln_1p()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_follow_the_distribution_and_skipping_changes_none() {
        let (rows, columns) = (20_000, 7);
        let one = [0.3f32, -1.0, 2.0, 0.0, 1.5, -4.0, 2.2];
        let logits = Tensor::from_vec(one.repeat(rows), (rows, columns), &Device::Cpu).unwrap();
        let keys: Vec<u64> = (0..rows as u64).map(mix64).collect();
        let sampled = sample(&logits, &keys).unwrap();
        let chosen = choose(&logits, &noise(&keys, columns).unwrap(), 1.0).unwrap();
        assert_eq!(sampled, chosen.ids);
        let total: f64 = one.iter().map(|&z| f64::from(z).exp()).sum();
        for (column, &logit) in one.iter().enumerate() {
            let expected = f64::from(logit).exp() / total;
            let found = sampled.iter().filter(|&&id| id as usize == column).count();
            let error = found as f64 / rows as f64 - expected;
            let deviation = (expected * (1.0 - expected) / rows as f64).sqrt();
            assert!(error.abs() < 4.0 * deviation, "{column}: {error}");
        }
    }

    #[test]
    fn noise_is_finite_at_both_ends_and_skipping_is_sound() {
        assert!(gumbel(2f32.powi(-33)).is_finite());
        assert!(gumbel(1.0 - f32::EPSILON / 2.0).is_finite());
        for step in 1..4000u16 {
            let uniform = f32::from(step) / 4000.0;
            for lead in 1..200u8 {
                let lead = f32::from(lead) / 8.0;
                assert!(!(is_hopeless(lead, uniform) && gumbel(uniform) > lead));
            }
        }
    }
}
