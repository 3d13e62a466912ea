//! What a run came to: scores of the best model on every set, its size and its speed.

use std::time::{Duration, Instant};

use limbeck_model::{SentenceClassifier, Target};
use limbeck_report::{
    Headline, Metrics, ModelSummary, Prediction, Role, RunDir, SplitMetrics, Summary as SeedSummary,
};
use limbeck_text::{Example, Label, write_submission};
use limbeck_train::{EncodedSet, Evaluation, Predictions, Summary, divergence, predict};

use super::{Job, Models};
use crate::commands::inputs::{NamedSet, Sets};
use crate::commands::run::{folder_bytes, training_summary};
use crate::commands::scores::{score, score_mapped};
use crate::environment::peak_memory_bytes;

/// A training that is over, and what its model is compared with.
pub(super) struct Trained<'a> {
    pub(super) summary: &'a Summary,
    pub(super) teacher_on_dev: Option<&'a Evaluation>,
    /// When this process began it.
    pub(super) started: Instant,
}

/// How long the dev set is predicted again and again to measure speed; a pass that has begun is finished.
const SPEED_TIME: Duration = Duration::from_secs(2);

impl Job {
    /// Scores the best model on every set, and writes its predictions of the first held-out one.
    pub(super) fn judge(
        &self,
        run: &RunDir,
        sets: &Sets,
        models: &Models,
        trained: &Trained<'_>,
    ) -> anyhow::Result<Metrics> {
        let (student, max_tokens) = (
            &models.student,
            self.file.train.max_tokens.min(models.student.max_tokens()),
        );
        let mut splits: Vec<SplitMetrics> = Vec::new();
        let dev = EncodedSet::new(&sets.dev, &models.tokenizer, max_tokens)?;
        let (on_dev, mut scores) = score("dev", student, &dev, &sets.metrics, self.quiet)?;
        if let (Some(teacher), Target::Labels(_)) = (trained.teacher_on_dev, student.target()) {
            scores.divergence = Some(divergence(&teacher.predictions, &on_dev.predictions));
        }
        splits.push(scores);
        let mut written = false;
        for NamedSet {
            name,
            spec,
            examples,
            map,
        } in &sets.held_out
        {
            let set = EncodedSet::new(examples, &models.tokenizer, max_tokens)?;
            let predictions = if set.labels().iter().all(Option::is_some) {
                let map = map.as_ref();
                let (evaluation, scores) =
                    score_mapped(name, student, &set, &sets.metrics, map, self.quiet)?;
                splits.push(scores);
                evaluation.predictions
            } else {
                tracing::info!("{name}: unlabelled; predicted, not scored");
                predict(student, &set, |_| {})?
            };
            if let Some(task) = spec
                .layout_task()
                .filter(|_| set.labels().iter().all(Option::is_none))
            {
                let path =
                    write_submission(run.path(), task, &predictions.labels(student.target()))?;
                tracing::info!("{name}: leaderboard file {}", path.display());
            }
            if !written && map.is_none() {
                write_predictions(run, student.target(), examples, &predictions)?;
                written = true;
            }
        }
        let (parameters, without_embeddings) = student.parameter_count();
        let headline_split = splits
            .iter()
            .find(|s| s.split == "test")
            .map_or("dev", |s| s.split.as_str());
        let headline = Headline {
            split: headline_split.into(),
            metric: sets.metrics[0].name().into(),
        };
        Ok(Metrics {
            task: self.file.task.clone(),
            labels: match student.target() {
                Target::Labels(labels) => labels.clone(),
                Target::Regression => Vec::new(),
            },
            role: self.file.role.unwrap_or(Role::Teacher),
            teacher: self
                .file
                .teacher
                .as_ref()
                .map(|teacher| teacher.from.clone()),
            ensemble: self
                .file
                .teacher
                .as_ref()
                .map_or_else(Vec::new, |teacher| teacher.ensemble.clone()),
            model: ModelSummary {
                name: student.kind_name(),
                kind: model_type(student),
                parameters: parameters as u64,
                embedding_parameters: (parameters - without_embeddings) as u64,
                size_bytes: folder_bytes(&run.model_path())?,
            },
            headline,
            splits,
            training: Some(training_summary(
                trained.summary,
                sets.train.len(),
                &self.file.train,
            )),
            sentences_per_s: Some(speed(sets, models, max_tokens)?),
            peak_memory_bytes: peak_memory_bytes(),
            wall_time_s: trained.summary.earlier_s + trained.started.elapsed().as_secs_f64(),
        })
    }
}

fn write_predictions(
    run: &RunDir,
    target: &Target,
    examples: &[Example],
    predictions: &Predictions,
) -> anyhow::Result<()> {
    let labels = match target {
        Target::Labels(labels) => labels.clone(),
        Target::Regression => Vec::new(),
    };
    let name = |label: Label| match label {
        Label::Class(class) => labels[class as usize].clone(),
        Label::Score(score) => score.to_string(),
    };
    let mut writer = run.predictions(&labels)?;
    let probabilities = predictions.probabilities();
    for (index, (example, predicted)) in examples.iter().zip(predictions.labels(target)).enumerate()
    {
        writer.write(&Prediction {
            id: example.id.to_string(),
            gold: example.label.map(name),
            predicted: name(predicted),
            probabilities: match target {
                Target::Labels(_) => {
                    probabilities[index * predictions.outputs..][..predictions.outputs].to_vec()
                }
                Target::Regression => Vec::new(),
            },
        })?;
    }
    Ok(writer.finish()?)
}

/// Sentences per second, tokenising included, on the dev set; the median of up to three passes.
fn speed(sets: &Sets, models: &Models, max_tokens: usize) -> anyhow::Result<f64> {
    let (mut rates, begun) = (Vec::new(), Instant::now());
    while rates.is_empty() || (rates.len() < 3 && begun.elapsed() < SPEED_TIME) {
        let started = Instant::now();
        let set = EncodedSet::new(&sets.dev, &models.tokenizer, max_tokens)?;
        predict(&models.student, &set, |_| {})?;
        rates.push(set.len() as f64 / started.elapsed().as_secs_f64());
    }
    Ok(SeedSummary::of(&rates).map_or(0.0, |summary| summary.median))
}

/// `model_type` in the model's `config.json`.
fn model_type(model: &SentenceClassifier) -> String {
    let config = model.config().to_json(model.target());
    config
        .get("model_type")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default()
        .to_owned()
}
