//! The arithmetic itself: functions on slices, without tensors or graphs.
//!
//! Every reduction adds in an order fixed by the shapes alone, so a result does not depend on the
//! number of threads, and a sentence's result does not depend on its neighbours in the batch.

pub(crate) mod activation;
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    path = "amx/absent.rs"
)]
mod amx;
pub(crate) mod attention;
pub(crate) mod gemm;
pub(crate) mod lines;
pub(crate) mod lstm;
pub(crate) mod norm;
pub(crate) mod reduce;

use rayon::prelude::*;

/// Elements below which starting threads costs more than it saves.
const PARALLEL_THRESHOLD: usize = 16 * 1024;

/// Lanes of one explicit accumulator: fixed, so that sums are the same on every processor.
pub(crate) const LANES: usize = 16;

/// Runs `work` compiled for the widest vector instructions of this processor, chosen at run time.
#[inline(always)]
pub(crate) fn simd<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Calls `work(first_row, rows)` on groups of whole rows of `data`, in parallel when it pays.
pub(crate) fn for_row_groups<T: Send>(
    data: &mut [T],
    row_len: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    if row_len == 0 || data.is_empty() {
        return;
    }
    let group = rows_per_group(data.len(), row_len);
    if group * row_len >= data.len() {
        work(0, data);
        return;
    }
    data.par_chunks_mut(group * row_len)
        .enumerate()
        .for_each(|(index, rows)| work(index * group, rows));
}

/// Like [`for_row_groups`] over two arrays with the same number of rows.
pub(crate) fn for_row_groups2<T: Send, U: Send>(
    (first, first_len): (&mut [T], usize),
    (second, second_len): (&mut [U], usize),
    work: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    if first.is_empty() {
        return;
    }
    let group = rows_per_group(first.len(), first_len);
    if group * first_len >= first.len() {
        work(0, first, second);
        return;
    }
    first
        .par_chunks_mut(group * first_len)
        .zip(second.par_chunks_mut(group * second_len))
        .enumerate()
        .for_each(|(index, (a, b))| work(index * group, a, b));
}

fn rows_per_group(len: usize, row_len: usize) -> usize {
    let threads = gemm::threads();
    if threads == 1 || len < PARALLEL_THRESHOLD {
        return len / row_len;
    }
    (len / row_len).div_ceil(threads * 2).max(1)
}

/// Splits packed rows into one mutable slice per sentence.
pub(crate) fn split_sentences<T>(
    mut rows: &mut [T],
    lengths: impl Iterator<Item = usize>,
    row_len: usize,
) -> Vec<&mut [T]> {
    lengths
        .map(|length| {
            let (sentence, rest) = std::mem::take(&mut rows).split_at_mut(length * row_len);
            rows = rest;
            sentence
        })
        .collect()
}
