//! `limbeck replay`: recorded attacks on another model.

use std::path::{Path, PathBuf};

use anyhow::Context;
use limbeck_model::Target;
use limbeck_report::{
    AttackLog, AttackOutcome, AttackSummary, AttackTotals, Cell, Column, Interval, Score, Table,
    WordRule, atomic_write, read_attack_log,
};
use limbeck_text::{Text, wilson_interval};
use limbeck_train::Predictor;
use serde::Serialize;

use crate::cli::{ReplayArgs, WordRuleKind};
use crate::environment::{device, model_folder};
use crate::settings::{BadSettings, MAX_TOKENS, max_tokens};

/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_985;

/// Runs the command.
pub(crate) fn run(args: &ReplayArgs, quiet: bool) -> anyhow::Result<()> {
    let paths = logs_under(&args.logs)?;
    let logs: Vec<AttackLog> = paths
        .iter()
        .map(read_attack_log)
        .collect::<Result<_, _>>()?;
    let folder = model_folder(&args.model, quiet)?;
    let tokens = max_tokens(args.max_tokens, Some(&args.model), MAX_TOKENS);
    let predictor = Predictor::open(&folder, tokens, &device(args.device)?)?;
    let Target::Labels(labels) = predictor.model.target().clone() else {
        let problem = format!(
            "`{}`: predicts a number; attacks are of classifiers",
            args.model
        );
        return Err(BadSettings::new(problem).into());
    };
    check_labels(&logs, &paths, labels.len())?;
    let rule = match args.word_rule {
        WordRuleKind::Current => WordRule::Current,
        WordRuleKind::LeadingOnly => WordRule::LeadingOnly,
    };
    let mut replays = Vec::new();
    for log in &logs {
        replays.push(replay(log, &predictor, rule)?);
    }
    if replays.len() > 1 {
        let total = replays
            .iter()
            .map(|replay| replay.hits)
            .fold(Hits::default(), Hits::plus);
        let counts = logs
            .iter()
            .flat_map(|log| &log.rows)
            .map(|row| row.counts(rule));
        let recorded = counts.collect::<AttackTotals>().summary();
        replays.push(Replay::new("all", total, recorded));
    }
    let table = table(&replays);
    if let Some(path) = &args.csv {
        atomic_write(path, table.to_csv().as_bytes())?;
    }
    print(&replays, &table, args.json)
}

/// The logs that `given` names or holds; at least one.
pub(crate) fn logs_under(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in given {
        collect(path, &mut paths)?;
    }
    if paths.is_empty() {
        let problem = format!("{given:?}: found no log, expected `attack.jsonl` or a CSV log");
        return Err(BadSettings::new(problem).into());
    }
    Ok(paths)
}

/// The logs under `path`, in the order of their names.
fn collect(path: &Path, logs: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        logs.push(path.to_owned());
        return Ok(());
    }
    let run = path.join("attack.jsonl");
    if run.is_file() {
        logs.push(run);
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs_err::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|ending| ending == "csv") {
            collect(&entry, logs)?;
        }
    }
    Ok(())
}

fn check_labels(logs: &[AttackLog], paths: &[PathBuf], count: usize) -> anyhow::Result<()> {
    for (log, path) in logs.iter().zip(paths) {
        if let Some(row) = log.rows.iter().find(|row| row.gold as usize >= count) {
            return Err(BadSettings::new(format!(
                "{}: has label number {}, the model has {count} labels; replay it on a model of the same task",
                path.display(),
                row.gold
            ))
            .into());
        }
    }
    Ok(())
}

/// Counts of one log.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Hits {
    examples: u64,
    /// Originals labelled right.
    original_right: u64,
    /// Perturbed texts labelled right.
    perturbed_right: u64,
    /// Recorded successes.
    recorded_successes: u64,
    /// Recorded successes whose original is labelled right.
    transferable: u64,
    /// Of these, perturbed texts labelled wrong.
    transferred: u64,
}

impl Hits {
    fn plus(self, other: Self) -> Self {
        Self {
            examples: self.examples + other.examples,
            original_right: self.original_right + other.original_right,
            perturbed_right: self.perturbed_right + other.perturbed_right,
            recorded_successes: self.recorded_successes + other.recorded_successes,
            transferable: self.transferable + other.transferable,
            transferred: self.transferred + other.transferred,
        }
    }
}

/// A log on this model, and what it recorded on its own.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Replay {
    log: String,
    #[serde(flatten)]
    hits: Hits,
    original_accuracy: Option<Score>,
    perturbed_accuracy: Option<Score>,
    transfer_rate: Option<Score>,
    recorded: AttackSummary,
}

impl Replay {
    fn new(log: &str, hits: Hits, recorded: AttackSummary) -> Self {
        Self {
            log: log.to_owned(),
            hits,
            original_accuracy: share(hits.original_right, hits.examples),
            perturbed_accuracy: share(hits.perturbed_right, hits.examples),
            transfer_rate: share(hits.transferred, hits.transferable),
            recorded,
        }
    }
}

fn share(part: u64, whole: u64) -> Option<Score> {
    let interval = (whole > 0).then(|| wilson_interval(part, whole, Z_95))?;
    Some(Score {
        value: part as f64 / whole as f64,
        interval: Some(Interval {
            low: interval.low,
            high: interval.high,
        }),
    })
}

fn replay(log: &AttackLog, predictor: &Predictor, rule: WordRule) -> anyhow::Result<Replay> {
    let text = |columns: &Vec<String>| Text {
        first: columns.first().cloned().unwrap_or_default(),
        second: columns.get(1).cloned(),
    };
    let labels = |texts: Vec<Text>| -> anyhow::Result<Vec<u32>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let predictions = predictor.logits(&texts).with_context(|| log.name.clone())?;
        let labels = predictions.labels(predictor.model.target());
        Ok(labels
            .into_iter()
            .filter_map(limbeck_text::Label::class)
            .collect())
    };
    let original = labels(log.rows.iter().map(|row| text(&row.original)).collect())?;
    let perturbed = labels(log.rows.iter().map(|row| text(&row.perturbed)).collect())?;
    let mut hits = Hits::default();
    for ((row, original), perturbed) in log.rows.iter().zip(original).zip(perturbed) {
        let (original_right, perturbed_right) = (original == row.gold, perturbed == row.gold);
        let succeeded = row.outcome == AttackOutcome::Succeeded;
        hits = hits.plus(Hits {
            examples: 1,
            original_right: original_right.into(),
            perturbed_right: perturbed_right.into(),
            recorded_successes: succeeded.into(),
            transferable: (succeeded && original_right).into(),
            transferred: (succeeded && original_right && !perturbed_right).into(),
        });
    }
    let counts = log.rows.iter().map(|row| row.counts(rule));
    Ok(Replay::new(
        &log.name,
        hits,
        counts.collect::<AttackTotals>().summary(),
    ))
}

fn table(replays: &[Replay]) -> Table {
    let score = |score: Option<Score>| score.map_or(Cell::Missing, Cell::Score);
    let count = |count: u64| Cell::Text(count.to_string());
    let row = |replay: &Replay| {
        vec![
            Cell::Text(replay.log.clone()),
            count(replay.hits.examples),
            score(replay.original_accuracy),
            score(replay.perturbed_accuracy),
            count(replay.hits.recorded_successes),
            score(replay.transfer_rate),
        ]
    };
    let numbers = [
        "examples",
        "accuracy %",
        "on perturbed %",
        "recorded successes",
        "transfer %",
    ];
    Table {
        columns: std::iter::once(Column::words("log"))
            .chain(numbers.map(Column::numbers))
            .collect(),
        rows: replays.iter().map(row).collect(),
        notes: vec![
            "Transfer: of the recorded successes whose original this model labels right, the share whose perturbed text it labels wrong.".to_owned(),
            "± is half of a 95 % Wilson interval.".to_owned(),
        ],
    }
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn print(replays: &[Replay], table: &Table, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(replays)?);
    } else {
        print!("{}", table.to_text());
    }
    Ok(())
}
