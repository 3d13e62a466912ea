use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::number;
use crate::{ReportError, Result};

/// One line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LogRecord {
    /// Training went on.
    Step(StepRecord),
    /// A split was scored.
    Eval(EvalRecord),
}

impl LogRecord {
    /// The optimiser step after which the record was made.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Eval(record) => record.step,
        }
    }
}

/// Training between the record before this one and `step`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimiser steps done, from 1.
    pub step: u64,
    /// The epoch the step belongs to, from 1.
    pub epoch: u64,
    /// Learning rate of the step.
    #[serde(with = "number")]
    pub learning_rate: f64,
    /// The mean of the whole loss.
    #[serde(with = "number")]
    pub loss: f64,
    /// The mean of each term of the loss before its weight, by the objective's name.
    #[serde(
        with = "number::map",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub terms: BTreeMap<String, f64>,
    /// Norm of all gradients together, before clipping.
    #[serde(with = "number")]
    pub gradient_norm: f64,
    /// Training sentences or pairs per second.
    #[serde(with = "number")]
    pub samples_per_s: f64,
    /// Tokens computed.
    pub tokens: u64,
}

/// A split scored after `step`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs begun, from 1.
    pub epoch: u64,
    /// The split's name (`dev`, ..).
    pub split: String,
    /// Values by the metric's name.
    #[serde(with = "number::map")]
    pub metrics: BTreeMap<String, f64>,
    /// Mean loss over the split.
    #[serde(with = "number")]
    pub loss: f64,
}

/// Reads `log.jsonl`. A last line cut off by a killed process is left out; any other broken line is an error.
pub fn read_log(path: impl AsRef<Path>) -> Result<Vec<LogRecord>> {
    let path = path.as_ref();
    let text = fs::read(path).map_err(ReportError::read(path))?;
    Ok(parse_log(path, &text)?
        .into_iter()
        .map(|line| line.record)
        .collect())
}

pub(crate) struct LogLine {
    pub(crate) record: LogRecord,
    /// The first byte after the record and its line feed, if it has one.
    pub(crate) end: usize,
}

pub(crate) fn parse_log(path: &Path, text: &[u8]) -> Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    let mut end = 0;
    for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        end += line.len();
        match serde_json::from_slice(line) {
            Ok(record) => lines.push(LogLine { record, end }),
            Err(_) if end == text.len() => break,
            Err(error) => {
                let (path, line, source) = (path.to_owned(), index + 1, error.into());
                return Err(ReportError::Malformed {
                    path,
                    line,
                    expected: "log record",
                    source,
                });
            }
        }
    }
    Ok(lines)
}

/// What a finished run has reached: `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The task's name.
    pub task: String,
    /// Label names in the order of the model's outputs; empty for regression.
    pub labels: Vec<String>,
    /// The part the model plays in a comparison.
    pub role: Role,
    /// The teacher's model id or run folder; `None` for a model that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// Further teachers, whose answers were averaged with its.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<String>,
    /// The model.
    pub model: ModelSummary,
    /// The number to judge the run by.
    pub headline: Headline,
    /// Scores of every set the model was evaluated on, in the order to show them.
    pub splits: Vec<SplitMetrics>,
    /// How training went; `None` for a run that only evaluates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingSummary>,
    /// Prediction speed, tokenising included; `None` where it was not measured.
    #[serde(
        with = "number::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub sentences_per_s: Option<f64>,
    /// The most memory the process held, in bytes; `None` where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Seconds from start to finish, interruptions not counted.
    #[serde(with = "number")]
    pub wall_time_s: f64,
}

impl Metrics {
    /// The score of `metric` on `split`, if it was computed.
    pub fn score(&self, split: &str, metric: &str) -> Option<Score> {
        self.splits
            .iter()
            .find(|scored| scored.split == split)?
            .metrics
            .get(metric)
            .copied()
    }

    /// The score that [`headline`](Metrics::headline) names.
    pub fn headline_score(&self) -> Option<Score> {
        self.score(&self.headline.split, &self.headline.metric)
    }
}

/// The part a model plays in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Others learn from it.
    Teacher,
    /// Learned from a teacher.
    Student,
    /// A student's twin that had no teacher.
    Control,
}

impl Role {
    /// The word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Control => "control",
        }
    }
}

/// The model of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// A name for tables (`BERT, 3 layers, from its teacher's`).
    pub name: String,
    /// The architecture (`bert`, `bi-lstm`, ..).
    pub kind: String,
    /// All parameters.
    pub parameters: u64,
    /// Those of the embedding tables, which cost memory but hardly time.
    pub embedding_parameters: u64,
    /// Bytes of the files in `model/`.
    pub size_bytes: u64,
}

/// Which number of a run counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// The split, one of [`Metrics::splits`].
    pub split: String,
    /// The metric (`accuracy`, ..).
    pub metric: String,
}

/// The scores of one evaluation set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitMetrics {
    /// The set's name (`dev`, `amazon`, ..).
    pub split: String,
    /// Sentences or pairs scored.
    pub examples: u64,
    /// Scores by the metric's name.
    pub metrics: BTreeMap<String, Score>,
    /// Mean loss; `None` where the run has no loss.
    #[serde(
        with = "number::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub loss: Option<f64>,
    /// Counts `[gold][predicted]` in the order of the set's labels; `None` for regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// The set's labels, where they are others than [`Metrics::labels`], to which they were mapped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Mean `KL(teacher ‖ student)` at temperature 1, in nats; `None` without a teacher.
    #[serde(
        with = "number::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub divergence: Option<f64>,
}

/// A metric's value, for most metrics in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The value on the whole set.
    #[serde(with = "number")]
    pub value: f64,
    /// Its 95 % confidence interval; `None` where none was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// A range of values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    #[serde(with = "number")]
    pub low: f64,
    /// Its upper end.
    #[serde(with = "number")]
    pub high: f64,
}

/// How training went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// The step whose weights are in `model/`: the best by the headline metric on the development split.
    pub best: Selected,
    /// The last step, whose weights are in `last/`.
    pub last: Selected,
    /// Training sentences or pairs per second over the whole run, evaluation not counted.
    #[serde(with = "number")]
    pub samples_per_s: f64,
}

/// A step whose weights were kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs begun, from 1.
    pub epoch: u64,
    /// The development split's metrics there.
    #[serde(with = "number::map")]
    pub metrics: BTreeMap<String, f64>,
}
