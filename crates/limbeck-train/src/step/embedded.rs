//! A batch at the place where perturbations are added.

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use limbeck_model::{Needs, Output};
use limbeck_ops::{Parameter, Pass, backward};

use super::Lesson;
use super::perturbation::Perturbation;
use crate::TrainError;

/// A lesson's embeddings, looked up once and shared by all its passes: each pass starts from a leaf of its own, and
/// their gradients go through the tables together at the end.
pub struct Embedded<'a> {
    lesson: &'a Lesson<'a>,
    embeddings: Tensor,
    gradient: Option<Tensor>,
}

impl<'a> Embedded<'a> {
    /// Looks up the lesson's sentences.
    pub fn new(lesson: &'a Lesson<'a>) -> Result<Self, TrainError> {
        let embeddings = lesson.student.embed(&lesson.batch, &lesson.pass())?;
        Ok(Self {
            lesson,
            embeddings,
            gradient: None,
        })
    }

    /// Width of a token's embedding.
    pub fn width(&self) -> Result<usize, TrainError> {
        Ok(self.embeddings.dim(1)?)
    }

    /// The embeddings, perturbed or not, as a leaf of a graph of its own.
    pub fn leaf(&self, perturbation: Option<&Perturbation>) -> Result<Tensor, TrainError> {
        let embeddings = self.embeddings.detach();
        let sum = match perturbation {
            Some(perturbation) => {
                let delta = perturbation.tensor(embeddings.device())?;
                (embeddings.to_dtype(DType::F32)? + delta)?.to_dtype(self.embeddings.dtype())?
            }
            None => embeddings,
        };
        Ok(Var::from_tensor(&sum)?.into_inner())
    }

    /// The student's outputs from a leaf on.
    pub fn forward(&self, leaf: &Tensor, needs: Needs, pass: &Pass) -> Result<Output, TrainError> {
        let lesson = self.lesson;
        Ok(lesson
            .student
            .forward_embedded(&lesson.batch, leaf, needs, pass)?)
    }

    /// A leaf's gradient in the results of a backward pass.
    pub fn gradient(&self, leaf: &Tensor, store: &GradStore) -> Result<Perturbation, TrainError> {
        let gradient = store.get(leaf);
        let starts = &self.lesson.batch.starts;
        match gradient {
            Some(gradient) => Perturbation::from_tensor(gradient, starts),
            None => Ok(Perturbation::zeros(starts, self.width()?)),
        }
    }

    /// Keeps a leaf's gradient for the tables.
    pub fn collect(&mut self, leaf: &Tensor, store: &mut GradStore) -> Result<(), TrainError> {
        if let Some(gradient) = store.remove(leaf) {
            self.gradient = Some(match self.gradient.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            });
        }
        Ok(())
    }

    /// Adds what was collected to the gradients of the tables, which are among `parameters`.
    pub fn finish(self, parameters: &[Parameter]) -> Result<(), TrainError> {
        if let Some(gradient) = self.gradient {
            backward(&(self.embeddings * gradient)?.sum_all()?, parameters)?;
        }
        Ok(())
    }
}
