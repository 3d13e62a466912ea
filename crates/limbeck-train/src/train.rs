//! The training loop: fine-tuning is distillation without a teacher, pretraining the same loop over other examples.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use limbeck_model::{SentenceClassifier, stream_key};
use limbeck_ops::mix64;
use limbeck_text::Metric;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::TrainConfig;
use crate::data::{EncodedSet, epoch_order};
use crate::evaluate::evaluate;
use crate::group::{Group, Learners, Updates};
use crate::objective::WeightedSum;
use crate::resume::{self, Best, Checkpointed, Progress};
use crate::step::{Lesson, Step};
use crate::teacher::Teacher;

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEvent {
    /// 1-based.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Epochs done, with fraction.
    pub epoch: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Mean loss of its sentences.
    pub loss: f64,
    /// Each objective's own mean, unweighted.
    pub terms: BTreeMap<&'static str, f64>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Sentences in the step.
    pub sentences: usize,
    /// Tokens in the step.
    pub tokens: usize,
    /// Seconds it took.
    pub seconds: f64,
}

/// What an evaluation on the dev set found.
#[derive(Debug)]
pub struct EvaluationEvent<'a> {
    /// Steps done.
    pub step: u64,
    /// Epochs done, with fraction.
    pub epoch: f64,
    /// Scores by the metric's name.
    pub metrics: &'a BTreeMap<String, f64>,
    /// Mean loss.
    pub loss: f64,
    /// Whether it is the best so far.
    pub is_best: bool,
}

/// Watches a run. Implementations print, draw bars and write logs; the loop does not.
pub trait Observer {
    /// After every step.
    fn on_step(&mut self, _: &StepEvent) -> Result<(), TrainError> {
        Ok(())
    }

    /// After every evaluation on the dev set.
    fn on_evaluation(&mut self, _: &EvaluationEvent<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Asked after every step; `true` saves the state and ends the run with [`TrainError::Interrupted`].
    fn should_stop(&mut self) -> bool {
        false
    }
}

/// Where a run keeps its models and its state.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Best model by dev score.
    pub best: &'a Path,
    /// Model after the last step.
    pub last: &'a Path,
    /// State to go on from.
    pub checkpoint: &'a Path,
}

/// Sets, seed and settings of a run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Examples to learn from, as the student reads them.
    pub train: &'a EncodedSet,
    /// Examples to choose the best model by.
    pub dev: &'a EncodedSet,
    /// The task's metrics; the first chooses the best model.
    pub metrics: &'a [Metric],
    /// What is learnt.
    pub objective: &'a WeightedSum,
    /// How a batch becomes gradients.
    pub step: &'a dyn Step,
    /// Whom it is learnt from, if anyone.
    pub teacher: Option<&'a dyn Teacher>,
    /// Settings.
    pub config: &'a TrainConfig,
    /// Decides order and dropout.
    pub seed: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// Steps done.
    pub steps: u64,
    /// The best evaluation; its model is in `best` and loaded.
    pub best: Best,
    /// Scores after the last step.
    pub last: BTreeMap<String, f64>,
    /// Seconds trained, over all sessions.
    pub trained_s: f64,
    /// Seconds that sessions before this one took, up to their last checkpoint.
    pub earlier_s: f64,
    /// Seconds that all sessions took.
    pub elapsed_s: f64,
    /// Tokens trained on, over all sessions.
    pub tokens: u64,
    /// Training sentences per second, evaluations and checkpoints left out.
    pub samples_per_s: f64,
}

impl Summary {
    /// The same as the end of a training that began with the one of `earlier`.
    #[must_use]
    pub(crate) fn after(mut self, earlier: &Self) -> Self {
        let sentences =
            self.samples_per_s * self.trained_s + earlier.samples_per_s * earlier.trained_s;
        self.steps += earlier.steps;
        self.best.step += earlier.steps;
        self.trained_s += earlier.trained_s;
        self.earlier_s += earlier.earlier_s;
        self.elapsed_s += earlier.elapsed_s;
        self.tokens += earlier.tokens;
        self.samples_per_s = sentences / self.trained_s.max(1e-9);
        self
    }
}

impl Run<'_> {
    /// Steps of the whole run, unless patience ends it before.
    pub fn steps(&self) -> u64 {
        self.config.steps(self.train.len()).1
    }

    /// Whether it learns from a teacher's outputs on the training set.
    pub fn needs_teacher(&self) -> bool {
        self.objective.needs_teacher() || self.step.needs_teacher()
    }

    /// Everything that can be wrong before the first step.
    pub fn check(&self) -> Result<(), TrainError> {
        self.config.check()?;
        self.objective.check(self.teacher.map(Teacher::provides))?;
        self.objective.check_settings(self.config)?;
        self.check_tokens()?;
        self.step.check(self)?;
        self.check_labels()?;
        let empty = |setting, set: &EncodedSet| {
            let expected = "at least one example".to_owned();
            if set.is_empty() {
                Err(TrainError::Setting {
                    setting,
                    found: "none".into(),
                    expected,
                })
            } else {
                Ok(())
            }
        };
        empty("train", self.train)?;
        empty("dev", self.dev)
    }

    /// Where states or attention of all tokens are compared, both have to read the same tokens.
    fn check_tokens(&self) -> Result<(), TrainError> {
        match self.teacher.and_then(Teacher::reads) {
            Some(teacher) if self.objective.needs().of_all_tokens() => {
                self.train.check_same_tokens(teacher)
            }
            _ => Ok(()),
        }
    }
}

impl Run<'_> {
    /// Fails where rows without a label teach nothing: an objective learns from gold labels, and nothing from a teacher.
    fn check_labels(&self) -> Result<(), TrainError> {
        if self.needs_teacher() || self.step.takes_unlabelled() {
            return Ok(());
        }
        let needing = self.objective.objectives().find(|o| o.needs_labels());
        let unlabelled = self.train.labels().iter().position(Option::is_none);
        match (needing, unlabelled) {
            (Some(objective), Some(row)) => Err(TrainError::Unlabelled {
                id: self.train.id(row),
                objective: objective.name(),
            }),
            _ => Ok(()),
        }
    }
}

/// What the loop trains: a model with the examples it learns from and how it is judged.
pub(crate) trait Trainee {
    /// The model.
    fn model(&self) -> &dyn Checkpointed;

    /// What is trained, the model's parameters first; optimisers take those that are trainable.
    fn groups(&self) -> Vec<Group>;

    /// Which groups the 0-based `step` changes.
    fn updates(&self, _step: u64) -> Updates {
        Updates::All
    }

    /// Number of examples in an epoch.
    fn example_count(&self) -> usize;

    /// An example's name for messages.
    fn example_id(&self, row: usize) -> u64;

    /// Adds the gradients of one step, the mean over the examples at `rows`.
    fn accumulate(&self, rows: &[usize], keys: StepKeys) -> Result<StepLoss, TrainError>;

    /// Judges the model as it is.
    fn evaluate(&self) -> Result<DevScores, TrainError>;
}

/// What randomness inside a step depends on.
#[derive(Debug, Clone, Copy)]
pub struct StepKeys {
    /// 0-based epoch.
    pub epoch: u64,
    /// 0-based step.
    pub step: u64,
    /// Of dropout; changes with every step.
    pub dropout: u64,
}

/// The loss of one step, or of a part of it.
#[derive(Debug, Clone, Default)]
pub struct StepLoss {
    /// The mean.
    pub loss: f64,
    /// Each objective's own mean.
    pub terms: BTreeMap<&'static str, f64>,
    /// Tokens computed.
    pub tokens: usize,
}

impl StepLoss {
    /// Adds a part that is `share` of the step's examples.
    pub fn add(&mut self, part: Self, share: f64) {
        self.loss += share * part.loss;
        for (name, value) in part.terms {
            *self.terms.entry(name).or_insert(0.0) += share * value;
        }
        self.tokens += part.tokens;
    }
}

/// An evaluation on the dev set.
#[derive(Debug, Clone)]
pub(crate) struct DevScores {
    /// What chooses the best model; larger is better.
    pub(crate) score: f64,
    /// By the metric's name.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Mean loss.
    pub(crate) loss: f64,
}

/// Trains `student`, going on from the state in `folders` if there is one.
///
/// Ends with the best model in `folders.best` and in `student`, and the last in `folders.last`.
/// `observer` sees every step once, except those repeated after a kill.
pub fn train(
    student: &SentenceClassifier,
    run: &Run<'_>,
    folders: Folders<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    run.check()?;
    let trainee = Student { student, run };
    train_loop(&trainee, run.config, run.seed, folders, observer)
}

/// The one loop.
pub(crate) fn train_loop(
    trainee: &dyn Trainee,
    config: &TrainConfig,
    seed: u64,
    folders: Folders<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    let model = trainee.model();
    let example_count = trainee.example_count();
    let mut learners = Learners::new(trainee.groups(), config);
    let mut progress = resume::load(folders.checkpoint, model, &mut learners)?.unwrap_or_default();
    let (steps_per_epoch, total_steps) = config.steps(example_count);
    let warmup = (total_steps as f64 * config.warmup_fraction).ceil() as u64;
    let dropout_key = stream_key(seed, "dropout");
    let mut order = (u64::MAX, Vec::new());
    let mut last = BTreeMap::new();
    let begun = Instant::now();
    let earlier_s = progress.elapsed_s;
    let mut checkpointed = begun;

    while progress.step < total_steps && !has_lost_patience(config, &progress) {
        let started = Instant::now();
        let epoch = progress.step / steps_per_epoch;
        if order.0 != epoch {
            order = (epoch, epoch_order(example_count, seed, epoch));
        }
        let size = config.batch_size * config.accumulation;
        let first = (progress.step % steps_per_epoch) as usize * size;
        let rows = &order.1[first..(first + size).min(order.1.len())];

        let updates = trainee.updates(progress.step);
        let learning_rate =
            learners.learning_rate(updates, |s| s.factor(progress.step, warmup, total_steps));
        let keys = StepKeys {
            epoch,
            step: progress.step,
            dropout: mix64(dropout_key ^ mix64(progress.step)),
        };
        let StepLoss {
            loss,
            terms,
            tokens,
        } = trainee.accumulate(rows, keys)?;
        if !loss.is_finite() {
            let examples = rows.iter().take(8);
            return Err(TrainError::NotANumber {
                step: progress.step + 1,
                loss,
                learning_rate,
                examples: examples.map(|&row| trainee.example_id(row)).collect(),
            });
        }
        let norm = learners.step(updates, |s| s.factor(progress.step, warmup, total_steps))?;
        progress.step += 1;

        let seconds = started.elapsed();
        progress.sentences += rows.len() as u64;
        progress.tokens += tokens as u64;
        progress.trained_s += seconds.as_secs_f64();
        let epoch_now = progress.step as f64 / steps_per_epoch as f64;
        observer.on_step(&StepEvent {
            step: progress.step,
            total_steps,
            epoch: epoch_now,
            learning_rate,
            loss,
            terms,
            gradient_norm: norm,
            sentences: rows.len(),
            tokens,
            seconds: seconds.as_secs_f64(),
        })?;
        if is_evaluation_step(config, progress.step, steps_per_epoch, total_steps) {
            let scores = trainee.evaluate()?;
            let is_best = note_evaluation(&mut progress, &scores);
            if is_best {
                model.save(folders.best)?;
            }
            observer.on_evaluation(&EvaluationEvent {
                step: progress.step,
                epoch: epoch_now,
                metrics: &scores.metrics,
                loss: scores.loss,
                is_best,
            })?;
            last = scores.metrics;
        }
        let stop = observer.should_stop() && progress.step < total_steps;
        if stop || checkpointed.elapsed() >= Duration::from_secs(config.checkpoint_every_s) {
            progress.elapsed_s = earlier_s + begun.elapsed().as_secs_f64();
            resume::save(folders.checkpoint, &progress, model, &learners)?;
            checkpointed = Instant::now();
        }
        if stop {
            return Err(TrainError::Interrupted {
                step: progress.step,
            });
        }
    }
    if last.is_empty() {
        last = trainee.evaluate()?.metrics;
    }
    model.save(folders.last)?;
    let best = progress.best.clone().expect("the last step evaluates");
    model.load(&limbeck_model::Weights::open(folders.best)?)?;
    let samples_per_s = progress.sentences as f64 / progress.trained_s.max(1e-9);
    Ok(Summary {
        steps: progress.step,
        best,
        last,
        trained_s: progress.trained_s,
        earlier_s,
        elapsed_s: earlier_s + begun.elapsed().as_secs_f64(),
        tokens: progress.tokens,
        samples_per_s,
    })
}

/// A classifier on its way, with or without a teacher.
struct Student<'a> {
    student: &'a SentenceClassifier,
    run: &'a Run<'a>,
}

impl Trainee for Student<'_> {
    fn model(&self) -> &dyn Checkpointed {
        self.student
    }

    fn groups(&self) -> Vec<Group> {
        let run = self.run;
        let beside = [run.objective.parameters(), run.step.parameters()].concat();
        let mut groups = vec![Group::of_model(
            "student",
            self.student.parameters(),
            beside,
        )];
        groups.extend(run.step.groups());
        groups
    }

    fn updates(&self, step: u64) -> Updates {
        self.run.step.updates(step)
    }

    fn example_count(&self) -> usize {
        self.run.train.len()
    }

    fn example_id(&self, row: usize) -> u64 {
        self.run.train.id(row)
    }

    fn accumulate(&self, rows: &[usize], keys: StepKeys) -> Result<StepLoss, TrainError> {
        let run = self.run;
        let mut sum = StepLoss::default();
        for part in parts(run.config, rows, |row| run.train.length(row)) {
            let lesson = Lesson::new(self.student, run, part, rows.len(), keys);
            sum.add(run.step.accumulate(&lesson)?, lesson.share);
        }
        Ok(sum)
    }

    fn evaluate(&self) -> Result<DevScores, TrainError> {
        let run = self.run;
        let evaluation = evaluate(self.student, run.dev, run.metrics, |_| {})?;
        let metrics = evaluation.metrics.iter();
        Ok(DevScores {
            score: evaluation.metrics[&run.metrics[0]],
            metrics: metrics
                .map(|(metric, &score)| (metric.name().to_owned(), score))
                .collect(),
            loss: evaluation.loss,
        })
    }
}

/// A step's rows cut into passes of at most a batch, and at most the token budget.
pub(crate) fn parts<'a>(
    config: &TrainConfig,
    rows: &'a [usize],
    length: impl Fn(usize) -> usize,
) -> Vec<&'a [usize]> {
    let budget = config.token_budget;
    let mut parts = Vec::new();
    for batch in rows.chunks(config.batch_size) {
        let (mut first, mut tokens) = (0, 0);
        for (index, &row) in batch.iter().enumerate() {
            let length = length(row);
            if budget > 0 && index > first && tokens + length > budget {
                parts.push(&batch[first..index]);
                (first, tokens) = (index, 0);
            }
            tokens += length;
        }
        parts.push(&batch[first..]);
    }
    parts
}

fn is_evaluation_step(
    config: &TrainConfig,
    step: u64,
    steps_per_epoch: u64,
    total_steps: u64,
) -> bool {
    let every = if config.evaluate_every > 0 {
        config.evaluate_every
    } else {
        steps_per_epoch
    };
    step.is_multiple_of(every) || step == total_steps
}

fn has_lost_patience(config: &TrainConfig, progress: &Progress) -> bool {
    config.patience > 0 && progress.evaluations_since_best >= config.patience
}

/// Counts an evaluation and says whether it is the best; of equals the earlier stays.
fn note_evaluation(progress: &mut Progress, scores: &DevScores) -> bool {
    let score = scores.score;
    let is_best = progress.best.as_ref().is_none_or(|best| score > best.score);
    if is_best {
        progress.best = Some(Best {
            step: progress.step,
            score,
            metrics: scores.metrics.clone(),
        });
        progress.evaluations_since_best = 0;
    } else {
        progress.evaluations_since_best += 1;
    }
    is_best
}
