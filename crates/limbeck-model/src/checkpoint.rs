//! Weights by Hugging Face's names: reading, building models from them, writing them back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use limbeck_ops::Parameter;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::ModelError;

/// File name of unsharded weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// All tensors of a checkpoint by name, in single precision on the CPU.
#[derive(Debug, Clone)]
pub struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Reads `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let (single, index) = (folder.join(WEIGHTS_FILE), folder.join(INDEX_FILE));
        let mut tensors = BTreeMap::new();
        if single.exists() {
            read_file(&single, &mut tensors)?;
            return Ok(Self {
                path: single,
                tensors,
            });
        }
        if !index.exists() {
            return Err(ModelError::NoWeights {
                folder: folder.to_owned(),
            });
        }
        for shard in shards(&index)? {
            let path = folder.join(shard);
            if !path.exists() {
                return Err(ModelError::MissingShard { path });
            }
            read_file(&path, &mut tensors)?;
        }
        Ok(Self {
            path: index,
            tensors,
        })
    }

    /// Tensors already in memory; `origin` is for messages.
    pub fn from_tensors(origin: &Path, tensors: BTreeMap<String, Tensor>) -> Self {
        Self {
            path: origin.to_owned(),
            tensors,
        }
    }

    /// Where the weights came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensor with this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Whether any name begins with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }

    /// The same tensors under names given by `rename`; those it maps to `None` are left out.
    #[must_use]
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self
            .tensors
            .iter()
            .filter_map(|(name, t)| Some((rename(name)?, t.clone())))
            .collect();
        Self {
            path: self.path.clone(),
            tensors,
        }
    }
}

fn shards(index: &Path) -> Result<BTreeSet<String>, ModelError> {
    let text = fs_err::read_to_string(index).map_err(|source| ModelError::Read { source })?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| ModelError::ConfigSyntax {
            path: index.to_owned(),
            source,
        })?;
    let map = value.get("weight_map").and_then(|map| map.as_object());
    let files = map.map(|map| {
        map.values()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    });
    files.ok_or_else(|| ModelError::ConfigKey {
        path: index.to_owned(),
        key: "weight_map".into(),
        found: "nothing".into(),
        expected: "an object from tensor names to shard files".into(),
    })
}

fn read_file(path: &Path, tensors: &mut BTreeMap<String, Tensor>) -> Result<(), ModelError> {
    let bytes = fs_err::read(path).map_err(|source| ModelError::Read { source })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| ModelError::Corrupt {
        path: path.to_owned(),
        bytes: bytes.len(),
        source,
    })?;
    for (name, view) in file.iter() {
        // Integer tensors (position id buffers of old checkpoints) are not weights.
        if let Some(tensor) = to_tensor(&view)? {
            tensors.insert(name.to_owned(), tensor);
        }
    }
    Ok(())
}

fn to_tensor(view: &TensorView<'_>) -> Result<Option<Tensor>, ModelError> {
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F16 => data
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        Dtype::BF16 => data
            .chunks_exact(2)
            .map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        Dtype::F64 => {
            let wide = data
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
            wide.map(|value| value as f32).collect()
        }
        _ => return Ok(None),
    };
    Ok(Some(Tensor::from_vec(values, view.shape(), &Device::Cpu)?))
}

/// Writes tensors as one safetensors file, replacing the file at `path` only when complete.
pub fn write_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
) -> Result<(), ModelError> {
    let mut stored = Vec::new();
    for (name, tensor) in tensors {
        let (dtype, bytes) = to_bytes(tensor)?;
        stored.push((name, dtype, tensor.dims().to_vec(), bytes));
    }
    let views: Result<Vec<_>, _> = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((
                name.as_str(),
                TensorView::new(*dtype, shape.clone(), bytes)?,
            ))
        })
        .collect();
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = views
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        .map_err(|source| ModelError::Corrupt {
            path: path.to_owned(),
            bytes: 0,
            source,
        })?;
    limbeck_text::atomic_write(path, &bytes).map_err(|source| ModelError::Write { source })
}

fn to_bytes(tensor: &Tensor) -> Result<(Dtype, Vec<u8>), ModelError> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::U8 => (Dtype::U8, flat.to_vec1::<u8>()?),
        DType::F64 => (
            Dtype::F64,
            flat.to_vec1::<f64>()?
                .into_iter()
                .flat_map(f64::to_le_bytes)
                .collect(),
        ),
        _ => {
            let values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            (
                Dtype::F32,
                values.into_iter().flat_map(f32::to_le_bytes).collect(),
            )
        }
    })
}

/// How a parameter that a checkpoint lacks begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    /// Normally distributed with this standard deviation.
    Normal(f64),
    /// Evenly distributed between minus and plus this.
    Uniform(f64),
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
}

/// A parameter and the tensors of a checkpoint that it is made of, stacked along the first dimension.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The parameter.
    pub parameter: Parameter,
    /// One name, or several for a merged parameter.
    pub names: Vec<String>,
}

impl Slot {
    /// The parameter cut into the checkpoint's tensors.
    pub fn split(&self, tensor: &Tensor) -> Result<Vec<(String, Tensor)>, ModelError> {
        let rows = tensor.dim(0)? / self.names.len();
        let parts = self.names.iter().enumerate();
        parts
            .map(|(i, name)| {
                Ok((
                    name.clone(),
                    tensor.narrow(0, i * rows, rows)?.contiguous()?,
                ))
            })
            .collect()
    }
}

/// Makes parameters from a checkpoint, or fresh ones where it has none and that is allowed.
pub(crate) struct Builder<'a> {
    weights: Option<&'a Weights>,
    device: Device,
    /// Draws fresh parameters; without it a missing tensor is an error.
    pub(crate) fresh: Option<ChaCha8Rng>,
    pub(crate) slots: Vec<Slot>,
    /// Names of the parameters that were drawn.
    pub(crate) drawn: Vec<String>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(weights: Option<&'a Weights>, device: &Device) -> Self {
        Self {
            weights,
            device: device.clone(),
            fresh: None,
            slots: Vec::new(),
            drawn: Vec::new(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights
            .is_some_and(|weights| find(weights, name).is_some())
    }

    /// A parameter stored as one tensor.
    pub(crate) fn parameter(
        &mut self,
        name: &str,
        shape: &[usize],
        init: Init,
    ) -> Result<Parameter, ModelError> {
        self.stacked(&[name.to_owned()], shape, init)
    }

    /// A parameter that never learns.
    pub(crate) fn frozen(
        &mut self,
        name: &str,
        shape: &[usize],
        init: Init,
    ) -> Result<Parameter, ModelError> {
        let parameter = self.parameter(name, shape, init)?.frozen();
        let slot = self.slots.last_mut().expect("the parameter just made");
        slot.parameter = parameter.clone();
        Ok(parameter)
    }

    /// A parameter stored as several tensors of equal shape, stacked along the first dimension.
    pub(crate) fn stacked(
        &mut self,
        names: &[String],
        shape: &[usize],
        init: Init,
    ) -> Result<Parameter, ModelError> {
        let mut part_shape = shape.to_vec();
        part_shape[0] /= names.len();
        let mut parts = Vec::new();
        for name in names {
            parts.push(self.tensor(name, &part_shape, init)?);
        }
        let value = if parts.len() == 1 {
            parts.remove(0)
        } else {
            Tensor::cat(&parts, 0)?
        };
        let parameter = Parameter::new(&names.join("+"), &value.to_device(&self.device)?)?;
        self.slots.push(Slot {
            parameter: parameter.clone(),
            names: names.to_vec(),
        });
        Ok(parameter)
    }

    fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor, ModelError> {
        if let Some(weights) = self.weights {
            if let Some(tensor) = find(weights, name) {
                if tensor.dims() != shape {
                    return Err(ModelError::WrongShape {
                        path: weights.path.clone(),
                        name: name.to_owned(),
                        found: tensor.dims().to_vec(),
                        expected: shape.to_vec(),
                    });
                }
                return Ok(tensor.clone());
            }
            if self.fresh.is_none() {
                return Err(ModelError::MissingTensor {
                    path: weights.path.clone(),
                    name: name.to_owned(),
                    shape: shape.to_vec(),
                });
            }
        }
        self.drawn.push(name.to_owned());
        let count = shape.iter().product();
        let generator = self
            .fresh
            .as_mut()
            .expect("a model without weights is built with a generator");
        let values = match init {
            Init::Zeros => vec![0.0; count],
            Init::Ones => vec![1.0; count],
            Init::Uniform(bound) => (0..count)
                .map(|_| (generator.random::<f64>().mul_add(2.0, -1.0) * bound) as f32)
                .collect(),
            Init::Normal(deviation) => normal(generator, count, deviation),
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

/// The tensor of this name; old BERT checkpoints call a norm's weights `gamma` and `beta`.
fn find<'a>(weights: &'a Weights, name: &str) -> Option<&'a Tensor> {
    weights.get(name).or_else(|| {
        let old = name
            .strip_suffix("LayerNorm.weight")
            .map(|stem| format!("{stem}LayerNorm.gamma"));
        let old = old.or_else(|| {
            name.strip_suffix("LayerNorm.bias")
                .map(|stem| format!("{stem}LayerNorm.beta"))
        });
        weights.get(&old?)
    })
}

/// Normally distributed numbers by the Box-Muller transform.
fn normal(generator: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt() * deviation;
        let (sine, cosine) = (std::f64::consts::TAU * generator.random::<f64>()).sin_cos();
        values.extend([(radius * cosine) as f32, (radius * sine) as f32]);
    }
    values.truncate(count);
    values
}
