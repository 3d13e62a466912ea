//! Several teachers as one.

use candle_core::{Device, Tensor};
use limbeck_model::Needs;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::evaluate::Predictions;
use crate::teacher::{Signal, Teacher};

/// What several teachers' answers are averaged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// The mean of their logits (a geometric mean of distributions).
    Logits,
    /// The mean of their probabilities at temperature 1; its logarithm takes the place of logits. A regression has none: the
    /// mean of the numbers themselves.
    #[default]
    Probabilities,
}

impl Average {
    /// The members' logits for one example as those of one model.
    pub fn of(self, members: &[&[f32]]) -> Vec<f32> {
        let count = members.len() as f64;
        let outputs = members.first().map_or(0, |first| first.len());
        let average_as = if outputs == 1 { Self::Logits } else { self };
        let wide = members.iter().map(|logits| match average_as {
            Self::Logits => logits.iter().map(|&z| f64::from(z)).collect(),
            Self::Probabilities => log_softmax(logits),
        });
        let wide: Vec<Vec<f64>> = wide.collect();
        let column = |output: usize| wide.iter().map(move |member| member[output]);
        let average = |output| match average_as {
            Self::Logits => column(output).sum::<f64>() / count,
            Self::Probabilities => {
                let largest = column(output).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = column(output).map(|p| (p - largest).exp()).sum();
                largest + (sum / count).ln()
            }
        };
        (0..outputs).map(|output| average(output) as f32).collect()
    }

    /// [`Average::of`] for every example.
    pub fn of_predictions(self, members: &[Predictions]) -> Predictions {
        let rows = 0..members.first().map_or(0, Predictions::len);
        let logits = rows.flat_map(|row| {
            let members: Vec<&[f32]> = members.iter().map(|member| member.row(row)).collect();
            self.of(&members)
        });
        Predictions {
            logits: logits.collect(),
            outputs: members.first().map_or(0, |first| first.outputs),
        }
    }
}

/// `z − log Σ exp(z)`, in double precision.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let wide: Vec<f64> = logits.iter().map(|&z| f64::from(z)).collect();
    let largest = wide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = wide.iter().map(|z| (z - largest).exp()).sum();
    let shift = largest + total.ln();
    wide.iter().map(|z| z - shift).collect()
}

/// Several teachers that answer as one. Their hidden states have nothing in common, so only logits are given.
pub struct EnsembleTeacher {
    members: Vec<Box<dyn Teacher>>,
    average: Average,
}

impl EnsembleTeacher {
    /// The members predict the same labels in the same order, on the same training set.
    pub fn new(members: Vec<Box<dyn Teacher>>, average: Average) -> Self {
        Self { members, average }
    }
}

impl Teacher for EnsembleTeacher {
    fn provides(&self) -> Needs {
        Needs::NOTHING
    }

    fn signal(&self, rows: &[usize], _: Needs) -> Result<Signal, TrainError> {
        let answers = self.members.iter().map(|member| {
            let logits = member.signal(rows, Needs::NOTHING)?.logits;
            let outputs = logits.dim(1)?;
            let logits = logits.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
            Ok(Predictions { logits, outputs })
        });
        let answers: Vec<Predictions> = answers.collect::<Result<_, TrainError>>()?;
        let Predictions { logits, outputs } = self.average.of_predictions(&answers);
        Ok(Signal {
            logits: Tensor::from_vec(logits, (rows.len(), outputs), &Device::Cpu)?,
            hidden: Vec::new(),
            attention: Vec::new(),
        })
    }
}

/// How far a student is from its teacher: the mean over all examples of `KL(p_T ‖ p_S)` at temperature 1
/// (CILDA, Haidar et al. 2022, figure 2), in nats.
///
/// # Panics
///
/// If the two have not answered for the same number of examples and labels.
pub fn divergence(teacher: &Predictions, student: &Predictions) -> f64 {
    let shape = |predictions: &Predictions| (predictions.len(), predictions.outputs);
    assert_eq!(
        shape(teacher),
        shape(student),
        "answers to the same examples"
    );
    let one = |row: usize| -> f64 {
        let (p, q) = (log_softmax(teacher.row(row)), log_softmax(student.row(row)));
        // A probability of exactly zero adds nothing, however far the other is.
        let terms = p.iter().zip(&q).filter(|(p, _)| p.exp() > 0.0);
        terms.map(|(p, q)| p.exp() * (p - q)).sum()
    };
    (0..teacher.len()).map(one).sum::<f64>() / teacher.len().max(1) as f64
}
