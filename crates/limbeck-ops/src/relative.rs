//! Relative position bias of attention scores, as in MPNet (Song et al. 2020) and T5.

use candle_core::Result;

use crate::access::with_parameters;
use crate::kernels::attention::RelativeBias;
use crate::kernels::gemm::Write;
use crate::parameter::Parameter;

/// A table of score terms by bucketed distance, shared by all layers.
#[derive(Debug, Clone)]
pub struct RelativePositionBias {
    /// `[buckets, heads]`.
    pub table: Parameter,
    /// Distance from which on all keys fall into the last bucket.
    pub max_distance: usize,
}

/// The table's values spread out by distance, `[heads, 2 · longest − 1]`.
pub(crate) struct BiasValues {
    values: Vec<f32>,
    longest: usize,
}

impl BiasValues {
    pub(crate) fn view(&self) -> RelativeBias<'_> {
        RelativeBias {
            values: &self.values,
            longest: self.longest,
        }
    }
}

impl RelativePositionBias {
    fn buckets(&self) -> usize {
        self.table.shape().dims()[0]
    }

    fn heads(&self) -> usize {
        self.table.shape().dims()[1]
    }

    /// The bucket of a key at `distance = key − query`: exact when near, logarithmic when far.
    pub fn bucket(&self, distance: i64) -> usize {
        let half = self.buckets() / 2;
        let exact = half / 2;
        let (side, distance) = (
            if distance > 0 { half } else { 0 },
            distance.unsigned_abs() as usize,
        );
        if distance < exact {
            return side + distance;
        }
        // Single precision, as in the reference: buckets on the edge fall the same way.
        let ratio =
            (distance as f32 / exact as f32).ln() / (self.max_distance as f32 / exact as f32).ln();
        let far = exact + (ratio * (half - exact) as f32) as usize;
        side + far.min(half - 1)
    }

    /// Buckets of all pairs of a sentence of `longest` tokens, `[query, key]`.
    pub(crate) fn bucket_matrix(&self, longest: usize) -> Vec<u32> {
        let longest = longest as i64;
        (0..longest)
            .flat_map(|q| (0..longest).map(move |k| self.bucket(k - q) as u32))
            .collect()
    }

    fn buckets_by_distance(&self, longest: usize) -> Vec<usize> {
        (0..2 * longest - 1)
            .map(|i| self.bucket(i as i64 - (longest as i64 - 1)))
            .collect()
    }

    pub(crate) fn values(&self, longest: usize) -> Result<BiasValues> {
        let (heads, buckets) = (self.heads(), self.buckets_by_distance(longest));
        with_parameters([&self.table], |[table]| {
            let by_head = (0..heads).flat_map(|head| {
                buckets
                    .iter()
                    .map(move |&bucket| table[bucket * heads + head])
            });
            Ok(BiasValues {
                values: by_head.collect(),
                longest,
            })
        })
    }

    /// Adds the gradient of the spread-out values to the table's.
    pub(crate) fn add_gradient(&self, values: &[f32], longest: usize) {
        if !self.table.is_trainable() {
            return;
        }
        let (heads, buckets) = (self.heads(), self.buckets_by_distance(longest));
        self.table
            .gradient()
            .add_dense(self.table.len(), |total, write| {
                if write == Write::Replace {
                    total.fill(0.0);
                }
                for (head, values) in values.chunks_exact(buckets.len()).enumerate() {
                    for (&bucket, &value) in buckets.iter().zip(values) {
                        total[bucket * heads + head] += value;
                    }
                }
            });
    }
}
