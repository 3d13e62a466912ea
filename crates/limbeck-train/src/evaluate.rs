//! Logits of a whole set, and what they score.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};
use limbeck_model::Needs;
use limbeck_model::{SentenceClassifier, Target, batches_by_tokens};
use limbeck_ops::loss::{SquaredReduction, cross_entropy, squared_error};
use limbeck_ops::{Pass, serially};
use limbeck_text::{Label, LabelMap, Metric};
use rayon::prelude::*;

use crate::TrainError;
use crate::data::EncodedSet;
use crate::ensemble::log_softmax;

/// Tokens per forward pass when nothing is learnt: large enough for the matrix products, small
/// enough for the caches.
pub const TOKEN_BUDGET: usize = 1024;

/// A model's logits for every example of a set, in the set's order.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Row-major, `[examples, outputs]`.
    pub logits: Vec<f32>,
    /// Outputs per example.
    pub outputs: usize,
}

impl Predictions {
    /// One example's logits.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.logits[index * self.outputs..][..self.outputs]
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.logits.len() / self.outputs.max(1)
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    /// The label of the highest logit (the first of equals), or the number in a regression.
    pub fn labels(&self, target: &Target) -> Vec<Label> {
        let rows = self.logits.chunks_exact(self.outputs.max(1));
        match target {
            Target::Regression => rows.map(|row| Label::Score(row[0])).collect(),
            Target::Labels(_) => rows.map(|row| Label::Class(highest(row))).collect(),
        }
    }

    /// Each row's softmax.
    pub fn probabilities(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.logits.len());
        for row in self.logits.chunks_exact(self.outputs.max(1)) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f64> = row.iter().map(|&l| f64::from(l - largest).exp()).collect();
            let total: f64 = powers.iter().sum();
            values.extend(powers.iter().map(|p| (p / total) as f32));
        }
        values
    }
}

/// The place of the highest value, the first of equals.
pub(crate) fn highest<T: PartialOrd>(row: &[T]) -> u32 {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best as u32
}

/// Logits of all examples; `progress` is told how many are done after each batch.
///
/// Batches are independent, so on the CPU each thread computes its own, which needs no waiting
/// between the steps of one.
pub fn predict(
    model: &SentenceClassifier,
    set: &EncodedSet,
    progress: impl FnMut(usize) + Send,
) -> Result<Predictions, TrainError> {
    let rows: Vec<usize> = (0..set.len()).collect();
    predict_rows(model, set, &rows, progress)
}

/// [`predict`] for the examples at `rows`, in their order.
pub(crate) fn predict_rows(
    model: &SentenceClassifier,
    set: &EncodedSet,
    rows: &[usize],
    progress: impl FnMut(usize) + Send,
) -> Result<Predictions, TrainError> {
    let outputs = model.target().outputs();
    let lengths: Vec<usize> = rows.iter().map(|&row| set.length(row)).collect();
    let batches = batches_by_tokens(&lengths, TOKEN_BUDGET);
    let results = Mutex::new((vec![0.0; rows.len() * outputs], 0, progress));
    let one = |indices: &Vec<usize>| -> Result<(), TrainError> {
        let chosen: Vec<usize> = indices.iter().map(|&index| rows[index]).collect();
        let output = model.forward(&set.batch(&chosen), Needs::NOTHING, &Pass::EVALUATE)?;
        let values = output
            .logits
            .to_device(&Device::Cpu)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        let (logits, done, progress) = &mut *results;
        for (&index, values) in indices.iter().zip(values.chunks_exact(outputs)) {
            logits[index * outputs..][..outputs].copy_from_slice(values);
        }
        *done += indices.len();
        progress(*done);
        Ok(())
    };
    if model.is_on_cpu() && batches.len() >= rayon::current_num_threads() {
        batches
            .par_iter()
            .try_for_each(|indices| serially(|| one(indices)))?;
    } else {
        batches.iter().try_for_each(one)?;
    }
    let (logits, ..) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Predictions { logits, outputs })
}

/// What a model scores on a labelled set.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Its logits.
    pub predictions: Predictions,
    /// What it predicted, in the set's labels.
    pub predicted: Vec<Label>,
    /// Mean cross-entropy, or mean squared error in a regression.
    pub loss: f64,
    /// By metric.
    pub metrics: BTreeMap<Metric, f64>,
}

/// Scores a model on a labelled set.
pub fn evaluate(
    model: &SentenceClassifier,
    set: &EncodedSet,
    metrics: &[Metric],
    progress: impl FnMut(usize) + Send,
) -> Result<Evaluation, TrainError> {
    let gold = gold(set)?;
    let predictions = predict(model, set, progress)?;
    score_predictions(predictions, model.target(), &gold, metrics, None)
}

/// The labels of a set, all of which has to have one.
fn gold(set: &EncodedSet) -> Result<Vec<Label>, TrainError> {
    let labels = set.labels();
    let rows = labels.iter().enumerate();
    rows.map(|(row, label)| {
        label.ok_or_else(|| TrainError::Unlabelled {
            id: set.id(row),
            objective: "evaluation",
        })
    })
    .collect()
}

/// Scores predictions of a model with `target`. With a label map the gold labels are the map's names: a prediction is
/// the likeliest of the model's labels, then mapped, and the loss that of the mapped label's summed probability.
pub fn score_predictions(
    predictions: Predictions,
    target: &Target,
    gold: &[Label],
    metrics: &[Metric],
    map: Option<&LabelMap>,
) -> Result<Evaluation, TrainError> {
    let mut predicted = predictions.labels(target);
    let loss = match map {
        None => mean_loss(&predictions, gold, target)?,
        Some(map) => {
            for label in &mut predicted {
                *label = label.class().map_or(*label, |c| Label::Class(map.class(c)));
            }
            mapped_loss(&predictions, gold, map)
        }
    };
    let scores = metrics
        .iter()
        .map(|&metric| Ok((metric, metric.score(&predicted, gold)?)));
    let metrics = scores.collect::<Result<_, TrainError>>()?;
    Ok(Evaluation {
        predictions,
        predicted,
        loss,
        metrics,
    })
}

/// Mean of `−log` of the summed probability of all labels that stand for the gold one.
fn mapped_loss(predictions: &Predictions, gold: &[Label], map: &LabelMap) -> f64 {
    let one = |(row, gold): (usize, &Label)| {
        let logs = log_softmax(predictions.row(row));
        let probabilities = (0..)
            .zip(logs)
            .map(|(class, log)| (map.class(class), log.exp()));
        let right = probabilities.filter(|(class, _)| Some(*class) == gold.class());
        -right.map(|(_, probability)| probability).sum::<f64>().ln()
    };
    gold.iter().enumerate().map(one).sum::<f64>() / gold.len().max(1) as f64
}

fn mean_loss(
    predictions: &Predictions,
    gold: &[Label],
    target: &Target,
) -> Result<f64, TrainError> {
    let logits = Tensor::from_slice(
        &predictions.logits,
        (gold.len(), predictions.outputs),
        &Device::Cpu,
    )?;
    let loss = match target {
        Target::Labels(_) => {
            let classes: Vec<u32> = gold.iter().filter_map(|label| label.class()).collect();
            cross_entropy(&logits, &classes)?
        }
        Target::Regression => {
            let scores: Vec<f32> = gold.iter().filter_map(|label| label.score()).collect();
            let scores = Tensor::from_vec(scores, logits.shape(), &Device::Cpu)?;
            squared_error(&logits, &scores, SquaredReduction::ElementMean)?
        }
    };
    Ok(f64::from(loss.to_scalar::<f32>()?))
}

/// Fails when a teacher is no better than one that answers the same to every sentence, neither by the task's metric nor by
/// accuracy.
///
/// The silent error behind many failed reproductions: a base model instead of a fine-tuned one, or labels in another order.
pub fn check_teacher(
    evaluation: &Evaluation,
    gold: &[Label],
    target: &Target,
    metric: Metric,
) -> Result<(), TrainError> {
    let predicted = evaluation.predictions.labels(target);
    let metrics = match target {
        Target::Labels(_) => vec![metric, Metric::Accuracy],
        Target::Regression => vec![metric],
    };
    let mut first_problem = None;
    for metric in metrics {
        let score = metric.score(&predicted, gold)?;
        let (always, baseline) = best_constant(gold, target, metric)?;
        if score > baseline {
            return Ok(());
        }
        first_problem.get_or_insert(TrainError::UntrainedTeacher {
            metric: metric.name(),
            score,
            baseline,
            always,
        });
    }
    first_problem.map_or(Ok(()), Err)
}

/// The best of all answers that are the same for every sentence, and its score.
fn best_constant(
    gold: &[Label],
    target: &Target,
    metric: Metric,
) -> Result<(String, f64), TrainError> {
    let answers: Vec<(String, Label)> = match target {
        Target::Labels(labels) => {
            let named = (0..).zip(labels);
            named
                .map(|(class, name)| (format!("`{name}`"), Label::Class(class)))
                .collect()
        }
        Target::Regression => vec![("one number".to_owned(), Label::Score(0.0))],
    };
    let mut best = (String::new(), f64::NEG_INFINITY);
    for (name, answer) in answers {
        let score = metric.score(&vec![answer; gold.len()], gold)?;
        if score > best.1 {
            best = (name, score);
        }
    }
    Ok(best)
}
