//! Losses on hidden states: packed `[N, H]`, or first tokens `[B, H]`. No gradient flows to a teacher.

use candle_core::{D, Result, Tensor, bail};

use super::squares::{mean_squared_distance, squared_distance};
use crate::Starts;

/// Keeps a vector of zeros from being divided by zero, as PyTorch's `normalize` does.
const SMALLEST_NORM: f64 = 1e-12;
/// Under the root, as PyTorch's `cosine_embedding_loss` and BERT's norms have it.
const EPSILON: f64 = 1e-12;

/// How patient distillation becomes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatientReduction {
    /// Mean over batch, layers and width, as released: its weights of 10 to 1000 belong to this.
    ElementMean,
    /// Sum over layers and width, mean over the batch, as printed.
    BatchMean,
}

/// Each row divided by its length.
pub fn normalised(rows: &Tensor) -> Result<Tensor> {
    let norms = rows.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    rows.broadcast_div(&norms.maximum(SMALLEST_NORM)?)
}

/// Each row with mean 0 and variance 1: a layer norm without scale and shift.
pub fn standardised(rows: &Tensor) -> Result<Tensor> {
    let centred = rows.broadcast_sub(&rows.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)
}

/// Squared differences of first tokens' hidden states, layer by layer (Patient-KD, Sun et al. 2019, eq. 7).
///
/// `layers`: pairs of student's and teacher's states, `[B, H]` each, already normalised where they are to be.
pub fn patient(layers: &[(Tensor, Tensor)], reduction: PatientReduction) -> Result<Tensor> {
    let count = |student: &Tensor| match reduction {
        PatientReduction::ElementMean => (student.elem_count() * layers.len()) as f64,
        PatientReduction::BatchMean => student.dims()[0] as f64,
    };
    let distances = layers
        .iter()
        .map(|(student, teacher)| squared_distance(student, teacher, count(student)));
    sum(distances)
}

/// Squared differences of feature maps standardised token by token, mean over tokens and width
/// (`MobileBERT`, Sun et al. 2020, eq. 1).
pub fn feature_distance(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    mean_squared_distance(&standardised(student)?, &standardised(&teacher.detach())?)
}

/// `1 − cos(student, teacher)`, mean over rows (DistilBERT, Sanh et al. 2019, §2; `TextBrewer`'s `cos`).
pub fn cosine_distance(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let teacher = teacher.detach();
    let squared_norm = |rows: &Tensor| rows.sqr()?.sum(D::Minus1)? + EPSILON;
    let product = (student * &teacher)?.sum(D::Minus1)?;
    let cosine = (product / (squared_norm(student)? * squared_norm(&teacher)?)?.sqrt()?)?;
    1.0 - cosine.mean_all()?
}

/// Two layers' states of all tokens, `[N, H]` each.
pub type TwoLayers<'a> = (&'a Tensor, &'a Tensor);

/// Differences of token-by-token products, the squared maximum mean discrepancy with a linear kernel
/// (`TextBrewer`'s `mmd`, after Huang & Wang 2017, "Like what you like").
///
/// `Σ over sentences and i, j of (s_i · s'_j / H_S − t_i · t'_j / H_T)²`, divided by `Σ T²`. With one layer given twice it
/// is their neuron selectivity transfer (NST). Widths need not agree.
pub fn token_gram_distance(
    student: TwoLayers<'_>,
    teacher: TwoLayers<'_>,
    starts: &Starts,
) -> Result<Tensor> {
    let pairs: usize = starts.lengths().map(|t| t * t).sum();
    let gram = |(one, other): TwoLayers<'_>| -> Result<Tensor> {
        one.matmul(&other.t()?)? / one.dim(1)? as f64
    };
    by_sentence(student, teacher, starts, |student, teacher, _| {
        squared_distance(&gram(student)?, &gram(teacher)?, pairs as f64)
    })
}

/// Differences of the flow between two layers (FSP, Yim et al. 2017, eq. 1 and 2, over tokens; `TextBrewer`'s `fsp`).
///
/// A sentence's flow is `F₁ᵀ F₂ / T`, `[H, H]`; mean over sentences and `H²` of squared differences.
pub fn flow_distance(
    student: TwoLayers<'_>,
    teacher: TwoLayers<'_>,
    starts: &Starts,
) -> Result<Tensor> {
    let sentences = starts.sentences() as f64;
    let flow = |(one, other): TwoLayers<'_>, tokens: usize| -> Result<Tensor> {
        one.t()?.matmul(other)? / tokens as f64
    };
    by_sentence(student, teacher, starts, |student, teacher, tokens| {
        let student = flow(student, tokens)?;
        let count = sentences * student.elem_count() as f64;
        squared_distance(&student, &flow(teacher, tokens)?, count)
    })
}

/// Sum over sentences of a distance between their parts of two student's and two teacher's layers.
fn by_sentence(
    student: TwoLayers<'_>,
    teacher: TwoLayers<'_>,
    starts: &Starts,
    distance: impl Fn(TwoLayers<'_>, TwoLayers<'_>, usize) -> Result<Tensor>,
) -> Result<Tensor> {
    let teacher = (teacher.0.detach(), teacher.1.detach());
    let sentences = starts.first_rows().iter().zip(starts.lengths());
    sum(sentences.map(|(&start, tokens)| {
        let part = |states: &Tensor| states.narrow(0, start as usize, tokens);
        let student = (part(student.0)?, part(student.1)?);
        let teacher = (part(&teacher.0)?, part(&teacher.1)?);
        distance((&student.0, &student.1), (&teacher.0, &teacher.1), tokens)
    }))
}

/// The sum of losses.
pub fn sum(losses: impl IntoIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let mut losses = losses.into_iter();
    let Some(first) = losses.next() else {
        bail!("a sum of no losses")
    };
    losses.try_fold(first?, |total, loss| total + loss?)
}
