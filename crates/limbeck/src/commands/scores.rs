//! A model's scores on a set, in the form of the report.

use std::collections::BTreeMap;

use limbeck_model::{SentenceClassifier, Target};
use limbeck_report::{Interval, Score, SplitMetrics};
use limbeck_text::{
    BootstrapConfig, ConfusionMatrix, Label, Metric, bootstrap_interval, wilson_interval,
};
use limbeck_train::{EncodedSet, Evaluation, evaluate};

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
    let bar = example_bar(name, set.len(), quiet);
    let evaluation = evaluate(model, set, metrics, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let split = summarise(name, model.target(), set, metrics, &evaluation)?;
    Ok((evaluation, split))
}

fn summarise(
    name: &str,
    target: &Target,
    set: &EncodedSet,
    metrics: &[Metric],
    evaluation: &Evaluation,
) -> anyhow::Result<SplitMetrics> {
    let gold: Vec<Label> = set.labels().iter().copied().flatten().collect();
    let predicted = evaluation.predictions.labels(target);
    let mut scores = BTreeMap::new();
    for &metric in metrics {
        let value = evaluation.metrics[&metric];
        let interval = match metric {
            Metric::Accuracy => {
                let hits = predicted.iter().zip(&gold).filter(|(p, g)| p == g).count() as u64;
                wilson_interval(hits, gold.len() as u64, Z_95)
            }
            _ => bootstrap_interval(metric, &predicted, &gold, &BootstrapConfig::default())?,
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
            Some(ConfusionMatrix::new(&classes(&predicted), &classes(&gold), labels.len()).counts)
        }
        Target::Regression => None,
    };
    Ok(SplitMetrics {
        split: name.to_owned(),
        examples: gold.len() as u64,
        metrics: scores,
        loss: Some(evaluation.loss),
        confusion,
    })
}
