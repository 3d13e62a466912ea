use std::collections::BTreeSet;

use super::{Comparison, Model, attacks};
use crate::chart::smooth;
use crate::settings::flatten;
use crate::{
    Bar, BarChart, BarMark, Block, Cell, Chart, Column, ConfusionMatrix, FinishedRun, Headline,
    Line, LineChart, LineStyle, LogRecord, Page, ReportError, Result, Section, Selected, Table,
};

pub(super) fn page(comparison: &Comparison, title: &str) -> Result<Page> {
    let models = comparison.models();
    if models.is_empty() {
        return Err(ReportError::NoRuns);
    }
    let logs = models
        .iter()
        .map(|model| model.runs().iter().map(FinishedRun::log).collect())
        .collect::<Result<Vec<Vec<_>>>>()?;
    let results = vec![
        Block::Table(comparison.table()),
        Block::Charts(result_charts(models)),
    ];
    let mut sections = vec![section("Results", results)];
    if let Some(table) = comparison.attack_table() {
        let blocks = vec![
            Block::Table(table),
            Block::Charts(attacks::charts(comparison)),
        ];
        sections.push(section("Under attack", blocks));
    }
    let training = training_charts(models, &logs);
    if !training.is_empty() {
        sections.push(section("Training", vec![Block::Charts(training)]));
    }
    let matrices: Vec<_> = models.iter().filter_map(matrix).collect();
    if !matrices.is_empty() {
        sections.push(section("Confusion", vec![Block::Confusion(matrices)]));
    }
    sections.push(section("Settings", settings(models)));
    let runs: Vec<&FinishedRun> = models.iter().flat_map(Model::runs).collect();
    sections.push(section(
        "Provenance",
        runs.into_iter().map(provenance).collect::<Result<_>>()?,
    ));
    Ok(Page {
        title: title.to_owned(),
        lead: lead(models),
        sections,
    })
}

fn section(heading: &str, blocks: Vec<Block>) -> Section {
    Section {
        heading: heading.to_owned(),
        blocks,
    }
}

fn lead(models: &[Model]) -> String {
    let metrics = models[0].first().metrics();
    let tasks: BTreeSet<&str> = models
        .iter()
        .map(|model| model.first().metrics().task.as_str())
        .collect();
    let tasks = tasks.into_iter().collect::<Vec<_>>().join(", ");
    let plural = if models.len() == 1 { "model" } else { "models" };
    let Headline { split, metric } = &metrics.headline;
    format!(
        "{} {plural} on {tasks}, judged by {metric} on {split}.",
        models.len()
    )
}

fn result_charts(models: &[Model]) -> Vec<Chart> {
    let Headline { split, metric } = &models[0].first().metrics().headline;
    let scores = models.iter().enumerate().filter_map(|(color, model)| {
        let cell = model.score_cell(split, metric);
        let range = cell.range().map(|(low, high)| (100.0 * low, 100.0 * high));
        Some(Bar {
            name: model.name(),
            color,
            value: 100.0 * model.median(split, metric)?,
            range,
            text: cell.text(),
        })
    });
    let speeds = models.iter().enumerate().filter_map(|(color, model)| {
        let value = model.sentences_per_s()?;
        Some(Bar {
            name: model.name(),
            color,
            value,
            range: None,
            text: Cell::Rate(value).text(),
        })
    });
    let chart = |title: String, value_label: String, mark, bars: Vec<Bar>| {
        (!bars.is_empty()).then_some(Chart::Bars(BarChart {
            title,
            value_label,
            mark,
            bars,
        }))
    };
    let (title, label) = (
        format!("{} on {split}", capitalized(metric)),
        format!("{metric}, times 100"),
    );
    let scores = chart(title, label, BarMark::Dots, scores.collect());
    let speeds = chart(
        "Prediction speed".to_owned(),
        "sentences per second".to_owned(),
        BarMark::Bars,
        speeds.collect(),
    );
    scores.into_iter().chain(speeds).collect()
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

fn training_charts(models: &[Model], logs: &[Vec<Vec<LogRecord>>]) -> Vec<Chart> {
    let metric = &models[0].first().metrics().headline.metric;
    let evaluations = logs
        .iter()
        .flatten()
        .flatten()
        .filter_map(|record| match record {
            LogRecord::Eval(record) if record.metrics.contains_key(metric) => Some(record),
            _ => None,
        });
    // The split that choosing the best step went by: most runs evaluate no other while they train.
    let split = evaluations.map(|record| record.split.clone()).next();
    let mut losses = Vec::new();
    let mut faint = Vec::new();
    let mut scores = Vec::new();
    for (color, (model, logs)) in models.iter().zip(logs).enumerate() {
        let line = |style, points| Line {
            name: model.name(),
            color,
            style,
            points,
        };
        for log in logs {
            let points = training_losses(log);
            // The average reaches over a 25th of the run, so that lines of short and long runs look alike.
            let window = points.len() as f64 / 25.0;
            let solid = line(
                LineStyle::Solid,
                smooth(&points, 1.0 - 1.0 / window.max(1.0)),
            );
            if window > 1.0 {
                faint.push(line(LineStyle::Faint, points));
            }
            losses.push(solid);
            let points = split
                .as_ref()
                .map(|split| scores_over_steps(log, split, metric))
                .unwrap_or_default();
            scores.push(line(LineStyle::Dots, points));
        }
    }
    // Raw values lie behind all averages.
    losses.splice(0..0, faint);
    let chart = |title: String, y_label: String, mut lines: Vec<Line>| {
        lines.retain(|line| !line.points.is_empty());
        (!lines.is_empty()).then(|| {
            Chart::Lines(LineChart {
                title,
                x_label: "step".to_owned(),
                y_label,
                lines,
            })
        })
    };
    let split = split.clone().unwrap_or_default();
    let title = format!("{} on {split} while training", capitalized(metric));
    let scores = chart(title, format!("{metric}, times 100"), scores);
    chart("Training loss".to_owned(), "loss".to_owned(), losses)
        .into_iter()
        .chain(scores)
        .collect()
}

fn training_losses(log: &[LogRecord]) -> Vec<(f64, f64)> {
    let point = |record: &LogRecord| match record {
        LogRecord::Step(record) => Some((record.step as f64, record.loss)),
        LogRecord::Eval(_) => None,
    };
    log.iter().filter_map(point).collect()
}

fn scores_over_steps(log: &[LogRecord], split: &str, metric: &str) -> Vec<(f64, f64)> {
    let point = |record: &LogRecord| match record {
        LogRecord::Eval(record) if record.split == split => {
            Some((record.step as f64, 100.0 * record.metrics.get(metric)?))
        }
        _ => None,
    };
    log.iter().filter_map(point).collect()
}

fn matrix(model: &Model) -> Option<ConfusionMatrix> {
    let metrics = model.first().metrics();
    let split = metrics
        .splits
        .iter()
        .find(|split| split.split == metrics.headline.split)?;
    let title = match model.runs().len() {
        1 => format!("{} on {}", model.name(), split.split),
        _ => format!(
            "{} on {}, seed {}",
            metrics.model.name,
            split.split,
            model.first().provenance().seed
        ),
    };
    Some(ConfusionMatrix {
        title,
        labels: if split.labels.is_empty() {
            metrics.labels.clone()
        } else {
            split.labels.clone()
        },
        counts: split.confusion.clone()?,
    })
}

/// What sets the models apart as a table, what they share behind a click.
fn settings(models: &[Model]) -> Vec<Block> {
    let configs: Vec<_> = models
        .iter()
        .map(|model| flatten(model.first().config_table()))
        .collect();
    let keys: BTreeSet<&String> = configs.iter().flat_map(|config| config.keys()).collect();
    let is_shared = |key: &&String| {
        configs
            .iter()
            .all(|config| config.get(*key) == configs[0].get(*key))
    };
    // A row may stand for several seeds; they are listed with the runs.
    let keys = keys.into_iter().filter(|key| *key != "seed");
    let (shared, different): (Vec<&String>, Vec<&String>) = keys.partition(is_shared);

    let facts = shared
        .into_iter()
        .map(|key| (key.clone(), configs[0][key].clone()))
        .collect();
    let shared = |summary: &str| Block::Details {
        summary: summary.to_owned(),
        blocks: vec![Block::Facts(facts)],
    };
    if models.len() == 1 {
        return vec![shared("All settings")];
    }
    let columns = std::iter::once("setting".to_owned())
        .chain(models.iter().map(Model::name))
        .map(Column::words)
        .collect();
    let value = |key: &String| {
        configs
            .iter()
            .map(|config| {
                config
                    .get(key)
                    .map_or(Cell::Missing, |value| Cell::Text(value.clone()))
            })
            .collect::<Vec<_>>()
    };
    let row = |key: &String| {
        std::iter::once(Cell::Text(key.clone()))
            .chain(value(key))
            .collect()
    };
    let rows = different.into_iter().map(row).collect();
    vec![
        Block::Table(Table {
            columns,
            rows,
            notes: Vec::new(),
        }),
        shared("Settings that all share"),
    ]
}

fn provenance(run: &FinishedRun) -> Result<Block> {
    let (metrics, origin) = (run.metrics(), run.provenance());
    let mut facts = vec![
        ("folder", run.path().display().to_string()),
        ("command", origin.command_line.join(" ")),
        ("version", origin.version.clone()),
        ("seed", origin.seed.to_string()),
        ("device", origin.device.clone()),
        ("threads", origin.threads.to_string()),
        ("started", origin.started.to_string()),
        ("took", duration(metrics.wall_time_s)),
    ];
    facts.extend(origin.commit.clone().map(|commit| ("commit", commit)));
    facts.extend(
        origin
            .resumed
            .iter()
            .map(|resumption| ("continued", resumption.started.to_string())),
    );
    facts.extend(metrics.teacher.iter().map(|teacher| {
        let all = std::iter::once(teacher).chain(&metrics.ensemble);
        ("teacher", all.cloned().collect::<Vec<_>>().join(" + "))
    }));
    facts.extend(
        metrics
            .peak_memory_bytes
            .map(|bytes| ("peak memory", Cell::Bytes(bytes).text())),
    );
    if let Some(training) = &metrics.training {
        facts.push((
            "best step",
            selected(&training.best, &metrics.headline.metric),
        ));
        facts.push((
            "last step",
            selected(&training.last, &metrics.headline.metric),
        ));
        facts.push((
            "training speed",
            format!("{} samples/s", Cell::Rate(training.samples_per_s).text()),
        ));
    }
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();

    let columns = ["input", "path", "SHA-256"].map(Column::words).into();
    let rows = origin.inputs.iter().map(|(name, input)| {
        [
            name.clone(),
            input.path.display().to_string(),
            input.sha256.clone(),
        ]
        .map(Cell::Text)
        .into()
    });
    let inputs = Table {
        columns,
        rows: rows.collect(),
        notes: Vec::new(),
    };
    let summary = format!(
        "{} · {} · seed {}",
        metrics.model.name,
        run.name(),
        origin.seed
    );
    let mut blocks = vec![Block::Facts(facts)];
    if !inputs.rows.is_empty() {
        blocks.push(Block::Table(inputs));
    }
    blocks.push(Block::Code(run.config_text()?));
    Ok(Block::Details { summary, blocks })
}

fn selected(selected: &Selected, metric: &str) -> String {
    let score = selected
        .metrics
        .get(metric)
        .map_or("–".to_owned(), |value| format!("{:.1}", 100.0 * value));
    format!(
        "{} (epoch {}): {metric} {score}",
        selected.step, selected.epoch
    )
}

fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}
