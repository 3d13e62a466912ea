//! Layer normalisation of `residual + dropout(x)`, forward and backward.

use rayon::prelude::*;

use super::reduce::{dot, sum};
use super::{for_row_groups, for_row_groups2, simd};
use crate::dropout::RowDropout;

/// Scale, shift and the constant under the root.
#[derive(Clone, Copy)]
pub(crate) struct NormWeights<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) epsilon: f32,
}

/// Writes `y = norm(residual + dropout(x))` and the normalised rows before scale and shift.
///
/// `inverse_deviation[row]` receives `1 / √(variance + ε)`. `residual` is `None` for a plain norm.
pub(crate) fn forward(
    y: &mut [f32],
    (normalised, inverse_deviation): (&mut [f32], &mut [f32]),
    x: &[f32],
    residual: Option<&[f32]>,
    weights: NormWeights<'_>,
    dropout: &RowDropout<'_>,
) {
    let width = weights.scale.len();
    for_row_groups2(
        (normalised, width),
        (inverse_deviation, 1),
        |first, normalised, deviation| {
            simd(
                #[inline(always)]
                || {
                    for (index, (row, deviation)) in normalised
                        .chunks_exact_mut(width)
                        .zip(deviation)
                        .enumerate()
                    {
                        let at = (first + index) * width;
                        row.copy_from_slice(&x[at..at + width]);
                        dropout.apply(first + index, row);
                        if let Some(residual) = residual {
                            for (value, &residual) in row.iter_mut().zip(&residual[at..at + width])
                            {
                                *value += residual;
                            }
                        }
                        let mean = sum(row) / width as f32;
                        for value in row.iter_mut() {
                            *value -= mean;
                        }
                        let variance = dot(row, row) / width as f32;
                        *deviation = 1.0 / (variance + weights.epsilon).sqrt();
                        for value in row.iter_mut() {
                            *value *= *deviation;
                        }
                    }
                },
            );
        },
    );
    let normalised = &*normalised;
    for_row_groups(y, width, |first, y| {
        let rows = &normalised[first * width..][..y.len()];
        simd(
            #[inline(always)]
            || {
                for (y, row) in y.chunks_exact_mut(width).zip(rows.chunks_exact(width)) {
                    for (((y, &value), &scale), &shift) in
                        y.iter_mut().zip(row).zip(weights.scale).zip(weights.shift)
                    {
                        *y = value.mul_add(scale, shift);
                    }
                }
            },
        );
    });
}

/// Turns `gradient` with respect to the output into that with respect to `residual + dropout(x)`.
pub(crate) fn backward(
    gradient: &mut [f32],
    normalised: &[f32],
    inverse_deviation: &[f32],
    scale: &[f32],
) {
    let width = scale.len();
    for_row_groups(gradient, width, |first, gradient| {
        let normalised = &normalised[first * width..][..gradient.len()];
        simd(
            #[inline(always)]
            || {
                for (index, (gradient, normalised)) in gradient
                    .chunks_exact_mut(width)
                    .zip(normalised.chunks_exact(width))
                    .enumerate()
                {
                    for (gradient, &scale) in gradient.iter_mut().zip(scale) {
                        *gradient *= scale;
                    }
                    let mean = sum(gradient) / width as f32;
                    let projection = dot(gradient, normalised) / width as f32;
                    let deviation = inverse_deviation[first + index];
                    for (gradient, &normalised) in gradient.iter_mut().zip(normalised) {
                        *gradient = deviation * (*gradient - mean - normalised * projection);
                    }
                }
            },
        );
    });
}

/// `scale += Σ rows gradient · normalised`, `shift += Σ rows gradient`, rows in order.
pub(crate) fn add_weight_gradients(
    (scale, shift): (&mut [f32], &mut [f32]),
    gradient: &[f32],
    normalised: &[f32],
) {
    const COLUMNS: usize = 64;
    let width = scale.len();
    scale
        .par_chunks_mut(COLUMNS)
        .zip(shift.par_chunks_mut(COLUMNS))
        .enumerate()
        .for_each(|(block, (scale, shift))| {
            let columns = block * COLUMNS..block * COLUMNS + scale.len();
            simd(
                #[inline(always)]
                || {
                    let (mut scales, mut shifts) = ([0f32; COLUMNS], [0f32; COLUMNS]);
                    for (gradient, normalised) in gradient
                        .chunks_exact(width)
                        .zip(normalised.chunks_exact(width))
                    {
                        let rows = gradient[columns.clone()]
                            .iter()
                            .zip(&normalised[columns.clone()]);
                        for ((scale, shift), (&g, &n)) in
                            scales.iter_mut().zip(&mut shifts).zip(rows)
                        {
                            *scale = g.mul_add(n, *scale);
                            *shift += g;
                        }
                    }
                    for (total, value) in scale.iter_mut().zip(scales) {
                        *total += value;
                    }
                    for (total, value) in shift.iter_mut().zip(shifts) {
                        *total += value;
                    }
                },
            );
        });
}
