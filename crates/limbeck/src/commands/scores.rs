//! A model's scores on a set, in the form of the report.

use std::collections::BTreeMap;

use limbeck_model::{SentenceClassifier, Target};
use limbeck_report::{Interval, Score, SplitMetrics};
use limbeck_text::{
    BootstrapConfig, ConfusionMatrix, Label, LabelMap, Metric, bootstrap_interval, wilson_interval,
};
use limbeck_train::{EncodedSet, Evaluation, Predictions, predict, score_predictions};

use crate::progress::example_bar;

/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_985;

/// Scores a model with a bar, and puts the numbers into the report's form.
pub(crate) fn score(
    name: &str,
    model: &SentenceClassifier,
    set: &EncodedSet,
    metrics: &[Metric],
    quiet: bool,
) -> anyhow::Result<(Evaluation, SplitMetrics)> {
    score_mapped(name, model, set, metrics, None, quiet)
}

/// [`score`] on a set whose labels are others than the model's.
pub(crate) fn score_mapped(
    name: &str,
    model: &SentenceClassifier,
    set: &EncodedSet,
    metrics: &[Metric],
    map: Option<&LabelMap>,
    quiet: bool,
) -> anyhow::Result<(Evaluation, SplitMetrics)> {
    let bar = example_bar(name, set.len(), quiet);
    let predictions = predict(model, set, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    summarise(name, model.target(), set, metrics, map, predictions)
}

/// Scores of predictions that are there.
pub(crate) fn summarise(
    name: &str,
    target: &Target,
    set: &EncodedSet,
    metrics: &[Metric],
    map: Option<&LabelMap>,
    predictions: Predictions,
) -> anyhow::Result<(Evaluation, SplitMetrics)> {
    let gold: Vec<Label> = set.labels().iter().copied().flatten().collect();
    let evaluation = score_predictions(predictions, target, &gold, metrics, map)?;
    let predicted = &evaluation.predicted;
    let mut scores = BTreeMap::new();
    for &metric in metrics {
        let value = evaluation.metrics[&metric];
        let interval = match metric {
            Metric::Accuracy => {
                let hits = predicted.iter().zip(&gold).filter(|(p, g)| p == g).count() as u64;
                wilson_interval(hits, gold.len() as u64, Z_95)
            }
            _ => bootstrap_interval(metric, predicted, &gold, &BootstrapConfig::default())?,
        };
        let interval = Some(Interval {
            low: interval.low,
            high: interval.high,
        });
        scores.insert(metric.name().to_owned(), Score { value, interval });
    }
    let confusion = match target {
        Target::Labels(labels) => {
            let classes = |labels: &[Label]| {
                labels
                    .iter()
                    .filter_map(|l| l.class())
                    .collect::<Vec<u32>>()
            };
            let count = map.map_or(labels.len(), |map| map.names().len());
            Some(ConfusionMatrix::new(&classes(predicted), &classes(&gold), count).counts)
        }
        Target::Regression => None,
    };
    let split = SplitMetrics {
        split: name.to_owned(),
        examples: gold.len() as u64,
        metrics: scores,
        loss: Some(evaluation.loss),
        confusion,
        labels: map.map_or_else(Vec::new, |map| map.names().to_vec()),
        divergence: None,
    };
    Ok((evaluation, split))
}
