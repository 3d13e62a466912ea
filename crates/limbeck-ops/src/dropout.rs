//! Dropout masks computed from counters instead of drawn from a stream.
//!
//! Whether an element is dropped is a hash of (key, row, site, column), where a row's number comes
//! from the example and the token's position in it. So a mask does not depend on batch
//! composition, packing, thread count or whether the run was interrupted, and the backward pass
//! computes it again instead of storing it.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use crate::access::{slice, with_data};
use crate::layer::LayerSpec;
use crate::parameter::is_fused;
use crate::pass::Pass;
use crate::{Starts, plain};

use crate::kernels::{for_row_groups, simd};

/// Dropout for one forward pass: a key that changes with every step, and a number for every row.
#[derive(Debug, Clone)]
pub struct DropoutKey {
    key: u64,
    rows: Arc<Vec<u64>>,
}

impl DropoutKey {
    /// `key` names seed and step; `rows[i]` names the example and position behind packed row `i`.
    pub fn new(key: u64, rows: Arc<Vec<u64>>) -> Self {
        Self { key, rows }
    }

    /// The same key for the selected rows.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let rows = rows.iter().map(|&row| self.rows[row as usize]).collect();
        Self {
            key: self.key,
            rows: Arc::new(rows),
        }
    }

    fn row_seed(&self, row: usize, site: u32) -> u32 {
        let mixed = mix64(self.key ^ mix64(self.rows[row].wrapping_add(u64::from(site) << 40)));
        (mixed >> 32) as u32
    }
}

/// Drops each element with `probability` and divides the rest by `1 − probability`.
///
/// `x`: `[N, H]`. `site` tells the dropout layers of a network apart. The input comes back
/// unchanged when the pass evaluates.
pub fn dropout(x: &Tensor, probability: f64, site: u32, pass: &Pass) -> Result<Tensor> {
    let Some(key) = pass.dropout.clone().filter(|_| probability > 0.0) else {
        return Ok(x.clone());
    };
    if !is_fused(x) {
        return plain::dropout(x, probability, site, pass);
    }
    x.contiguous()?.apply_op1(DropoutOp {
        key,
        probability: probability as f32,
        site,
    })
}

struct DropoutOp {
    key: DropoutKey,
    probability: f32,
    site: u32,
}

impl DropoutOp {
    fn apply(&self, x: &[f32], dims: &[usize]) -> Vec<f32> {
        let mut y = x.to_vec();
        let width = dims.last().copied().unwrap_or(1);
        RowDropout::new(Some(&self.key), self.probability, self.site).apply_all(&mut y, width);
        y
    }
}

impl CustomOp1 for DropoutOp {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.apply(slice(storage, layout)?, layout.dims());
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let x_gradient = with_data(gradient, |gradient| Ok(self.apply(gradient, x.dims())))?;
        Ok(Some(Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?))
    }
}

/// Which elements stay, and what they are multiplied with.
pub(crate) struct Mask {
    /// One or zero each; a byte, since it may have to travel to another device.
    kept: Tensor,
    scale: f64,
}

impl Mask {
    fn new(kept: Vec<u8>, shape: impl Into<Shape>, dropout: RowDropout<'_>) -> Result<Self> {
        Ok(Self {
            kept: Tensor::from_vec(kept, shape.into(), &Device::Cpu)?,
            scale: dropout.active.map_or(1.0, |active| f64::from(active.scale)),
        })
    }

    /// `x` with the mask's shape, dropped.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let kept = self.kept.to_device(x.device())?.to_dtype(x.dtype())?;
        (x * kept)? * self.scale
    }
}

/// The mask of a `[N, H]` tensor; `None` when dropout is off.
pub(crate) fn mask(
    dims: &[usize],
    probability: f64,
    site: u32,
    pass: &Pass,
) -> Option<Result<Mask>> {
    let dropout = RowDropout::new(pass.dropout.as_ref(), probability as f32, site);
    dropout.is_active().then(|| {
        let mut kept = vec![0; dims.iter().product()];
        for (row, kept) in kept.chunks_exact_mut(dims[dims.len() - 1]).enumerate() {
            dropout.keep(row, 0, kept);
        }
        Mask::new(kept, dims, dropout)
    })
}

/// The same for attention probabilities, padded to `[B, heads, T, T]`; padding is dropped.
pub(crate) fn attention_mask(
    starts: &Starts,
    spec: &LayerSpec,
    pass: &Pass,
) -> Option<Result<Mask>> {
    let dropout = RowDropout::new(
        pass.dropout.as_ref(),
        spec.attention_dropout as f32,
        spec.site,
    );
    dropout.is_active().then(|| {
        let (batch, longest) = (starts.sentences(), starts.longest());
        let mut kept = vec![0; batch * spec.heads * longest * longest];
        for (sentence, (&start, length)) in
            starts.first_rows().iter().zip(starts.lengths()).enumerate()
        {
            for head in 0..spec.heads {
                for row in 0..length {
                    let at = ((sentence * spec.heads + head) * longest + row) * longest;
                    let kept = &mut kept[at..at + length];
                    dropout.keep(start as usize + row, (head as u32) << 16, kept);
                }
            }
        }
        Mask::new(kept, (batch, spec.heads, longest, longest), dropout)
    })
}

/// A 64-bit mixing function (the finaliser of `SplitMix64`), for keys and row numbers.
pub fn mix64(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One dropout layer in one pass: either nothing, or probability and place in the network.
#[derive(Clone, Copy)]
pub(crate) struct RowDropout<'a> {
    active: Option<Active<'a>>,
}

#[derive(Clone, Copy)]
struct Active<'a> {
    key: &'a DropoutKey,
    site: u32,
    threshold: u32,
    scale: f32,
}

impl<'a> RowDropout<'a> {
    /// No dropout when `key` is `None` or `probability` is zero.
    pub(crate) fn new(key: Option<&'a DropoutKey>, probability: f32, site: u32) -> Self {
        let active = key.filter(|_| probability > 0.0).map(|key| Active {
            key,
            site,
            threshold: (f64::from(probability) * f64::from(u32::MAX)) as u32,
            scale: 1.0 / (1.0 - probability),
        });
        Self { active }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Drops and rescales the elements of one row.
    #[inline(always)]
    pub(crate) fn apply(&self, row: usize, values: &mut [f32]) {
        self.apply_from(row, 0, values);
    }

    /// Like [`RowDropout::apply`] for columns starting at `first_column`.
    #[inline(always)]
    pub(crate) fn apply_from(&self, row: usize, first_column: u32, values: &mut [f32]) {
        let Some(active) = self.active else { return };
        let seed = active.key.row_seed(row, active.site);
        for (column, value) in values.iter_mut().enumerate() {
            let kept = hash(seed, first_column + column as u32) >= active.threshold;
            *value = if kept { *value * active.scale } else { 0.0 };
        }
    }

    /// One for what stays of a row from `first_column` on, zero for what is dropped.
    fn keep(&self, row: usize, first_column: u32, kept: &mut [u8]) {
        let Some(active) = self.active else { return };
        let seed = active.key.row_seed(row, active.site);
        simd(
            #[inline(always)]
            || {
                for (column, kept) in kept.iter_mut().enumerate() {
                    let hash = hash(seed, first_column + column as u32);
                    *kept = u8::from(hash >= active.threshold);
                }
            },
        );
    }

    /// Applies to every row of a matrix.
    pub(crate) fn apply_all(&self, values: &mut [f32], row_len: usize) {
        if !self.is_active() {
            return;
        }
        for_row_groups(values, row_len, |first, rows| {
            simd(
                #[inline(always)]
                || {
                    for (index, row) in rows.chunks_exact_mut(row_len).enumerate() {
                        self.apply(first + index, row);
                    }
                },
            );
        });
    }
}

#[inline(always)]
fn hash(seed: u32, column: u32) -> u32 {
    let mut x = seed.wrapping_add(column.wrapping_mul(0x9e37_79b9));
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_dropped_and_the_mean_stays() {
        let key = DropoutKey::new(7, Arc::new((0..1000).collect()));
        let mut values = vec![1.0f32; 1000 * 384];
        RowDropout::new(Some(&key), 0.1, 3).apply_all(&mut values, 384);
        let dropped = values.iter().filter(|&&v| v == 0.0).count() as f64 / values.len() as f64;
        assert!((dropped - 0.1).abs() < 0.002, "{dropped}");
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        assert!((mean - 1.0).abs() < 0.003, "{mean}");
    }

    #[test]
    fn a_row_keeps_its_mask_wherever_it_lies() {
        let all = DropoutKey::new(9, Arc::new((0..50).collect()));
        let some = all.select(&[41, 7]);
        let mask = |key: &DropoutKey, row| {
            let mut values = vec![1.0f32; 64];
            RowDropout::new(Some(key), 0.3, 1).apply(row, &mut values);
            values
        };
        assert_eq!(mask(&all, 41), mask(&some, 0));
        assert_eq!(mask(&all, 7), mask(&some, 1));
        assert_ne!(mask(&all, 7), mask(&all, 8));
    }
}
