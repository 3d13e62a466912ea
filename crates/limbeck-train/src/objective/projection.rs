//! Linear maps from the student's width to the teacher's, trained with the student.

use candle_core::Tensor;
use limbeck_model::generator;
use limbeck_ops::{Parameter, Pass, linear};
use rand::Rng;

use super::Pair;
use crate::TrainError;

/// `h · W`, from the student's width to the teacher's.
#[derive(Debug, Clone)]
pub(crate) struct Projection(Parameter);

impl Projection {
    /// Between equal widths it begins as the identity; else its entries are drawn so that variances are kept.
    pub(crate) fn new(
        name: &str,
        [from, to]: [usize; 2],
        pair: &Pair<'_>,
    ) -> Result<Self, TrainError> {
        let values: Vec<f32> = if from == to {
            let entry = |index: usize| f32::from(u8::from(index / from == index % from));
            (0..from * to).map(entry).collect()
        } else {
            // Evenly distributed up to a, variance a²/3 = 1/from.
            let limit = (3.0 / from as f32).sqrt();
            let mut generator = generator(pair.seed, name);
            let draw = |_| generator.random_range(-limit..limit);
            (0..from * to).map(draw).collect()
        };
        let value = Tensor::from_vec(values, (to, from), &pair.student.device())?;
        Ok(Self(Parameter::new(name, &value)?))
    }

    /// One where widths differ, none where they agree.
    pub(crate) fn where_needed(
        name: &str,
        widths: [usize; 2],
        pair: &Pair<'_>,
    ) -> Result<Option<Self>, TrainError> {
        let [from, to] = widths;
        (from != to)
            .then(|| Self::new(name, widths, pair))
            .transpose()
    }

    pub(crate) fn parameter(&self) -> Parameter {
        self.0.clone()
    }

    /// `states`: `[rows, from]`; returns `[rows, to]`.
    pub(crate) fn apply(&self, states: &Tensor, pass: &Pass) -> Result<Tensor, TrainError> {
        Ok(linear(states, &self.0, None, pass)?)
    }
}

/// A pair of layers, and the projection between them where their widths differ.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) student: usize,
    pub(crate) teacher: usize,
    pub(crate) projection: Option<Projection>,
}

impl Match {
    /// The pairs, each with a projection of its own where widths differ, named after objective and layer.
    pub(crate) fn all(
        objective: &str,
        pairs: &[[usize; 2]],
        widths: [usize; 2],
        pair: &Pair<'_>,
    ) -> Result<Vec<Self>, TrainError> {
        let pairs = pairs.iter().map(|&[student, teacher]| {
            let name = format!("{objective}.projection.{student}-{teacher}");
            Ok(Self {
                student,
                teacher,
                projection: Projection::where_needed(&name, widths, pair)?,
            })
        });
        pairs.collect()
    }

    pub(crate) fn parameters(matches: &[Self]) -> Vec<Parameter> {
        let projections = matches.iter().filter_map(|m| m.projection.as_ref());
        projections.map(Projection::parameter).collect()
    }

    /// The student's states as wide as the teacher's.
    pub(crate) fn student_states(
        &self,
        hidden: &[Tensor],
        pass: &Pass,
    ) -> Result<Tensor, TrainError> {
        let states = &hidden[self.student];
        match &self.projection {
            Some(projection) => projection.apply(states, pass),
            None => Ok(states.clone()),
        }
    }
}
