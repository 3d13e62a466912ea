//! An LSTM over the sentences' true lengths.
//!
//! Sentences are taken longest first, so those still running at a step are the first of those at
//! the step before, and each step is one matrix product over them. The inputs' projection and all
//! weight gradients are single products over all steps.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use crate::Starts;
use crate::access::{slice, with_data, with_parameters};
use crate::anchor;
use crate::buffer::Buffer;
use crate::kernels::gemm::{Right, Start, Write, matmul_nn};
use crate::kernels::lines::Lines;
use crate::kernels::lstm as kernel;
use crate::linear::{add_bias_gradient, add_weight_gradient, forward as linear_forward};
use crate::parameter::{Parameter, is_fused};
use crate::pass::{Pass, learns};
use crate::plain::{leaf, on_rows};
use crate::selection::select_once;

/// From which end a sentence is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the first token; the last row of a sentence has seen all of it.
    Forward,
    /// From the last token; the first row of a sentence has seen all of it.
    Backward,
}

/// Weights of one direction of one layer, of width `H` over inputs of width `I`.
///
/// The four gates follow each other as in PyTorch: input, forget, candidate, output.
#[derive(Debug, Clone)]
pub struct LstmParameters {
    /// `[4H, I]`.
    pub input_weight: Parameter,
    /// `[4H, H]`.
    pub recurrent_weight: Parameter,
    /// `[4H]`.
    pub input_bias: Parameter,
    /// `[4H]`; adds to the other, kept apart as in PyTorch's checkpoints.
    pub recurrent_bias: Parameter,
}

impl LstmParameters {
    /// All four, in PyTorch's order.
    pub fn all(&self) -> [&Parameter; 4] {
        [
            &self.input_weight,
            &self.recurrent_weight,
            &self.input_bias,
            &self.recurrent_bias,
        ]
    }

    fn hidden(&self) -> usize {
        self.input_bias.len() / 4
    }

    fn check(&self, x: &Tensor, starts: &Starts) -> Result<()> {
        let (rows, inputs) = x.dims2()?;
        let hidden = self.hidden();
        let wanted: [(&Parameter, &[usize]); 4] = [
            (&self.input_weight, &[4 * hidden, inputs]),
            (&self.recurrent_weight, &[4 * hidden, hidden]),
            (&self.input_bias, &[4 * hidden]),
            (&self.recurrent_bias, &[4 * hidden]),
        ];
        for (parameter, dims) in wanted {
            if parameter.shape().dims() != dims {
                bail!(
                    "lstm: {} is {:?}, wanted {dims:?}",
                    parameter.name(),
                    parameter.shape()
                );
            }
        }
        if rows != starts.tokens() {
            bail!("lstm: {rows} rows for {} tokens", starts.tokens());
        }
        Ok(())
    }
}

/// Long short-term memory (Hochreiter & Schmidhuber 1997; forget gates of Gers et al. 2000).
///
/// `i, f, o = σ(..)`, `g = tanh(..)` of `x·Wᵀ + b + h·Uᵀ + b'`; `c ← f·c + i·g`; `h = o·tanh(c)`,
/// from zero states in every sentence.
///
/// `x`: `[N, I]`. Returns the hidden states `[N, H]`, each in its token's row in either direction.
pub fn lstm(
    x: &Tensor,
    parameters: &LstmParameters,
    starts: &Starts,
    direction: Direction,
    pass: &Pass,
) -> Result<Tensor> {
    parameters.check(x, starts)?;
    let steps = Steps::new(starts, direction);
    if !is_fused(x) || parameters.all().iter().any(|p| !p.is_fused()) {
        return composition(x, parameters, &steps, pass);
    }
    let op = Lstm {
        parameters: parameters.clone(),
        steps,
        learning: pass.is_learning(),
        records: pass.is_learning() || x.track_op(),
        saved: Mutex::new(None),
    };
    let x = x.contiguous()?;
    if op.records && !x.track_op() {
        anchor::track(&x)?.apply_op1(op)
    } else {
        x.apply_op1(op)
    }
}

/// The order of the work: step by step, in each the sentences still running, longest first.
struct Steps {
    /// Packed row of every (step, sentence).
    rows: Vec<u32>,
    /// Where each step begins in `rows`, and the end.
    starts: Vec<usize>,
}

impl Steps {
    fn new(starts: &Starts, direction: Direction) -> Self {
        let lengths: Vec<usize> = starts.lengths().collect();
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&sentence| std::cmp::Reverse(lengths[sentence]));
        let mut rows = Vec::with_capacity(starts.tokens());
        let mut step_starts = vec![0];
        for t in 0..starts.longest() {
            let running = order.iter().take_while(|&&sentence| lengths[sentence] > t);
            rows.extend(running.map(|&sentence| {
                let place = match direction {
                    Direction::Forward => t,
                    Direction::Backward => lengths[sentence] - 1 - t,
                };
                starts.first_rows()[sentence] + place as u32
            }));
            step_starts.push(rows.len());
        }
        Self {
            rows,
            starts: step_starts,
        }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// First row and number of rows of a step.
    fn at(&self, step: usize) -> (usize, usize) {
        (self.starts[step], self.starts[step + 1] - self.starts[step])
    }

    /// Sentences of the first step: all that are not empty.
    fn sentences(&self) -> usize {
        if self.count() == 0 { 0 } else { self.at(0).1 }
    }

    /// Packed rows into the order of the steps.
    fn gather(&self, packed: &[f32], width: usize) -> Buffer {
        let mut stepped = Buffer::take(packed.len());
        for (out, &row) in stepped.chunks_exact_mut(width).zip(&self.rows) {
            out.copy_from_slice(&packed[row as usize * width..][..width]);
        }
        stepped
    }

    /// Back from the order of the steps.
    fn scatter(&self, packed: &mut [f32], stepped: &[f32], width: usize) {
        for (values, &row) in stepped.chunks_exact(width).zip(&self.rows) {
            packed[row as usize * width..][..width].copy_from_slice(values);
        }
    }
}

struct Lstm {
    parameters: LstmParameters,
    steps: Steps,
    learning: bool,
    records: bool,
    saved: Mutex<Option<Saved>>,
}

/// What the backward pass needs, in the order of the steps.
struct Saved {
    /// Activated, `[N, 4H]`.
    gates: Buffer,
    /// Cells and their tanh, `[N, 2H]`.
    states: Buffer,
}

impl Lstm {
    fn forward(&self, y: &mut [f32], x: &[f32]) -> Result<Saved> {
        let hidden = self.parameters.hidden();
        let (tokens, inputs) = (
            self.steps.rows.len(),
            self.parameters.input_weight.row_len(),
        );
        let mut gates = Buffer::take(tokens * 4 * hidden);
        let mut states = Buffer::take(tokens * 2 * hidden);
        let mut running = Buffer::take(self.steps.sentences() * hidden);
        let stepped = self.steps.gather(x, inputs);
        with_parameters(
            self.parameters.all(),
            |[input_weight, recurrent_weight, input_bias, recurrent_bias]| {
                let mut bias = Buffer::take(4 * hidden);
                for ((out, a), b) in bias.iter_mut().zip(input_bias).zip(recurrent_bias) {
                    *out = a + b;
                }
                linear_forward(
                    &mut gates,
                    &stepped,
                    input_weight,
                    Some(&bias),
                    (tokens, 4 * hidden, inputs),
                );
                // Transposed once, the product needs no repacking at every step.
                let mut transposed = Buffer::take(4 * hidden * hidden);
                kernel::transpose(&mut transposed, recurrent_weight, hidden);
                let recurrent = Right::new(
                    Lines::columns(&transposed, 4 * hidden),
                    (4 * hidden, hidden),
                );
                for step in 0..self.steps.count() {
                    let (start, count) = self.steps.at(step);
                    let gates = &mut gates[start * 4 * hidden..][..count * 4 * hidden];
                    if step > 0 {
                        let running = Lines::rows(&running[..count * hidden], hidden);
                        recurrent.multiply(gates, running, count, Start::Old);
                    }
                    let (before, states) = states.split_at_mut(start * 2 * hidden);
                    let states = &mut states[..count * 2 * hidden];
                    kernel::forward(gates, states, self.previous(before, step), hidden);
                    let outs = running.chunks_exact_mut(hidden);
                    let values = gates
                        .chunks_exact(4 * hidden)
                        .zip(states.chunks_exact(2 * hidden));
                    for ((out, (gates, states)), &row) in
                        outs.zip(values).zip(&self.steps.rows[start..])
                    {
                        kernel::hidden_state(out, gates, states);
                        y[row as usize * hidden..][..hidden].copy_from_slice(out);
                    }
                }
                Ok(())
            },
        )?;
        Ok(Saved { gates, states })
    }

    /// The states of the step before.
    fn previous<'a>(&self, states: &'a [f32], step: usize) -> Option<&'a [f32]> {
        let (start, count) = self.steps.at(step.checked_sub(1)?);
        let width = 2 * self.parameters.hidden();
        Some(&states[start * width..][..count * width])
    }

    fn backward(
        &self,
        x: &[f32],
        y: &[f32],
        y_gradient: &[f32],
        saved: &Saved,
    ) -> Result<Vec<f32>> {
        let hidden = self.parameters.hidden();
        let (tokens, inputs) = (
            self.steps.rows.len(),
            self.parameters.input_weight.row_len(),
        );
        let mut hidden_gradient = self.steps.gather(y_gradient, hidden);
        let mut gate_gradient = Buffer::take(tokens * 4 * hidden);
        let mut cell_gradient = Buffer::zeroed(self.steps.sentences() * hidden);
        let mut stepped_gradient = Buffer::take(tokens * inputs);
        with_parameters(
            [
                &self.parameters.input_weight,
                &self.parameters.recurrent_weight,
            ],
            |[input_weight, recurrent_weight]| {
                let recurrent = Right::new(
                    Lines::columns(recurrent_weight, hidden),
                    (hidden, 4 * hidden),
                );
                for step in (0..self.steps.count()).rev() {
                    let (start, count) = self.steps.at(step);
                    let gates = &mut gate_gradient[start * 4 * hidden..][..count * 4 * hidden];
                    let (before, gradient) = hidden_gradient.split_at_mut(start * hidden);
                    let forward = kernel::Step {
                        gates: &saved.gates[start * 4 * hidden..][..count * 4 * hidden],
                        states: &saved.states[start * 2 * hidden..][..count * 2 * hidden],
                        previous: self.previous(&saved.states, step),
                        hidden_gradient: &gradient[..count * hidden],
                    };
                    kernel::backward(gates, &mut cell_gradient[..count * hidden], forward, hidden);
                    if step > 0 {
                        let (start, _) = self.steps.at(step - 1);
                        let before = &mut before[start * hidden..][..count * hidden];
                        let gates = Lines::rows(gates, 4 * hidden);
                        recurrent.multiply(before, gates, count, Start::Old);
                    }
                }
                matmul_nn(
                    &mut stepped_gradient,
                    &gate_gradient,
                    input_weight,
                    (tokens, inputs, 4 * hidden),
                    Write::Replace,
                );
                Ok(())
            },
        )?;
        if learns(self.learning) {
            self.learn(&gate_gradient, x, y);
        }
        let mut x_gradient = vec![0.0; tokens * inputs];
        self.steps
            .scatter(&mut x_gradient, &stepped_gradient, inputs);
        Ok(x_gradient)
    }

    /// Adds the parameters' gradients, one product each.
    fn learn(&self, gate_gradient: &[f32], x: &[f32], y: &[f32]) {
        let p = &self.parameters;
        let (hidden, inputs) = (p.hidden(), p.input_weight.row_len());
        let tokens = self.steps.rows.len();
        let stepped = self.steps.gather(x, inputs);
        add_weight_gradient(
            &p.input_weight,
            gate_gradient,
            &stepped,
            (tokens, 4 * hidden, inputs),
        );
        add_bias_gradient(&p.input_bias, gate_gradient);
        add_bias_gradient(&p.recurrent_bias, gate_gradient);
        // The first step has no hidden states before it.
        let first = self.steps.sentences();
        let mut previous = Buffer::take((tokens - first) * hidden);
        let rows = (1..self.steps.count()).flat_map(|step| {
            let (start, _) = self.steps.at(step - 1);
            &self.steps.rows[start..][..self.steps.at(step).1]
        });
        for (out, &row) in previous.chunks_exact_mut(hidden).zip(rows) {
            out.copy_from_slice(&y[row as usize * hidden..][..hidden]);
        }
        add_weight_gradient(
            &p.recurrent_weight,
            &gate_gradient[first * 4 * hidden..],
            &previous,
            (tokens - first, 4 * hidden, hidden),
        );
    }
}

impl CustomOp1 for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let (tokens, hidden) = (self.steps.rows.len(), self.parameters.hidden());
        let mut y = vec![0.0; tokens * hidden];
        let saved = self.forward(&mut y, x)?;
        if self.records {
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        }
        Ok((CpuStorage::F32(y), (tokens, hidden).into()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(saved) = &*saved else {
            bail!("lstm: backward without a recorded forward pass")
        };
        let x_gradient = with_data(x, |x| {
            with_data(y, |y| {
                with_data(gradient, |gradient| self.backward(x, y, gradient, saved))
            })
        })?;
        Ok(Some(Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?))
    }
}

/// The same out of candle's operations.
fn composition(
    x: &Tensor,
    parameters: &LstmParameters,
    steps: &Steps,
    pass: &Pass,
) -> Result<Tensor> {
    let [input_weight, recurrent_weight] =
        [&parameters.input_weight, &parameters.recurrent_weight].map(|p| leaf(p, pass));
    let hidden = parameters.hidden();
    if steps.count() == 0 {
        return Tensor::zeros((0, hidden), x.dtype(), x.device());
    }
    let mut places = vec![0u32; steps.rows.len()];
    for (place, &row) in (0..).zip(&steps.rows) {
        places[row as usize] = place;
    }
    let projected = select_once(x, steps.rows.clone(), places.clone())?
        .matmul(&input_weight.t()?)?
        .add(&on_rows(&parameters.input_bias, steps.rows.len(), pass)?)?
        .add(&on_rows(
            &parameters.recurrent_bias,
            steps.rows.len(),
            pass,
        )?)?;
    let mut hidden_states: Vec<Tensor> = Vec::with_capacity(steps.count());
    let mut cells: Option<Tensor> = None;
    for step in 0..steps.count() {
        let (start, count) = steps.at(step);
        let mut gates = projected.narrow(0, start, count)?;
        if let Some(previous) = hidden_states.last() {
            gates = (gates
                + previous
                    .narrow(0, 0, count)?
                    .matmul(&recurrent_weight.t()?)?)?;
        }
        let gate = |index: usize| gates.narrow(1, index * hidden, hidden);
        let sigmoid = |x: Tensor| (x.neg()?.exp()? + 1.0)?.recip();
        let (input, forget, output) = (sigmoid(gate(0)?)?, sigmoid(gate(1)?)?, sigmoid(gate(3)?)?);
        let mut new = (input * gate(2)?.tanh()?)?;
        if let Some(cells) = &cells {
            new = (new + (forget * cells.narrow(0, 0, count)?)?)?;
        }
        hidden_states.push((output * new.tanh()?)?);
        cells = Some(new);
    }
    select_once(&Tensor::cat(&hidden_states, 0)?, places, steps.rows.clone())
}
