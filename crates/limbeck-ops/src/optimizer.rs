//! Optimisers that update every parameter in one pass over its memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::kernels::reduce::sum_of_squares;
use crate::kernels::simd;
use crate::parameter::{Parameter, Rows};

/// Elements updated by one task.
const BLOCK: usize = 16 * 1024;

/// The Euclidean norm of all parameters' gradients together.
pub fn gradient_norm(parameters: &[Parameter]) -> Result<f64> {
    let mut total = 0.0;
    // Squared norms that are tensors: fetched together, since each fetch waits for a GPU.
    let mut squares = Vec::new();
    for parameter in parameters.iter().filter(|p| p.is_trainable()) {
        let gradient = parameter.gradient();
        if gradient.tensor().is_some() {
            drop(gradient);
            if let Some(gradient) = parameter.gradient_tensor()? {
                squares.push(gradient.sqr()?.sum_all()?.to_dtype(DType::F32)?);
            }
            continue;
        }
        let width = parameter.row_len();
        total += match gradient.rows() {
            Rows::None => 0.0,
            Rows::All => sum_of_squares(gradient.values()),
            Rows::Some(rows) => rows
                .iter()
                .map(|&row| sum_of_squares(&gradient.values()[row as usize * width..][..width]))
                .sum(),
        };
    }
    if !squares.is_empty() {
        let squares = Tensor::stack(&squares, 0)?.to_vec1::<f32>()?;
        total += squares.into_iter().map(f64::from).sum::<f64>();
    }
    Ok(total.sqrt())
}

/// The factor that brings a gradient of `norm` down to `max_norm`, as PyTorch's `clip_grad_norm_`.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

/// Which rule changes the parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).
    AdamW {
        /// Decay of the gradient's mean, in `[0, 1)`.
        beta1: f64,
        /// Decay of the squared gradient's mean, in `[0, 1)`.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Decay of matrices; vectors (biases and norms) do not decay.
        weight_decay: f64,
    },
    /// Adadelta (Zeiler 2012, algorithm 1).
    Adadelta {
        /// Decay of both running means, in `[0, 1)`.
        rho: f64,
        /// Added under both roots.
        epsilon: f64,
    },
}

impl Rule {
    /// AdamW with PyTorch's defaults and BERT's weight decay of 0.01.
    pub const ADAMW: Self = Self::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    /// Adadelta with a decay of 0.95.
    pub const ADADELTA: Self = Self::Adadelta {
        rho: 0.95,
        epsilon: 1e-6,
    };
}

/// An optimiser over a fixed list of parameters.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    parameters: Vec<Parameter>,
    states: Vec<State>,
    step: u64,
}

/// Two running means per element; rows without a gradient so far have none and are only decayed.
#[derive(Debug, Default)]
struct State {
    first: Vec<f32>,
    second: Vec<f32>,
    active: Active,
    tensors: Option<(Tensor, Tensor)>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Active {
    #[default]
    None,
    Rows(Vec<bool>),
    All,
}

impl Optimizer {
    /// For those of `parameters` that are trainable.
    pub fn new(rule: Rule, parameters: &[Parameter]) -> Self {
        let parameters: Vec<_> = parameters
            .iter()
            .filter(|p| p.is_trainable())
            .cloned()
            .collect();
        let states = parameters.iter().map(|_| State::default()).collect();
        Self {
            rule,
            parameters,
            states,
            step: 0,
        }
    }

    /// The parameters it changes.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Steps taken.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// One update with gradients scaled by `gradient_factor`; gradients are forgotten afterwards.
    ///
    /// A parameter that no backward pass has reached is left alone, as in PyTorch.
    pub fn step(&mut self, learning_rate: f64, gradient_factor: f64) -> Result<()> {
        self.step += 1;
        let coefficients = Coefficients::new(self.rule, self.step, learning_rate, gradient_factor);
        let mut of_tensors = Vec::new();
        for (parameter, state) in self.parameters.iter().zip(&mut self.states) {
            if parameter.gradient().tensor().is_some() || !parameter.is_fused() {
                of_tensors.push((parameter, state));
            } else if *parameter.gradient().rows() != Rows::None {
                state.step_buffer(parameter, &coefficients)?;
            }
        }
        step_tensors(of_tensors, &coefficients)?;
        for parameter in &self.parameters {
            parameter.clear_gradient();
        }
        Ok(())
    }

    /// The running means by parameter name, to be stored; `restore` takes them back.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut stored = BTreeMap::new();
        for (parameter, state) in self.parameters.iter().zip(&self.states) {
            let name = parameter.name();
            if let Some((first, second)) = &state.tensors {
                stored.insert(format!("{name}.first"), first.clone());
                stored.insert(format!("{name}.second"), second.clone());
            }
            if state.active != Active::None {
                stored.insert(
                    format!("{name}.first"),
                    Tensor::from_slice(&state.first, parameter.shape(), &Device::Cpu)?,
                );
                stored.insert(
                    format!("{name}.second"),
                    Tensor::from_slice(&state.second, parameter.shape(), &Device::Cpu)?,
                );
            }
            if let Active::Rows(rows) = &state.active {
                let rows: Vec<u8> = rows.iter().map(|&row| u8::from(row)).collect();
                stored.insert(
                    format!("{name}.rows"),
                    Tensor::from_vec(rows, state.rows(parameter), &Device::Cpu)?,
                );
            }
        }
        Ok(stored)
    }

    /// Continues from stored running means after `step` steps.
    pub fn restore(&mut self, stored: &BTreeMap<String, Tensor>, step: u64) -> Result<()> {
        self.step = step;
        for (parameter, state) in self.parameters.iter().zip(&mut self.states) {
            let name = parameter.name();
            let (Some(first), Some(second)) = (
                stored.get(&format!("{name}.first")),
                stored.get(&format!("{name}.second")),
            ) else {
                *state = State::default();
                continue;
            };
            if first.shape() != parameter.shape() || second.shape() != parameter.shape() {
                bail!(
                    "optimiser state of `{name}` has shape {:?}, the parameter {:?}",
                    first.dims(),
                    parameter.shape()
                );
            }
            if !parameter.is_fused() {
                let device = parameter.value().device().clone();
                state.tensors = Some((first.to_device(&device)?, second.to_device(&device)?));
                continue;
            }
            state.first = first.flatten_all()?.to_vec1()?;
            state.second = second.flatten_all()?.to_vec1()?;
            state.active = match stored.get(&format!("{name}.rows")) {
                Some(rows) => Active::Rows(
                    rows.to_vec1::<u8>()?
                        .into_iter()
                        .map(|row| row != 0)
                        .collect(),
                ),
                None => Active::All,
            };
        }
        Ok(())
    }
}

/// One step's numbers, worked out once.
#[derive(Clone, Copy)]
struct Coefficients {
    rule: Rule,
    learning_rate: f64,
    gradient_factor: f64,
    /// AdamW: `learning_rate / (1 − β₁ᵗ)` and `√(1 − β₂ᵗ)`.
    step_size: f64,
    second_root: f64,
}

impl Coefficients {
    fn new(rule: Rule, step: u64, learning_rate: f64, gradient_factor: f64) -> Self {
        let (step_size, second_root) = match rule {
            Rule::AdamW { beta1, beta2, .. } => {
                let correction = |beta: f64| 1.0 - beta.powi(step as i32);
                (learning_rate / correction(beta1), correction(beta2).sqrt())
            }
            Rule::Adadelta { .. } => (learning_rate, 1.0),
        };
        Self {
            rule,
            learning_rate,
            gradient_factor,
            step_size,
            second_root,
        }
    }

    /// `1 − learning rate · weight decay` for matrices, 1 for vectors.
    fn decay(&self, parameter: &Parameter) -> f64 {
        match self.rule {
            Rule::AdamW { weight_decay, .. } if parameter.shape().rank() > 1 => {
                1.0 - self.learning_rate * weight_decay
            }
            _ => 1.0,
        }
    }
}

impl State {
    fn rows(&self, parameter: &Parameter) -> usize {
        self.first.len() / parameter.row_len()
    }

    fn step_buffer(&mut self, parameter: &Parameter, coefficients: &Coefficients) -> Result<()> {
        let gradient = parameter.gradient();
        let width = parameter.row_len();
        self.activate(parameter, gradient.rows());
        let decay = coefficients.decay(parameter) as f32;
        let State {
            first,
            second,
            active,
            ..
        } = self;
        let block = (BLOCK / width).max(1) * width;
        parameter.update(|values| {
            if *active == Active::None {
                return;
            }
            let active = &*active;
            values
                .par_chunks_mut(block)
                .zip(gradient.values().par_chunks(block))
                .zip(first.par_chunks_mut(block))
                .zip(second.par_chunks_mut(block))
                .enumerate()
                .for_each(
                    |(index, (((values, gradient), first), second))| match active {
                        Active::None => {}
                        Active::All => {
                            update(values, gradient, (first, second), decay, coefficients);
                        }
                        Active::Rows(rows) => {
                            let rows = &rows[index * (block / width)..];
                            for (row, &is_active) in
                                rows.iter().take(values.len() / width).enumerate()
                            {
                                let span = row * width..(row + 1) * width;
                                if is_active {
                                    let moments =
                                        (&mut first[span.clone()], &mut second[span.clone()]);
                                    update(
                                        &mut values[span.clone()],
                                        &gradient[span],
                                        moments,
                                        decay,
                                        coefficients,
                                    );
                                } else if decay != 1.0 {
                                    for value in &mut values[span] {
                                        *value *= decay;
                                    }
                                }
                            }
                        }
                    },
                );
        })
    }

    /// Rows that have a gradient now have running means from here on.
    fn activate(&mut self, parameter: &Parameter, rows: &Rows) {
        if *rows != Rows::None && self.first.is_empty() {
            self.first = vec![0.0; parameter.len()];
            self.second = vec![0.0; parameter.len()];
        }
        match rows {
            Rows::None => {}
            Rows::All => self.active = Active::All,
            Rows::Some(rows) => {
                if self.active == Active::None {
                    self.active = Active::Rows(vec![false; parameter.len() / parameter.row_len()]);
                }
                if let Active::Rows(active) = &mut self.active {
                    for &row in rows {
                        active[row as usize] = true;
                    }
                }
            }
        }
    }
}

/// The same rules as compositions of tensor operations, for a GPU and for double precision.
///
/// Parameters with one decay are laid side by side: a GPU is soon done with each, but not with the calls.
fn step_tensors(members: Vec<(&Parameter, &mut State)>, c: &Coefficients) -> Result<()> {
    let (matrices, vectors): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|(p, _)| p.shape().rank() > 1);
    for members in [matrices, vectors] {
        let mut group = Vec::new();
        for (parameter, state) in members {
            if let Some(gradient) = parameter.gradient_tensor()? {
                let zeros = || gradient.zeros_like();
                let (first, second) = match state.tensors.take() {
                    Some(means) => means,
                    None => (zeros()?, zeros()?),
                };
                group.push((parameter, state, [gradient, first, second]));
            }
        }
        let Some((first, ..)) = group.first() else {
            continue;
        };
        let decay = c.decay(first);
        let values = group.iter().map(|(p, ..)| p.value().flatten_all());
        let values = Tensor::cat(&values.collect::<Result<Vec<_>>>()?, 0)?;
        let flat = |index: usize| {
            let tensors = group.iter().map(|(_, _, t)| t[index].flatten_all());
            Tensor::cat(&tensors.collect::<Result<Vec<_>>>()?, 0)
        };
        let (gradient, means) = (flat(0)?, (flat(1)?, flat(2)?));
        let (values, first, second) = changed(&values, &gradient, means, decay, c)?;
        let mut start = 0;
        for (parameter, state, _) in group {
            let part = |all: &Tensor| {
                let part = all.narrow(0, start, parameter.len())?;
                Ok::<_, candle_core::Error>(part.reshape(parameter.shape())?.detach())
            };
            state.tensors = Some((part(&first)?, part(&second)?));
            parameter.set(&part(&values)?)?;
            start += parameter.len();
        }
    }
    Ok(())
}

/// Values and running means after a step.
fn changed(
    values: &Tensor,
    gradient: &Tensor,
    (first, second): (Tensor, Tensor),
    decay: f64,
    c: &Coefficients,
) -> Result<(Tensor, Tensor, Tensor)> {
    let gradient = (gradient * c.gradient_factor)?;
    match c.rule {
        Rule::AdamW {
            beta1,
            beta2,
            epsilon,
            ..
        } => {
            let first = ((first * beta1)? + (&gradient * (1.0 - beta1))?)?;
            let second = ((second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let denominator = ((second.sqrt()? / c.second_root)? + epsilon)?;
            let values = ((values * decay)? - ((&first / denominator)? * c.step_size)?)?;
            Ok((values, first, second))
        }
        Rule::Adadelta { rho, epsilon } => {
            let first = ((first * rho)? + (gradient.sqr()? * (1.0 - rho))?)?;
            let ratio = ((&second + epsilon)?.sqrt()? / (&first + epsilon)?.sqrt()?)?;
            let delta = (ratio * gradient)?;
            let second = ((second * rho)? + (delta.sqr()? * (1.0 - rho))?)?;
            Ok(((values - (delta * c.learning_rate)?)?, first, second))
        }
    }
}

/// One rule over one block.
fn update(
    values: &mut [f32],
    gradient: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
    decay: f32,
    c: &Coefficients,
) {
    let factor = c.gradient_factor as f32;
    simd(
        #[inline(always)]
        || match c.rule {
            Rule::AdamW {
                beta1,
                beta2,
                epsilon,
                ..
            } => {
                let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
                let (beta1, beta2, epsilon) = (beta1 as f32, beta2 as f32, epsilon as f32);
                let (step_size, inverse_root) = (c.step_size as f32, (1.0 / c.second_root) as f32);
                for (((value, &gradient), first), second) in
                    values.iter_mut().zip(gradient).zip(first).zip(second)
                {
                    let gradient = gradient * factor;
                    let mean = first.mul_add(beta1, gradient * rest1);
                    let square = second.mul_add(beta2, gradient * gradient * rest2);
                    // Means that have faded below 1e-30 become zero: subnormals would slow every step.
                    *first = if mean.abs() < 1e-30 { 0.0 } else { mean };
                    *second = if square < 1e-30 { 0.0 } else { square };
                    let denominator = square.sqrt().mul_add(inverse_root, epsilon);
                    *value = (mean / denominator).mul_add(-step_size, *value * decay);
                }
            }
            Rule::Adadelta { rho, epsilon } => {
                let (rho, rest, epsilon) = (rho as f32, (1.0 - rho) as f32, epsilon as f32);
                let rate = c.learning_rate as f32;
                for (((value, &gradient), first), second) in
                    values.iter_mut().zip(gradient).zip(first).zip(second)
                {
                    let gradient = gradient * factor;
                    *first = first.mul_add(rho, gradient * gradient * rest);
                    let delta = (*second + epsilon).sqrt() / (*first + epsilon).sqrt() * gradient;
                    *second = second.mul_add(rho, delta * delta * rest);
                    *value -= rate * delta;
                }
            }
        },
    );
}

impl Parameter {
    /// Changes the value in place.
    fn update(&self, change: impl FnOnce(&mut [f32])) -> Result<()> {
        self.value().inplace_op1(&Update(Mutex::new(Some(change))))
    }
}

struct Update<F>(Mutex<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Update<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else {
            bail!("an in-place update needs f32 data")
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("an in-place update needs contiguous data")
        };
        if let Some(change) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            change(&mut values[start..end]);
        }
        Ok(())
    }
}
