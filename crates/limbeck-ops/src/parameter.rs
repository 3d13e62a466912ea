//! Trainable tensors that own their gradients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Shape, Tensor, Var};

use crate::kernels::gemm::Write;

/// A trainable tensor and the gradient collected for it so far.
///
/// Backward passes of this crate's operations add into the gradient directly, so a large gradient
/// is never copied or summed through the graph, several batches accumulate for free, and an
/// embedding's gradient touches only the rows that occurred. Clones share value and gradient.
#[derive(Debug, Clone)]
pub struct Parameter {
    name: Arc<str>,
    var: Var,
    gradient: Arc<Mutex<Gradient>>,
    trainable: bool,
}

/// A gradient on its way to the optimiser.
#[derive(Debug, Default)]
pub struct Gradient {
    values: Vec<f32>,
    rows: Rows,
    /// Whether the buffer still holds numbers of an earlier step, to be overwritten.
    stale: bool,
    tensor: Option<Tensor>,
}

/// Which rows of a gradient buffer hold something other than zeros.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Rows {
    /// None: no backward pass has reached the parameter.
    #[default]
    None,
    /// These, in no order and without repeats.
    Some(Vec<u32>),
    /// All.
    All,
}

impl Parameter {
    /// Wraps a value under the name it has in a checkpoint.
    pub fn new(name: &str, value: &Tensor) -> Result<Self> {
        let var = Var::from_tensor(&value.contiguous()?)?;
        Ok(Self {
            name: name.into(),
            var,
            gradient: Arc::default(),
            trainable: true,
        })
    }

    /// The same parameter, never to be trained.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.trainable = false;
        self
    }

    /// Name in a checkpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether an optimiser may change it.
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// The value, as a leaf of the graph when trainable.
    pub fn tensor(&self) -> Tensor {
        if self.trainable {
            self.var.as_tensor().clone()
        } else {
            self.value()
        }
    }

    /// The value, cut off from the graph.
    pub fn value(&self) -> Tensor {
        self.var.as_detached_tensor()
    }

    /// Replaces the value in place.
    pub fn set(&self, value: &Tensor) -> Result<()> {
        self.var.set(
            &value
                .to_dtype(self.var.dtype())?
                .to_device(self.var.device())?,
        )
    }

    /// Shape of the value.
    pub fn shape(&self) -> &Shape {
        self.var.shape()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.var.elem_count()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of one row: the elements behind one index of the first dimension.
    pub fn row_len(&self) -> usize {
        let rows = self.var.dims().first().copied().unwrap_or(1);
        self.len() / rows.max(1)
    }

    /// Whether two handles share one value.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gradient, &other.gradient)
    }

    /// Whether the fused single-precision operations on the CPU apply.
    pub(crate) fn is_fused(&self) -> bool {
        is_fused(self.var.as_tensor())
    }

    /// Locked access to the gradient.
    pub fn gradient(&self) -> MutexGuard<'_, Gradient> {
        // A panic while adding leaves numbers, not broken invariants.
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gradient as a tensor of the value's shape; `None` when no backward pass reached it.
    pub fn gradient_tensor(&self) -> Result<Option<Tensor>> {
        let gradient = self.gradient();
        let buffer = match gradient.rows {
            Rows::None => None,
            _ => Some(Tensor::from_slice(
                &gradient.values,
                self.shape(),
                &Device::Cpu,
            )?),
        };
        let buffer = buffer
            .map(|b| b.to_device(self.var.device())?.to_dtype(self.var.dtype()))
            .transpose()?;
        match (&gradient.tensor, buffer) {
            (Some(tensor), Some(buffer)) => Ok(Some((tensor + buffer)?)),
            (Some(tensor), None) => Ok(Some(tensor.clone())),
            (None, buffer) => Ok(buffer),
        }
    }

    /// Forgets the gradient, keeping its memory.
    pub fn clear_gradient(&self) {
        let row_len = self.row_len();
        let mut gradient = self.gradient();
        gradient.tensor = None;
        match std::mem::take(&mut gradient.rows) {
            Rows::None => {}
            Rows::Some(rows) => {
                for row in rows {
                    gradient.values[row as usize * row_len..][..row_len].fill(0.0);
                }
            }
            Rows::All => gradient.stale = true,
        }
    }

    /// Adds a gradient held as a tensor.
    pub fn add_gradient(&self, gradient: &Tensor) -> Result<()> {
        if is_fused(gradient) && self.is_fused() {
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            self.gradient()
                .add_dense(self.len(), |total, write| match write {
                    Write::Replace => total.copy_from_slice(&values),
                    Write::Add => crate::kernels::reduce::add(total, &values),
                });
            return Ok(());
        }
        let mut held = self.gradient();
        held.tensor = Some(match held.tensor.take() {
            Some(tensor) => (tensor + gradient)?,
            None => gradient.detach(),
        });
        Ok(())
    }
}

impl Gradient {
    /// Which rows of the buffer are in use.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The dense buffer; meaningful where [`Gradient::rows`] says so.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The gradient collected outside the fused operations (on a GPU, or in double precision).
    pub fn tensor(&self) -> Option<&Tensor> {
        self.tensor.as_ref()
    }

    /// Lets `add` write the whole buffer, replacing its contents or adding to them as it is told.
    pub(crate) fn add_dense(&mut self, len: usize, add: impl FnOnce(&mut [f32], Write)) {
        self.reserve(len);
        let write = if self.stale || self.rows == Rows::None {
            Write::Replace
        } else {
            Write::Add
        };
        self.stale = false;
        self.rows = Rows::All;
        add(&mut self.values, write);
    }

    /// Marks `rows` as used, and lets `add` add into the buffer.
    pub(crate) fn add_rows(&mut self, len: usize, rows: &[u32], add: impl FnOnce(&mut [f32])) {
        self.reserve(len);
        if std::mem::take(&mut self.stale) {
            self.values.fill(0.0);
        }
        if self.rows != Rows::All {
            let mut used = match std::mem::take(&mut self.rows) {
                Rows::Some(used) => used,
                _ => Vec::new(),
            };
            used.extend_from_slice(rows);
            used.sort_unstable();
            used.dedup();
            self.rows = Rows::Some(used);
        }
        add(&mut self.values);
    }

    fn reserve(&mut self, len: usize) {
        if self.values.len() != len {
            self.values = vec![0.0; len];
        }
    }
}

pub(crate) fn is_fused(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// Runs the backward pass from a scalar loss; gradients of parameters end up in the parameters.
///
/// `parameters` are those that plain operations may have reached; returns the store, which still
/// holds the gradients of other leaves (inputs, a perturbation).
pub fn backward(loss: &Tensor, parameters: &[Parameter]) -> Result<GradStore> {
    let mut store = loss.backward()?;
    for parameter in parameters.iter().filter(|p| p.trainable) {
        if let Some(gradient) = store.remove(parameter.var.as_tensor()) {
            parameter.add_gradient(&gradient)?;
        }
    }
    Ok(store)
}

/// Runs the backward pass from a scalar for the sake of the inputs alone: no parameter's gradient
/// changes, and their products are not computed by the fused operations.
///
/// The graph stays as it is, so a pass for the parameters may follow or have gone before.
pub fn backward_to_inputs(loss: &Tensor) -> Result<GradStore> {
    crate::pass::inputs_only(|| loss.backward())
}
