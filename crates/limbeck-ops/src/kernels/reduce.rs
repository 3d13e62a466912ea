//! Sums over rows and elementwise passes shared by several operations.

use rayon::prelude::*;

use super::gemm::Write;
use super::{LANES, for_row_groups, simd};

/// Columns summed by one task; a multiple of the vector length.
const COLUMNS: usize = 64;

/// Fills every row of `y` with `row`.
pub(crate) fn fill_rows(y: &mut [f32], row: &[f32]) {
    for_row_groups(y, row.len(), |_, rows| {
        for out in rows.chunks_exact_mut(row.len()) {
            out.copy_from_slice(row);
        }
    });
}

/// `sums[c] = Σ over rows of x[row, c]`, or added to it, rows in order.
pub(crate) fn add_column_sums(sums: &mut [f32], x: &[f32], write: Write) {
    if write == Write::Replace {
        sums.fill(0.0);
    }
    let width = sums.len();
    sums.par_chunks_mut(COLUMNS)
        .enumerate()
        .for_each(|(block, sums)| {
            let first = block * COLUMNS;
            simd(
                #[inline(always)]
                || {
                    let mut totals = [0f32; COLUMNS];
                    for row in x.chunks_exact(width) {
                        for (total, &value) in
                            totals.iter_mut().zip(&row[first..first + sums.len()])
                        {
                            *total += value;
                        }
                    }
                    for (sum, total) in sums.iter_mut().zip(totals) {
                        *sum += total;
                    }
                },
            );
        });
}

/// `y += x`.
pub(crate) fn add(y: &mut [f32], x: &[f32]) {
    for_row_groups(y, 1, |first, y| {
        let x = &x[first..first + y.len()];
        simd(
            #[inline(always)]
            || {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y += x;
                }
            },
        );
    });
}

/// The sum of a slice, in [`LANES`] interleaved partial sums.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    fold(lanes)
}

/// The largest value of a slice without NaN; the order of comparing does not matter.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, value);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = larger(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// `Σ a · b`, in [`LANES`] interleaved partial sums.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_chunks.remainder(), b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(b, *lane);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = a.mul_add(b, *lane);
    }
    fold(lanes)
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `Σ x²` in double precision, in blocks of fixed size added in order.
pub(crate) fn sum_of_squares(x: &[f32]) -> f64 {
    const BLOCK: usize = 64 * 1024;
    let partial: Vec<f64> = x
        .par_chunks(BLOCK)
        .map(|block| {
            simd(
                #[inline(always)]
                || {
                    let mut lanes = [0f64; 8];
                    let chunks = block.chunks_exact(8);
                    let rest = chunks.remainder();
                    for chunk in chunks {
                        for (lane, &value) in lanes.iter_mut().zip(chunk) {
                            *lane += f64::from(value) * f64::from(value);
                        }
                    }
                    lanes.iter().sum::<f64>()
                        + rest
                            .iter()
                            .map(|&v| f64::from(v) * f64::from(v))
                            .sum::<f64>()
                },
            )
        })
        .collect();
    partial.iter().sum()
}
