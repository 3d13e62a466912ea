//! The pointwise half of an LSTM step; the other half is a matrix product.

use super::activation::exp;
use super::{for_row_groups2, simd};

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// One step of some sentences: `gates` `[A, 4H]` are activated in place, `states` `[A, 2H]` become
/// the cells and their tanh.
///
/// `previous`: the states one step earlier, of at least as many sentences; `None` at the first.
pub(crate) fn forward(
    gates: &mut [f32],
    states: &mut [f32],
    previous: Option<&[f32]>,
    hidden: usize,
) {
    for_row_groups2(
        (gates, 4 * hidden),
        (states, 2 * hidden),
        |first, gates, states| {
            simd(
                #[inline(always)]
                || {
                    let rows = gates.chunks_exact_mut(4 * hidden);
                    for (index, (gates, states)) in
                        rows.zip(states.chunks_exact_mut(2 * hidden)).enumerate()
                    {
                        let previous =
                            previous.map(|p| &p[(first + index) * 2 * hidden..][..hidden]);
                        forward_row(gates, states, previous, hidden);
                    }
                },
            );
        },
    );
}

#[inline(always)]
fn forward_row(gates: &mut [f32], states: &mut [f32], previous: Option<&[f32]>, hidden: usize) {
    let (input, rest) = gates.split_at_mut(hidden);
    let (forget, rest) = rest.split_at_mut(hidden);
    let (candidate, output) = rest.split_at_mut(hidden);
    let (cells, tanhs) = states.split_at_mut(hidden);
    for value in input.iter_mut().chain(&mut *forget).chain(&mut *output) {
        *value = sigmoid(*value);
    }
    for value in &mut *candidate {
        *value = tanh(*value);
    }
    for ((cell, &i), &g) in cells.iter_mut().zip(&*input).zip(&*candidate) {
        *cell = i * g;
    }
    if let Some(previous) = previous {
        for ((cell, &f), &c) in cells.iter_mut().zip(&*forget).zip(previous) {
            *cell = f.mul_add(c, *cell);
        }
    }
    for (out, &cell) in tanhs.iter_mut().zip(&*cells) {
        *out = tanh(cell);
    }
}

/// `out = o · tanh(c)` for one sentence.
pub(crate) fn hidden_state(out: &mut [f32], gates: &[f32], states: &[f32]) {
    let hidden = out.len();
    simd(
        #[inline(always)]
        || {
            let outputs = &gates[3 * hidden..];
            for ((out, &o), &t) in out.iter_mut().zip(outputs).zip(&states[hidden..]) {
                *out = o * t;
            }
        },
    );
}

/// What the forward pass left of one step, and the gradient of its hidden states.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    /// Activated gates, `[A, 4H]`.
    pub(crate) gates: &'a [f32],
    /// Cells and their tanh, `[A, 2H]`.
    pub(crate) states: &'a [f32],
    /// The states one step earlier; `None` at the first step.
    pub(crate) previous: Option<&'a [f32]>,
    /// `[A, H]`.
    pub(crate) hidden_gradient: &'a [f32],
}

/// Gradients of one step: `gate_gradient` `[A, 4H]` before activation; `cell_gradient` `[A, H]` goes
/// from this step's cells to those of the step before.
pub(crate) fn backward(
    gate_gradient: &mut [f32],
    cell_gradient: &mut [f32],
    step: Step<'_>,
    hidden: usize,
) {
    for_row_groups2(
        (gate_gradient, 4 * hidden),
        (cell_gradient, hidden),
        |first, gate_gradient, cell_gradient| {
            simd(
                #[inline(always)]
                || {
                    let rows = gate_gradient.chunks_exact_mut(4 * hidden);
                    for (index, (out, carry)) in
                        rows.zip(cell_gradient.chunks_exact_mut(hidden)).enumerate()
                    {
                        let row = first + index;
                        let step = Step {
                            gates: &step.gates[row * 4 * hidden..][..4 * hidden],
                            states: &step.states[row * 2 * hidden..][..2 * hidden],
                            previous: step.previous.map(|p| &p[row * 2 * hidden..][..hidden]),
                            hidden_gradient: &step.hidden_gradient[row * hidden..][..hidden],
                        };
                        backward_row(out, carry, step, hidden);
                    }
                },
            );
        },
    );
}

#[inline(always)]
fn backward_row(out: &mut [f32], carry: &mut [f32], step: Step<'_>, hidden: usize) {
    let (input, rest) = step.gates.split_at(hidden);
    let (forget, rest) = rest.split_at(hidden);
    let (candidate, output) = rest.split_at(hidden);
    let tanhs = &step.states[hidden..][..hidden];
    let (input_out, rest) = out.split_at_mut(hidden);
    let (forget_out, rest) = rest.split_at_mut(hidden);
    let (candidate_out, output_out) = rest.split_at_mut(hidden);
    let (output, output_out) = (&output[..hidden], &mut output_out[..hidden]);
    for j in 0..hidden {
        let (gradient, t, o) = (step.hidden_gradient[j], tanhs[j], output[j]);
        output_out[j] = gradient * t * o * (1.0 - o);
        carry[j] += gradient * o * (1.0 - t * t);
    }
    for j in 0..hidden {
        let (cell, i, g) = (carry[j], input[j], candidate[j]);
        input_out[j] = cell * g * i * (1.0 - i);
        candidate_out[j] = cell * i * (1.0 - g * g);
    }
    match step.previous {
        Some(previous) => {
            for j in 0..hidden {
                let f = forget[j];
                forget_out[j] = carry[j] * previous[j] * f * (1.0 - f);
            }
        }
        None => forget_out.fill(0.0),
    }
    for (carry, &f) in carry.iter_mut().zip(forget) {
        *carry *= f;
    }
}

/// Writes the transpose of a matrix with `width` columns, in square tiles that fit the caches.
pub(crate) fn transpose(out: &mut [f32], from: &[f32], width: usize) {
    const TILE: usize = 16;
    let rows = from.len() / width;
    for row_tile in (0..rows).step_by(TILE) {
        for column_tile in (0..width).step_by(TILE) {
            for column in column_tile..(column_tile + TILE).min(width) {
                for row in row_tile..(row_tile + TILE).min(rows) {
                    out[column * rows + row] = from[row * width + column];
                }
            }
        }
    }
}
