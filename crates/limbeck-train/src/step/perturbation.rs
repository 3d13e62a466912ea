//! Perturbations of a packed batch's embeddings: draws, norms and projections.

use candle_core::{DType, Device, Tensor};
use limbeck_model::Batch;
use limbeck_ops::{Starts, mix64};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// What a norm is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// Each token by itself.
    Token,
    /// All tokens of a sentence together.
    Sentence,
}

/// How large a vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// The root of the sum of squares.
    L2,
    /// The largest magnitude.
    Max,
}

/// A vector for each token of a packed batch, or a gradient with respect to one; `[N, H]` in single precision.
///
/// No sentence's vectors depend on another's: what is drawn is keyed by example, place and column.
#[derive(Debug, Clone)]
pub struct Perturbation {
    values: Vec<f32>,
    width: usize,
    starts: Starts,
}

impl Perturbation {
    /// Zeros of `width` for every token.
    pub fn zeros(starts: &Starts, width: usize) -> Self {
        Self {
            values: vec![0.0; starts.tokens() * width],
            width,
            starts: starts.clone(),
        }
    }

    /// The values of `[N, H]`.
    pub fn from_tensor(values: &Tensor, starts: &Starts) -> Result<Self, TrainError> {
        Ok(Self {
            width: values.dim(1)?,
            values: values.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
            starts: starts.clone(),
        })
    }

    /// Even draws from `±magnitude / √(L · H)` for a sentence of `L` tokens of width `H`, so that all sentences
    /// begin with norms alike (`FreeLB`, Zhu et al. 2020, algorithm 1).
    pub fn uniform(batch: &Batch, width: usize, magnitude: f64, key: u64) -> Self {
        let mut drawn = Self::drawn(batch, width, key, |bits| 2.0 * unit(bits) - 1.0);
        let bounds: Vec<f64> = batch
            .starts
            .lengths()
            .map(|length| magnitude / ((length * width) as f64).sqrt())
            .collect();
        drawn.scale(Span::Sentence, |sentence, _| bounds[sentence]);
        drawn
    }

    /// Draws from a normal distribution with mean 0.
    pub fn normal(batch: &Batch, width: usize, deviation: f64, key: u64) -> Self {
        // Box & Muller 1958, with the cosine alone.
        Self::drawn(batch, width, key, |bits| {
            let (radius, turn) = (1.0 - unit(bits), unit(mix64(bits)));
            deviation * (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
        })
    }

    fn drawn(batch: &Batch, width: usize, key: u64, draw: impl Fn(u64) -> f64) -> Self {
        let rows = batch.token_keys().iter().map(|&token| mix64(key ^ token));
        let values = rows.flat_map(|row| {
            let draw = &draw;
            (0..width as u64).map(move |column| draw(mix64(row ^ column)) as f32)
        });
        Self {
            values: values.collect(),
            width,
            starts: batch.starts.clone(),
        }
    }

    /// As a tensor `[N, H]`.
    pub fn tensor(&self, device: &Device) -> Result<Tensor, TrainError> {
        let shape = (self.starts.tokens(), self.width);
        Ok(Tensor::from_slice(&self.values, shape, device)?)
    }

    /// The numbers, token after token.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The norm of every token or sentence.
    pub fn norms(&self, span: Span, norm: Norm) -> Vec<f64> {
        let lengths = self.lengths(span);
        let mut rest = &self.values[..];
        let norms = lengths.into_iter().map(|length| {
            let (vector, tail) = rest.split_at(length);
            rest = tail;
            size(vector, norm)
        });
        norms.collect()
    }

    /// Adds `step` times `direction`.
    pub fn advance(&mut self, direction: &Self, step: f64) {
        for (value, &direction) in self.values.iter_mut().zip(&direction.values) {
            *value = (f64::from(*value) + step * f64::from(direction)) as f32;
        }
    }

    /// Gives every token or sentence the norm 1; what is zero stays so.
    pub fn normalise(&mut self, span: Span, norm: Norm) {
        self.scale(span, |_, vector| match size(vector, norm) {
            0.0 => 1.0,
            size => 1.0 / size,
        });
    }

    /// Scales tokens or sentences with an l2 norm above `radius` back to it.
    pub fn project(&mut self, span: Span, radius: f64) {
        self.scale(span, |_, vector| {
            let size = size(vector, Norm::L2);
            if size > radius { radius / size } else { 1.0 }
        });
    }

    /// Multiplies each token or sentence with what `factor` says of its number and values.
    pub(super) fn scale(&mut self, span: Span, factor: impl Fn(usize, &[f32]) -> f64) {
        let lengths = self.lengths(span);
        let mut rest = &mut self.values[..];
        for (index, length) in lengths.into_iter().enumerate() {
            let (vector, tail) = rest.split_at_mut(length);
            rest = tail;
            let factor = factor(index, vector);
            for value in vector {
                *value = (f64::from(*value) * factor) as f32;
            }
        }
    }

    fn lengths(&self, span: Span) -> Vec<usize> {
        match span {
            Span::Token => vec![self.width; self.starts.tokens()],
            Span::Sentence => self.starts.lengths().map(|l| l * self.width).collect(),
        }
    }
}

fn size(vector: &[f32], norm: Norm) -> f64 {
    let values = vector.iter().map(|&value| f64::from(value));
    match norm {
        Norm::L2 => values.map(|v| v * v).sum::<f64>().sqrt(),
        Norm::Max => values.map(f64::abs).fold(0.0, f64::max),
    }
}

/// A number in `[0, 1)` from random bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use limbeck_model::Encoding;

    use super::*;

    fn batch(sentences: &[(u64, usize)]) -> Batch {
        let encodings: Vec<_> = sentences
            .iter()
            .map(|&(id, length)| {
                let encoding = Encoding {
                    ids: vec![1; length],
                    segments: vec![0; length],
                };
                (id, encoding)
            })
            .collect();
        Batch::new(encodings.iter().map(|(id, encoding)| (*id, encoding)))
    }

    #[test]
    fn draws_have_the_moments_asked_for() {
        let batch = batch(&[(1, 100), (2, 25)]);
        let moments = |values: &[f32]| {
            let mean = |power: i32| {
                values
                    .iter()
                    .map(|&v| f64::from(v).powi(power))
                    .sum::<f64>()
                    / values.len() as f64
            };
            (mean(1), mean(2), mean(4))
        };
        let normal = Perturbation::normal(&batch, 400, 2.0, 5);
        let (mean, square, fourth) = moments(normal.values());
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((square / 4.0 - 1.0).abs() < 0.02, "{square}");
        assert!((fourth / 48.0 - 1.0).abs() < 0.05, "{fourth}");
        let uniform = Perturbation::uniform(&batch, 400, 0.6, 5);
        // The bound of the first sentence is half of that of the second, four times shorter.
        let (first, second) = uniform.values().split_at(100 * 400);
        for (values, bound) in [(first, 0.6 / 200.0), (second, 0.6 / 100.0)] {
            let largest = values.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
            assert!(largest <= bound as f32 && largest > 0.99 * bound as f32);
            let (mean, square, _) = moments(values);
            assert!(mean.abs() < 0.02 * bound, "{mean}");
            assert!((square * 3.0 / bound.powi(2) - 1.0).abs() < 0.03);
        }
    }

    #[test]
    fn a_sentence_draws_the_same_in_any_company() {
        let (all, alone) = (batch(&[(7, 3), (9, 4), (2, 5)]), batch(&[(9, 4)]));
        for draw in [Perturbation::normal, Perturbation::uniform] {
            let (all, alone) = (draw(&all, 6, 1.0, 3), draw(&alone, 6, 1.0, 3));
            assert_eq!(&all.values()[3 * 6..7 * 6], alone.values());
            assert_ne!(alone.values(), draw(&batch(&[(9, 4)]), 6, 1.0, 4).values());
        }
    }

    #[test]
    fn norms_and_projections_keep_to_their_span() {
        let starts = Starts::from_lengths([2, 1]);
        let given = Tensor::new(&[[3f32, 4.0], [0.0, 0.0], [6.0, -8.0]], &Device::Cpu).unwrap();
        let given = Perturbation::from_tensor(&given, &starts).unwrap();
        assert_eq!(given.norms(Span::Token, Norm::L2), [5.0, 0.0, 10.0]);
        assert_eq!(given.norms(Span::Sentence, Norm::Max), [4.0, 8.0]);
        let mut projected = given.clone();
        projected.project(Span::Token, 5.0);
        assert_eq!(projected.values(), [3.0, 4.0, 0.0, 0.0, 3.0, -4.0]);
        let mut unit = given.clone();
        unit.normalise(Span::Sentence, Norm::Max);
        assert_eq!(unit.values(), [0.75, 1.0, 0.0, 0.0, 0.75, -1.0]);
        unit.advance(&given, -0.25);
        assert_eq!(unit.values(), [0.0, 0.0, 0.0, 0.0, -0.75, 1.0]);
    }
}
