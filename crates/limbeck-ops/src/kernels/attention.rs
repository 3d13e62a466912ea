//! Scaled dot-product attention within each sentence of a packed batch (Vaswani et al. 2017, eq. 1).

use std::cell::RefCell;

use rayon::prelude::*;

use super::activation::exp;
use super::reduce::dot;
use super::{LANES, simd, split_sentences};
use crate::dropout::RowDropout;

/// Query rows computed together by the small matrix product.
const ROWS: usize = 8;

/// Where the pieces of a sentence lie, and how many heads share a row.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// First key row of each sentence, and the end of the last.
    pub(crate) key_starts: &'a [u32],
    /// First query row of each sentence; equal to `key_starts`, or one row per sentence.
    pub(crate) query_starts: &'a [u32],
    pub(crate) heads: usize,
    pub(crate) head_size: usize,
}

impl Shape<'_> {
    fn hidden(&self) -> usize {
        self.heads * self.head_size
    }

    fn sentences(&self) -> usize {
        self.key_starts.len() - 1
    }

    fn keys(&self, sentence: usize) -> (usize, usize) {
        let (start, end) = (
            self.key_starts[sentence] as usize,
            self.key_starts[sentence + 1] as usize,
        );
        (start, end - start)
    }

    fn queries(&self, sentence: usize) -> (usize, usize) {
        let (start, end) = (
            self.query_starts[sentence] as usize,
            self.query_starts[sentence + 1] as usize,
        );
        (start, end - start)
    }

    /// Elements of the probabilities of all sentences, `[heads, queries, keys]` each.
    pub(crate) fn probability_count(&self) -> usize {
        (0..self.sentences())
            .map(|s| self.heads * self.queries(s).1 * self.keys(s).1)
            .sum()
    }
}

/// A block of columns inside wider rows: where queries, keys or values lie in a merged projection.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

impl Columns<'_> {
    fn row(&self, row: usize, first: usize, count: usize) -> &[f32] {
        &self.data[row * self.stride + self.offset + first..][..count]
    }
}

/// Queries, keys and values.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) query: Columns<'a>,
    pub(crate) key: Columns<'a>,
    pub(crate) value: Columns<'a>,
}

/// A learned term added to the scores, by head and by `key − query + longest − 1`.
#[derive(Clone, Copy)]
pub(crate) struct RelativeBias<'a> {
    /// `[heads, 2 · longest − 1]`.
    pub(crate) values: &'a [f32],
    pub(crate) longest: usize,
}

impl RelativeBias<'_> {
    fn row(&self, head: usize, query: usize, keys: usize) -> &[f32] {
        let width = 2 * self.longest - 1;
        &self.values[head * width + self.longest - 1 - query..][..keys]
    }
}

/// Buffers of one worker thread, kept from call to call.
#[derive(Default)]
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    d: Vec<f32>,
    e: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(LANES)
}

fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// `c[rows, columns] = a[rows, inner] · b[inner, columns]`; `rows` a multiple of 8, `columns` of 16.
#[inline(always)]
fn small_product(
    c: &mut [f32],
    a: &[f32],
    b: &[f32],
    (rows, columns, inner): (usize, usize, usize),
) {
    for first in (0..rows).step_by(ROWS) {
        for column in (0..columns).step_by(LANES) {
            let mut sums = [[0f32; LANES]; ROWS];
            for depth in 0..inner {
                let b: &[f32; LANES] = b[depth * columns + column..][..LANES]
                    .try_into()
                    .expect("sixteen lanes");
                for (row, sums) in sums.iter_mut().enumerate() {
                    let a = a[(first + row) * inner + depth];
                    for (sum, &b) in sums.iter_mut().zip(b) {
                        *sum = a.mul_add(b, *sum);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                c[(first + row) * columns + column..][..LANES].copy_from_slice(sums);
            }
        }
    }
}

/// Copies `rows` rows of one head into `[rows up to 8s, head_size]`, scaled, the rest zero.
#[inline(always)]
fn pack_rows(
    out: &mut [f32],
    from: Columns<'_>,
    (start, rows): (usize, usize),
    (first, width): (usize, usize),
    scale: f32,
) {
    for (index, out) in out.chunks_exact_mut(width).enumerate() {
        if index < rows {
            for (out, &value) in out.iter_mut().zip(from.row(start + index, first, width)) {
                *out = value * scale;
            }
        } else {
            out.fill(0.0);
        }
    }
}

/// Copies rows of one head into `[rows, width up to 16s]`, the rest zero.
#[inline(always)]
fn pack_wide(
    out: &mut [f32],
    from: Columns<'_>,
    (start, rows): (usize, usize),
    (first, width): (usize, usize),
) {
    for (index, out) in out.chunks_exact_mut(padded(width)).take(rows).enumerate() {
        out[..width].copy_from_slice(from.row(start + index, first, width));
        out[width..].fill(0.0);
    }
}

/// Copies rows of one head transposed into `[width, rows up to 16s]`, the rest zero.
#[inline(always)]
fn pack_transposed(
    out: &mut [f32],
    from: Columns<'_>,
    (start, rows): (usize, usize),
    (first, width): (usize, usize),
) {
    let stride = padded(rows);
    out[..width * stride].fill(0.0);
    for row in 0..rows {
        for (column, &value) in from.row(start + row, first, width).iter().enumerate() {
            out[column * stride + row] = value;
        }
    }
}

/// Replaces each row of scores by its softmax; columns from `keys` on become zero.
#[inline(always)]
fn softmax_row(row: &mut [f32], keys: usize) {
    let (row, padding) = row.split_at_mut(keys);
    padding.fill(0.0);
    let largest = super::reduce::largest(row);
    for value in row.iter_mut() {
        *value = exp(*value - largest);
    }
    let total = super::reduce::sum(row);
    let inverse = 1.0 / total;
    for value in row.iter_mut() {
        *value *= inverse;
    }
}

/// Writes `context[queries, hidden]` and, per sentence, `probabilities[heads, queries, keys]`.
///
/// Probabilities are stored before dropout; `scores`, where wanted, are laid out like them.
pub(crate) fn forward(
    context: &mut [f32],
    (probabilities, scores): (&mut [f32], Option<&mut [f32]>),
    inputs: Inputs<'_>,
    shape: Shape<'_>,
    bias: Option<RelativeBias<'_>>,
    dropout: &RowDropout<'_>,
) {
    let sentences = shape.sentences();
    let contexts = split_sentences(
        context,
        (0..sentences).map(|s| shape.queries(s).1),
        shape.hidden(),
    );
    let areas = || (0..sentences).map(|s| shape.heads * shape.queries(s).1 * shape.keys(s).1);
    let probabilities = split_sentences(probabilities, areas(), 1);
    let scores: Vec<Option<&mut [f32]>> = match scores {
        Some(scores) => split_sentences(scores, areas(), 1)
            .into_iter()
            .map(Some)
            .collect(),
        None => (0..sentences).map(|_| None).collect(),
    };
    let maps: Vec<_> = probabilities.into_iter().zip(scores).collect();
    let one = |(sentence, (context, maps)): (usize, (&mut [f32], Maps<'_>))| {
        SCRATCH.with_borrow_mut(|scratch| {
            simd(
                #[inline(always)]
                || {
                    forward_sentence(
                        sentence, context, maps, inputs, shape, bias, dropout, scratch,
                    );
                },
            );
        });
    };
    if super::gemm::threads() == 1 {
        contexts.into_iter().zip(maps).enumerate().for_each(one);
    } else {
        contexts.into_par_iter().zip(maps).enumerate().for_each(one);
    }
}

/// A sentence's probabilities, and its scores where wanted.
type Maps<'a> = (&'a mut [f32], Option<&'a mut [f32]>);

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one sentence's work"
)]
fn forward_sentence(
    sentence: usize,
    context: &mut [f32],
    (probabilities, mut kept): Maps<'_>,
    inputs: Inputs<'_>,
    shape: Shape<'_>,
    bias: Option<RelativeBias<'_>>,
    dropout: &RowDropout<'_>,
    scratch: &mut Scratch,
) {
    let size = shape.head_size;
    let (key_range, query_range) = (shape.keys(sentence), shape.queries(sentence));
    let ((_, keys), (query_start, queries)) = (key_range, query_range);
    let (query_rows, key_columns, wide) =
        (queries.next_multiple_of(ROWS), padded(keys), padded(size));
    let scale = 1.0 / (size as f32).sqrt();
    let query = sized(&mut scratch.a, query_rows * size);
    let key = sized(&mut scratch.b, size * key_columns);
    let value = sized(&mut scratch.c, keys.max(key_columns) * wide);
    let scores = sized(&mut scratch.d, query_rows * key_columns);
    let out = sized(&mut scratch.e, query_rows * wide);
    for head in 0..shape.heads {
        let columns = (head * size, size);
        pack_rows(query, inputs.query, query_range, columns, scale);
        pack_transposed(key, inputs.key, key_range, columns);
        pack_wide(value, inputs.value, key_range, columns);
        value[keys * wide..].fill(0.0);
        small_product(scores, query, key, (query_rows, key_columns, size));
        for (row, scores) in scores
            .chunks_exact_mut(key_columns)
            .take(queries)
            .enumerate()
        {
            if let Some(bias) = bias {
                for (score, &bias) in scores.iter_mut().zip(bias.row(head, row, keys)) {
                    *score += bias;
                }
            }
            let place = (head * queries + row) * keys;
            if let Some(kept) = &mut kept {
                kept[place..][..keys].copy_from_slice(&scores[..keys]);
            }
            softmax_row(scores, keys);
            let stored = &mut probabilities[place..][..keys];
            stored.copy_from_slice(&scores[..keys]);
            dropout.apply_from(query_start + row, (head as u32) << 16, &mut scores[..keys]);
        }
        small_product(out, scores, value, (query_rows, wide, key_columns));
        for (row, out) in out.chunks_exact(wide).take(queries).enumerate() {
            context[row * shape.hidden() + columns.0..][..size].copy_from_slice(&out[..size]);
        }
    }
}

/// A block of columns to write gradients into, and the width of its rows.
pub(crate) struct Gradients<'a> {
    /// Queries' rows and the offset of their columns.
    pub(crate) query: (&'a mut [f32], usize, usize),
    /// Keys' and values' rows, stride, and the offsets of both.
    pub(crate) key_value: Option<(&'a mut [f32], usize)>,
    pub(crate) key_offset: usize,
    pub(crate) value_offset: usize,
}

/// Gradients of queries, keys and values from that of the context.
///
/// With `key_value = None`, queries, keys and values share the rows of `query`. When a bias was
/// added, its gradient is added to `bias_gradient`, `[heads, 2 · longest − 1]`. Where the scores themselves were
/// used, their gradient is laid out like the probabilities.
pub(crate) fn backward(
    gradients: Gradients<'_>,
    (context_gradient, score_gradient): (&[f32], Option<&[f32]>),
    probabilities: &[f32],
    inputs: Inputs<'_>,
    shape: Shape<'_>,
    bias_gradient: Option<(&mut [f32], usize)>,
    dropout: &RowDropout<'_>,
) {
    let sentences = shape.sentences();
    let Gradients {
        query: (query, query_stride, query_offset),
        key_value,
        key_offset,
        value_offset,
    } = gradients;
    let query_rows = split_sentences(
        query,
        (0..sentences).map(|s| shape.queries(s).1),
        query_stride,
    );
    let (key_rows, key_stride): (Vec<Option<&mut [f32]>>, usize) = match key_value {
        Some((rows, stride)) => {
            let rows = split_sentences(rows, (0..sentences).map(|s| shape.keys(s).1), stride);
            (rows.into_iter().map(Some).collect(), stride)
        }
        None => ((0..sentences).map(|_| None).collect(), query_stride),
    };
    let mut offset = 0;
    let areas: Vec<(&[f32], Option<&[f32]>)> = (0..sentences)
        .map(|s| {
            let area = shape.heads * shape.queries(s).1 * shape.keys(s).1;
            offset += area;
            let range = offset - area..offset;
            (
                &probabilities[range.clone()],
                score_gradient.map(|gradient| &gradient[range]),
            )
        })
        .collect();
    let bias_width = bias_gradient
        .as_ref()
        .map(|(_, longest)| (2 * longest - 1, *longest));
    let partial: Vec<Vec<f32>> = query_rows
        .into_par_iter()
        .zip(key_rows)
        .zip(areas)
        .enumerate()
        .map(|(sentence, ((query_rows, key_rows), maps))| {
            let mut bias = vec![0.0; bias_width.map_or(0, |(width, _)| width * shape.heads)];
            SCRATCH.with_borrow_mut(|scratch| {
                simd(
                    #[inline(always)]
                    || {
                        let mut target = Target {
                            query_rows,
                            query_stride,
                            query_offset,
                            key_rows,
                            key_stride,
                            key_offset,
                            value_offset,
                            bias: bias_width
                                .map(|(width, longest)| (bias.as_mut_slice(), width, longest)),
                        };
                        backward_sentence(
                            sentence,
                            &mut target,
                            context_gradient,
                            maps,
                            inputs,
                            shape,
                            dropout,
                            scratch,
                        );
                    },
                );
            });
            bias
        })
        .collect();
    if let Some((total, _)) = bias_gradient {
        for partial in partial {
            for (total, value) in total.iter_mut().zip(partial) {
                *total += value;
            }
        }
    }
}

struct Target<'a> {
    query_rows: &'a mut [f32],
    query_stride: usize,
    query_offset: usize,
    key_rows: Option<&'a mut [f32]>,
    key_stride: usize,
    key_offset: usize,
    value_offset: usize,
    bias: Option<(&'a mut [f32], usize, usize)>,
}

impl Target<'_> {
    #[inline(always)]
    fn write_keys(
        &mut self,
        from: &[f32],
        (rows, wide): (usize, usize),
        (first, size): (usize, usize),
        offset: usize,
        scale: f32,
    ) {
        let target = self.key_rows.as_deref_mut().unwrap_or(self.query_rows);
        for (row, from) in from.chunks_exact(wide).take(rows).enumerate() {
            let out = &mut target[row * self.key_stride + offset + first..][..size];
            for (out, &value) in out.iter_mut().zip(from) {
                *out = value * scale;
            }
        }
    }
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one sentence's work"
)]
fn backward_sentence(
    sentence: usize,
    target: &mut Target<'_>,
    context_gradient: &[f32],
    (probabilities, score_gradient): (&[f32], Option<&[f32]>),
    inputs: Inputs<'_>,
    shape: Shape<'_>,
    dropout: &RowDropout<'_>,
    scratch: &mut Scratch,
) {
    let size = shape.head_size;
    let (key_range, query_range) = (shape.keys(sentence), shape.queries(sentence));
    let ((_, keys), (query_start, queries)) = (key_range, query_range);
    let (query_rows, query_columns) = (queries.next_multiple_of(LANES), padded(queries));
    let (key_rows, key_columns, wide) = (keys.next_multiple_of(LANES), padded(keys), padded(size));
    let scale = 1.0 / (size as f32).sqrt();
    let context = Columns {
        data: context_gradient,
        stride: shape.hidden(),
        offset: 0,
    };
    for head in 0..shape.heads {
        let columns = (head * size, size);
        let stored = &probabilities[head * queries * keys..][..queries * keys];

        // Gradient of the probabilities: context gradient times values, then dropout's own mask.
        let packed_context = sized(&mut scratch.a, query_rows * size);
        pack_rows(packed_context, context, query_range, columns, 1.0);
        let value = sized(&mut scratch.b, size * key_columns);
        pack_transposed(value, inputs.value, key_range, columns);
        let scores = sized(&mut scratch.d, query_rows * key_columns);
        small_product(
            scores,
            packed_context,
            value,
            (query_rows, key_columns, size),
        );

        // Gradient of the values: dropped probabilities transposed, times context gradient.
        let transposed = sized(&mut scratch.c, key_rows * query_columns);
        transposed.fill(0.0);
        let dropped = sized(&mut scratch.e, key_columns.max(query_columns));
        for row in 0..queries {
            dropped[..keys].copy_from_slice(&stored[row * keys..][..keys]);
            dropout.apply_from(query_start + row, (head as u32) << 16, &mut dropped[..keys]);
            for (key, &probability) in dropped[..keys].iter().enumerate() {
                transposed[key * query_columns + row] = probability;
            }
        }
        let wide_context = sized(&mut scratch.b, query_columns * wide);
        pack_wide(wide_context, context, query_range, columns);
        wide_context[queries * wide..].fill(0.0);
        let out = sized(&mut scratch.e, key_rows * wide);
        small_product(
            out,
            transposed,
            wide_context,
            (key_rows, wide, query_columns),
        );
        target.write_keys(out, (keys, wide), columns, target.value_offset, 1.0);

        // Through the softmax, in place; padding rows and columns become exact zeros.
        for (row, scores) in scores.chunks_exact_mut(key_columns).enumerate() {
            if row >= queries {
                scores.fill(0.0);
                continue;
            }
            let (scores, padding) = scores.split_at_mut(keys);
            padding.fill(0.0);
            dropout.apply_from(query_start + row, (head as u32) << 16, scores);
            let stored = &stored[row * keys..][..keys];
            let projection = dot(scores, stored);
            for (score, &probability) in scores.iter_mut().zip(stored) {
                *score = probability * (*score - projection);
            }
            if let Some(gradient) = score_gradient {
                let gradient = &gradient[(head * queries + row) * keys..][..keys];
                for (score, &gradient) in scores.iter_mut().zip(gradient) {
                    *score += gradient;
                }
            }
            if let Some((bias, width, longest)) = &mut target.bias {
                let bias = &mut bias[head * *width + *longest - 1 - row..][..keys];
                for (bias, &score) in bias.iter_mut().zip(scores.iter()) {
                    *bias += score;
                }
            }
        }

        // Queries: score gradient times keys.
        let key = sized(&mut scratch.b, key_columns * wide);
        pack_wide(key, inputs.key, key_range, columns);
        key[keys * wide..].fill(0.0);
        let out = sized(&mut scratch.e, query_rows * wide);
        small_product(out, scores, key, (query_rows, wide, key_columns));
        for (row, out) in out.chunks_exact(wide).take(queries).enumerate() {
            let gradient = &mut target.query_rows
                [row * target.query_stride + target.query_offset + columns.0..][..size];
            for (gradient, &value) in gradient.iter_mut().zip(out) {
                *gradient = value * scale;
            }
        }

        // Keys: score gradient transposed, times queries.
        let transposed = sized(&mut scratch.c, key_rows * query_columns);
        transposed.fill(0.0);
        for (row, scores) in scores.chunks_exact(key_columns).take(queries).enumerate() {
            for (key, &score) in scores[..keys].iter().enumerate() {
                transposed[key * query_columns + row] = score;
            }
        }
        let query = sized(&mut scratch.b, query_columns * wide);
        pack_wide(query, inputs.query, query_range, columns);
        query[queries * wide..].fill(0.0);
        let out = sized(&mut scratch.e, key_rows * wide);
        small_product(out, transposed, query, (key_rows, wide, query_columns));
        target.write_keys(out, (keys, wide), columns, target.key_offset, scale);
    }
}
