use limbeck_text::wilson_interval;
use serde::{Deserialize, Serialize};

use crate::attack_record::AttackOutcome;
use crate::number;
use crate::{Align, AttackRecord, Cell, Column, Interval, Score, Table};

/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_985;

/// What an attack's summary needs to know of one example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttackCounts {
    /// How the attack ended.
    pub outcome: AttackOutcome,
    /// Words of the original.
    pub words: u64,
    /// Words that differ, place by place over the common length.
    pub words_changed: u64,
    /// Questions to the model.
    pub queries: u64,
}

impl From<&AttackRecord> for AttackCounts {
    fn from(record: &AttackRecord) -> Self {
        Self {
            outcome: record.outcome,
            words: record.words,
            words_changed: record.words_changed,
            queries: record.queries,
        }
    }
}

/// The numbers of an attack on a data set, with `TextAttack`'s denominators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttackSummary {
    /// Examples, skipped ones included.
    pub examples: u64,
    /// Attacks that reached their goal.
    pub succeeded: u64,
    /// Attacks that did not.
    pub failed: u64,
    /// Examples that the model got wrong without any attack.
    pub skipped: u64,
    /// `(examples − skipped) / examples`, with its Wilson interval at 95 %.
    pub original_accuracy: Score,
    /// `failed / examples`, with its interval.
    pub accuracy_under_attack: Score,
    /// `succeeded / (succeeded + failed)`, with its interval; 0 where nothing was attacked.
    pub attack_success_rate: Score,
    /// The mean of changed words over words of the original, over successes with a changed word; `NaN` where there is none.
    #[serde(with = "number")]
    pub perturbed_word_fraction: f64,
    /// Words per example, over all.
    #[serde(with = "number")]
    pub words_per_input: f64,
    /// Questions per example, over those that were not skipped; `NaN` where all were.
    #[serde(with = "number")]
    pub queries_per_attack: f64,
    /// How many successes changed 1, 2, .. words.
    pub words_changed: Vec<u64>,
}

/// Sums up examples one by one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttackTotals {
    succeeded: u64,
    failed: u64,
    skipped: u64,
    words: u64,
    queries: u64,
    changed_fractions: Vec<f64>,
    words_changed: Vec<u64>,
}

impl AttackTotals {
    /// Counts one example.
    pub fn add(&mut self, example: AttackCounts) {
        *match example.outcome {
            AttackOutcome::Succeeded => &mut self.succeeded,
            AttackOutcome::Failed => &mut self.failed,
            AttackOutcome::Skipped => &mut self.skipped,
        } += 1;
        self.words += example.words;
        if example.outcome != AttackOutcome::Skipped {
            self.queries += example.queries;
        }
        let changed = example.words_changed as usize;
        if example.outcome == AttackOutcome::Succeeded && changed > 0 {
            let fraction = changed as f64 / example.words as f64;
            self.changed_fractions.push(fraction);
            if self.words_changed.len() < changed {
                self.words_changed.resize(changed, 0);
            }
            self.words_changed[changed - 1] += 1;
        }
    }

    /// The numbers.
    pub fn summary(&self) -> AttackSummary {
        let attacked = self.succeeded + self.failed;
        let examples = attacked + self.skipped;
        let fractions = &self.changed_fractions;
        AttackSummary {
            examples,
            succeeded: self.succeeded,
            failed: self.failed,
            skipped: self.skipped,
            original_accuracy: share(attacked, examples),
            accuracy_under_attack: share(self.failed, examples),
            attack_success_rate: share(self.succeeded, attacked),
            perturbed_word_fraction: fractions.iter().sum::<f64>() / fractions.len() as f64,
            words_per_input: self.words as f64 / examples as f64,
            queries_per_attack: self.queries as f64 / attacked as f64,
            words_changed: self.words_changed.clone(),
        }
    }
}

impl FromIterator<AttackCounts> for AttackTotals {
    fn from_iter<I: IntoIterator<Item = AttackCounts>>(examples: I) -> Self {
        let mut totals = Self::default();
        for example in examples {
            totals.add(example);
        }
        totals
    }
}

/// A share with its Wilson interval; 0 of 0 is 0, without one.
fn share(part: u64, whole: u64) -> Score {
    if whole == 0 {
        return Score {
            value: 0.0,
            interval: None,
        };
    }
    let interval = wilson_interval(part, whole, Z_95);
    Score {
        value: part as f64 / whole as f64,
        interval: Some(Interval {
            low: interval.low,
            high: interval.high,
        }),
    }
}

impl AttackSummary {
    /// Attacks as the rows of a table: `name` and its numbers each.
    pub fn table<'a>(rows: impl IntoIterator<Item = (String, &'a Self)>) -> Table {
        let number = |name: &str| Column {
            name: name.to_owned(),
            align: Align::Right,
        };
        let columns = [
            "examples",
            "succeeded",
            "failed",
            "skipped",
            "accuracy %",
            "under attack %",
            "success rate %",
            "words changed %",
            "words per input",
            "queries per attack",
        ];
        let row = |(name, summary): (String, &Self)| {
            let text = |value: f64, factor: f64| match value {
                value if value.is_nan() => Cell::Missing,
                value => Cell::Text(format!("{:.2}", factor * value)),
            };
            let count = |count: u64| Cell::Text(count.to_string());
            vec![
                Cell::Text(name),
                count(summary.examples),
                count(summary.succeeded),
                count(summary.failed),
                count(summary.skipped),
                Cell::Score(summary.original_accuracy),
                Cell::Score(summary.accuracy_under_attack),
                Cell::Score(summary.attack_success_rate),
                text(summary.perturbed_word_fraction, 100.0),
                text(summary.words_per_input, 1.0),
                text(summary.queries_per_attack, 1.0),
            ]
        };
        Table {
            columns: std::iter::once(Column::words("attack"))
                .chain(columns.map(number))
                .collect(),
            rows: rows.into_iter().map(row).collect(),
            notes: vec!["± is half of a 95 % Wilson interval.".to_owned()],
        }
    }
}

/// What a finished attack run has reached: its `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AttackMetrics {
    /// The task's name.
    pub task: String,
    /// The attacked model.
    pub victim: String,
    /// The attack's name.
    pub attack: String,
    /// The data set's name.
    pub split: String,
    /// Label names in the order of the model's outputs.
    pub labels: Vec<String>,
    /// Sentence encoder, tagger, vectors and language model that the attack used, by the part each played.
    pub resources: std::collections::BTreeMap<String, String>,
    /// The numbers.
    pub summary: AttackSummary,
    /// Examples per second, over the last session.
    #[serde(with = "number")]
    pub examples_per_s: f64,
    /// Questions to the model per second, over the last session.
    #[serde(with = "number")]
    pub queries_per_s: f64,
    /// Seconds of the last session.
    #[serde(with = "number")]
    pub wall_time_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(
        outcome: AttackOutcome,
        words: u64,
        words_changed: u64,
        queries: u64,
    ) -> AttackCounts {
        AttackCounts {
            outcome,
            words,
            words_changed,
            queries,
        }
    }

    #[test]
    fn denominators_are_the_peers() {
        use AttackOutcome::{Failed, Skipped, Succeeded};
        let totals: AttackTotals = [
            example(Succeeded, 10, 1, 30),
            example(Succeeded, 10, 3, 50),
            example(Succeeded, 10, 0, 40),
            example(Failed, 20, 5, 60),
            example(Skipped, 30, 0, 1),
        ]
        .into_iter()
        .collect();
        let summary = totals.summary();
        assert_eq!(summary.original_accuracy.value, 0.8);
        assert_eq!(summary.accuracy_under_attack.value, 0.2);
        assert_eq!(summary.attack_success_rate.value, 0.75);
        assert_eq!(summary.perturbed_word_fraction, 0.2);
        assert_eq!(summary.words_per_input, 16.0);
        assert_eq!(summary.queries_per_attack, 45.0);
        assert_eq!(summary.words_changed, [1, 0, 1]);
    }

    #[test]
    fn an_empty_attack_has_numbers_too() {
        let summary = AttackTotals::default().summary();
        assert_eq!(summary.attack_success_rate.value, 0.0);
        assert!(summary.perturbed_word_fraction.is_nan());
    }
}
