//! Runs as a training command would leave them.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use limbeck_report::{
    EvalRecord, FinishedRun, Headline, Interval, LogRecord, Metrics, ModelSummary, Provenance,
    Role, RunDir, Score, Selected, SplitMetrics, StepRecord, Timestamp, TrainingSummary,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) task: String,
    pub(crate) seed: u64,
    pub(crate) train: Train,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Train {
    pub(crate) epochs: u64,
    pub(crate) learning_rate: f32,
    pub(crate) time_limit_s: Option<u64>,
}

pub(crate) fn config(seed: u64, epochs: u64) -> Config {
    Config {
        task: "reviews".to_owned(),
        seed,
        train: Train {
            epochs,
            learning_rate: 0.1,
            time_limit_s: None,
        },
    }
}

pub(crate) fn provenance(seed: u64) -> Provenance {
    Provenance {
        version: "0.1.0".to_owned(),
        commit: Some("8c511fb".to_owned()),
        command_line: ["limbeck", "distil", "student.toml", "--out", "runs/s"]
            .map(str::to_owned)
            .into(),
        seed,
        device: "cpu".to_owned(),
        threads: 2,
        inputs: [].into(),
        started: Timestamp::from_unix(1_778_311_773),
        resumed: Vec::new(),
    }
}

pub(crate) fn step(step: u64) -> LogRecord {
    // A falling loss with a ripple, so that charts have something to smooth.
    let loss = 0.1
        + 0.6 * (-(step as f64) / 200.0).exp()
        + 0.08 * ((step * 7919 % 101) as f64 / 101.0 - 0.5);
    LogRecord::Step(StepRecord {
        step,
        epoch: 1 + step / 300,
        loss,
        learning_rate: 1e-4,
        ..StepRecord::default()
    })
}

pub(crate) fn eval(step: u64, accuracy: f64) -> LogRecord {
    let metrics = [("accuracy".to_owned(), accuracy)].into();
    LogRecord::Eval(EvalRecord {
        step,
        epoch: 1,
        split: "dev".to_owned(),
        metrics,
        loss: 0.3,
    })
}

pub(crate) fn metrics(name: &str, role: Role, parameters: u64, accuracy: f64) -> Metrics {
    let score = |value: f64, half: f64| Score {
        value,
        interval: Some(Interval {
            low: value - half,
            high: value + half,
        }),
    };
    let split = |name: &str, examples: u64, value: f64, half: f64| SplitMetrics {
        split: name.to_owned(),
        examples,
        metrics: [("accuracy".to_owned(), score(value, half))].into(),
        loss: Some(0.3),
        confusion: Some(vec![
            vec![
                (0.5 * value * examples as f64) as u64,
                (0.5 * (1.0 - value) * examples as f64) as u64,
            ],
            vec![
                (0.4 * (1.0 - value) * examples as f64) as u64,
                (0.6 * value * examples as f64) as u64,
            ],
        ]),
        ..SplitMetrics::default()
    };
    let selected = |step| Selected {
        step,
        epoch: 3,
        metrics: [("accuracy".to_owned(), accuracy)].into(),
    };
    Metrics {
        task: "reviews".to_owned(),
        labels: ["negative", "positive"].map(str::to_owned).into(),
        role,
        teacher: None,
        ensemble: Vec::new(),
        model: ModelSummary {
            name: name.to_owned(),
            kind: "bert".to_owned(),
            parameters,
            embedding_parameters: parameters / 2,
            size_bytes: 4 * parameters + 2310,
        },
        headline: Headline {
            split: "dev".to_owned(),
            metric: "accuracy".to_owned(),
        },
        splits: vec![
            split("dev", 1600, accuracy, 0.013),
            split("amazon", 900, accuracy - 0.06, 0.024),
            split("tweets", 400, accuracy - 0.11, 0.041),
        ],
        training: Some(TrainingSummary {
            best: selected(600),
            last: selected(900),
            samples_per_s: 148.0,
        }),
        sentences_per_s: Some(1.3e10 / (parameters as f64 + 4e6)),
        peak_memory_bytes: Some(812_000_000),
        wall_time_s: 251.4,
    }
}

pub(crate) fn finished(path: &Path, seed: u64, metrics: &Metrics) -> FinishedRun {
    let mut run = RunDir::create(
        path,
        &config(seed, if metrics.role == Role::Teacher { 3 } else { 7 }),
        &provenance(seed),
    )
    .unwrap();
    let accuracy = metrics.headline_score().unwrap().value;
    for number in (5..=900).step_by(5) {
        run.append(&step(number + seed % 7)).unwrap();
        if number % 100 == 0 {
            run.append(&eval(
                number,
                accuracy - 0.2 * (-(number as f64) / 250.0).exp(),
            ))
            .unwrap();
        }
    }
    run.finish(metrics).unwrap()
}
