//! CILDA's contrastive loss between all layers of teacher and student.

use candle_core::{D, Device, Tensor};
use limbeck_model::{HiddenStates, Needs, Output, SentenceClassifier, generator};
use limbeck_ops::{Parameter, Pass, linear, loss::cross_entropy};
use rand::Rng;

use crate::TrainError;

/// Which sentence of the batch a teacher's state belongs to, judged by all its layers (Haidar et al. 2022, equation 2).
#[derive(Debug, Clone)]
pub struct Contrast {
    teacher: Projection,
    student: Projection,
    temperature: f64,
}

/// A contrastive loss and what it was made of.
#[derive(Debug, Clone)]
pub struct Contrasted {
    /// The mean over the batch, a scalar of the graph.
    pub loss: Tensor,
    /// Each teacher's state's own loss, `[B]`.
    pub anchors: Vec<f64>,
}

impl Contrasted {
    /// The smallest and the largest of the anchors' losses by name, for the log: cosines keep them in a narrow range.
    pub(super) fn range(&self) -> [(&'static str, f64); 2] {
        let anchors = || self.anchors.iter().copied();
        [
            (
                "contrastive-lowest",
                anchors().fold(f64::INFINITY, f64::min),
            ),
            (
                "contrastive-highest",
                anchors().fold(f64::NEG_INFINITY, f64::max),
            ),
        ]
    }
}

impl Contrast {
    /// What it needs of both models.
    pub const NEEDS: Needs = Needs {
        hidden: HiddenStates::First,
        attention: false,
    };

    /// Projections to `size` numbers drawn from `seed`; fails where a model has no layers.
    pub fn new(
        teacher: &SentenceClassifier,
        student: &SentenceClassifier,
        size: usize,
        temperature: f64,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let projection = |name, model: &SentenceClassifier| {
            let Some(encoder) = model.encoder() else {
                return Err(TrainError::Setting {
                    setting: "step.cilda",
                    found: format!("as {name}: {}, which has no layers to compare", model.kind_name()),
                    expected: "student and teacher of the transformer family; `mate-kd` compares outputs alone".into(),
                });
            };
            let width = encoder.config().hidden_size * model.layer_count();
            Projection::new(name, width, size, seed, &model.device())
        };
        Ok(Self {
            teacher: projection("teacher", teacher)?,
            student: projection("student", student)?,
            temperature,
        })
    }

    /// The two projections' weights and biases.
    pub fn parameters(&self) -> Vec<Parameter> {
        let both = [&self.teacher, &self.student];
        both.into_iter()
            .flat_map(|p| [p.weight.clone(), p.bias.clone()])
            .collect()
    }

    /// The loss for one batch of at least two sentences; see [`contrastive_loss`].
    pub fn loss(
        &self,
        teacher: &Output,
        student: &Output,
        pass: &Pass,
    ) -> Result<Contrasted, TrainError> {
        let teacher = self.teacher.apply(&all_layers(&teacher.hidden)?, pass)?;
        let student = self.student.apply(&all_layers(&student.hidden)?, pass)?;
        contrastive_loss(&cosines(&teacher, &student)?, self.temperature)
    }
}

/// First tokens' states of all layers side by side, `[B, layers · H]`; the embedding output, which comes first, is left out.
pub fn all_layers(hidden: &[Tensor]) -> Result<Tensor, TrainError> {
    Ok(Tensor::cat(hidden.get(1..).unwrap_or_default(), 1)?)
}

/// Cosines between all rows of two matrices `[B, u]`: `[B, B]`, a row for each of the first's.
pub fn cosines(first: &Tensor, second: &Tensor) -> Result<Tensor, TrainError> {
    Ok(unit_rows(first)?.matmul(&unit_rows(second)?.t()?)?)
}

/// `mean_k −log [exp(c_kk / τ) / Σ_j exp(c_kj / τ)]`, the sum over the whole batch, `j = k` too.
///
/// `cosines`: `[B, B]`, teacher's states in rows, student's in columns. Since cosines lie in `[−1, 1]`, each term lies between
/// `log(1 + (B − 1) e^(−2/τ))` and `log(1 + (B − 1) e^(2/τ))`.
pub fn contrastive_loss(cosines: &Tensor, temperature: f64) -> Result<Contrasted, TrainError> {
    let scores = (cosines / temperature)?;
    let own: Vec<u32> = (0..scores.dim(0)? as u32).collect();
    let loss = cross_entropy(&scores, &own)?;
    let scores = scores.to_device(&Device::Cpu)?;
    let rows = scores.to_dtype(candle_core::DType::F64)?.to_vec2::<f64>()?;
    let anchor = |(own, row): (usize, &Vec<f64>)| {
        row.iter().map(|score| score.exp()).sum::<f64>().ln() - row[own]
    };
    Ok(Contrasted {
        loss,
        anchors: rows.iter().enumerate().map(anchor).collect(),
    })
}

/// Rows divided by their norms, as `torch.nn.functional.normalize`.
fn unit_rows(x: &Tensor) -> Result<Tensor, TrainError> {
    let norms = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    Ok(x.broadcast_div(&norms.maximum(1e-12)?)?)
}

/// A linear layer of its own.
#[derive(Debug, Clone)]
struct Projection {
    weight: Parameter,
    bias: Parameter,
}

impl Projection {
    /// Drawn as PyTorch draws a linear layer: uniform within `1 / √inputs`.
    fn new(
        name: &str,
        inputs: usize,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let mut random = generator(seed, &format!("cilda {name} projection"));
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut parameter = |kind: &str, shape: &[usize]| {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|_| random.random_range(-bound..bound))
                .collect();
            let value = Tensor::from_vec(values, shape, device)?;
            Parameter::new(&format!("cilda.{name}-projection.{kind}"), &value)
        };
        Ok(Self {
            weight: parameter("weight", &[outputs, inputs])?,
            bias: parameter("bias", &[outputs])?,
        })
    }

    fn apply(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, TrainError> {
        Ok(linear(x, &self.weight, Some(&self.bias), pass)?)
    }
}
