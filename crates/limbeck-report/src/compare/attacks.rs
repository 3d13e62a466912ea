use std::path::{Path, PathBuf};

use super::{Comparison, Model, entries};
use crate::attack_run::RECORDS;
use crate::files::METRICS;
use crate::{Bar, BarChart, BarMark, Cell, Chart, Column, FinishedAttack, Result, Table};

/// The attacks at `path`: itself, or the folders right below it; none where it is a run.
pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let is_attack = |folder: &Path| folder.join(RECORDS).is_file();
    if is_attack(path) {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() || path.join(METRICS).is_file() {
        return Ok(Vec::new());
    }
    let mut folders = entries(path)?;
    folders.retain(|folder| is_attack(folder));
    folders.sort();
    Ok(folders)
}

/// An attack of one model, and the model's row if it is among those compared.
type Victim<'a> = (&'a FinishedAttack, Option<usize>);

/// Attack by attack, in order of first appearance, its victims in the order of the models.
fn by_attack(comparison: &Comparison) -> Vec<(&str, Vec<Victim<'_>>)> {
    let mut groups: Vec<(&str, Vec<_>)> = Vec::new();
    for attack in &comparison.attacks {
        let name = attack.metrics.attack.as_str();
        let victim = (attack, victim_of(comparison, attack));
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, victims)) => victims.push(victim),
            None => groups.push((name, vec![victim])),
        }
    }
    for (_, victims) in &mut groups {
        victims.sort_by_key(|(_, model)| model.unwrap_or(usize::MAX));
    }
    groups
}

/// The row of the model that was attacked, if it is among those compared.
fn victim_of(comparison: &Comparison, attack: &FinishedAttack) -> Option<usize> {
    let victim = Path::new(&attack.metrics.victim).canonicalize().ok()?;
    let is_victim = |model: &Model| {
        let mut runs = model.runs().iter();
        runs.any(|run| run.path().canonicalize().is_ok_and(|path| path == victim))
    };
    comparison.models.iter().position(is_victim)
}

pub(super) fn table(comparison: &Comparison) -> Option<Table> {
    if comparison.attacks.is_empty() {
        return None;
    }
    let words = ["attack", "model", "role"].map(Column::words);
    let numbers = [
        "examples",
        "accuracy",
        "under attack",
        "attacks succeeded",
        "words changed",
        "queries",
    ];
    let fraction = |value: f64| match value {
        value if value.is_nan() => Cell::Missing,
        value => Cell::Text(format!("{:.1}", 100.0 * value)),
    };
    let mut rows = Vec::new();
    for (name, victims) in by_attack(comparison) {
        for (attack, model) in victims {
            let summary = &attack.metrics.summary;
            let model = model.map(|model| &comparison.models[model]);
            rows.push(vec![
                Cell::Text(name.to_owned()),
                Cell::Text(model.map_or_else(|| attack.metrics.victim.clone(), Model::name)),
                model.map_or(Cell::Missing, |model| {
                    Cell::Text(model.role().name().to_owned())
                }),
                Cell::Count(summary.examples),
                Cell::Score(summary.original_accuracy),
                Cell::Score(summary.accuracy_under_attack),
                Cell::Score(summary.attack_success_rate),
                fraction(summary.perturbed_word_fraction),
                match summary.queries_per_attack {
                    value if value.is_nan() => Cell::Missing,
                    value => Cell::Text(format!("{value:.1}")),
                },
            ]);
        }
    }
    Some(Table {
        columns: words.into_iter().chain(numbers.map(Column::numbers)).collect(),
        rows,
        notes: vec![
            "Accuracies and shares are times 100; ± is half of the 95 % confidence interval.".to_owned(),
            "Under attack: examples still labelled right. Words changed: share of the words in successful attacks. Queries: questions to the model per attacked example.".to_owned(),
        ],
    })
}

/// One chart for each attack: the models' accuracies under it.
pub(super) fn charts(comparison: &Comparison) -> Vec<Chart> {
    let chart = |(name, victims): (&str, Vec<Victim<'_>>)| {
        let bar = |(attack, model): &Victim<'_>| {
            let cell = Cell::Score(attack.metrics.summary.accuracy_under_attack);
            let known = model.map(|model| (model, comparison.models[model].name()));
            let (color, name) =
                known.unwrap_or((comparison.models.len(), attack.metrics.victim.clone()));
            Bar {
                name,
                color,
                value: 100.0 * attack.metrics.summary.accuracy_under_attack.value,
                range: cell.range().map(|(low, high)| (100.0 * low, 100.0 * high)),
                text: cell.text(),
            }
        };
        Chart::Bars(BarChart {
            title: format!("Accuracy under {name}"),
            value_label: "accuracy, times 100".to_owned(),
            mark: BarMark::Dots,
            bars: victims.iter().map(bar).collect(),
        })
    };
    by_attack(comparison).into_iter().map(chart).collect()
}
