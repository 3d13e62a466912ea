//! From an attack's result to a line of `attack.jsonl`.

use limbeck_attack::{AttackResult, Case, Outcome, StopReason};
use limbeck_report::{AttackOutcome, AttackRecord, AttackedText, Mark};
use limbeck_text::edit::WordText;

/// The record of one attacked example.
pub(super) fn record(case: &Case, result: &AttackResult) -> AttackRecord {
    let (gone, come) = result.changed_words();
    let stopped_by = result.stopped_by.map(|reason| match reason {
        StopReason::QueryBudget => "query-budget".to_owned(),
        StopReason::TimeLimit => "time-limit".to_owned(),
    });
    AttackRecord {
        id: case.id,
        outcome: match result.outcome {
            Outcome::Succeeded => AttackOutcome::Succeeded,
            Outcome::Failed => AttackOutcome::Failed,
            Outcome::Skipped => AttackOutcome::Skipped,
        },
        original: attacked(&result.original.text, &gone),
        perturbed: attacked(&result.perturbed.text, &come),
        gold: case.gold,
        original_score: result.original.score,
        perturbed_score: result.perturbed.score,
        original_probabilities: result.original.answer.probabilities().to_vec(),
        perturbed_probabilities: result.perturbed.answer.probabilities().to_vec(),
        queries: result.query_count,
        words: result.original.text.word_count() as u64,
        words_changed: result.words_changed() as u64,
        similarity: result.perturbed.text.similarity,
        stopped_by,
    }
}

fn attacked(text: &WordText, changed: &[usize]) -> AttackedText {
    let columns: Vec<(String, String)> = text
        .columns()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let mark = |&index: &usize| {
        let column = text.column_of(index);
        // Columns are joined by one byte.
        let before: usize = columns[..column]
            .iter()
            .map(|(_, text)| text.len() + 1)
            .sum();
        let span = text.span(index);
        Mark {
            column,
            start: span.start - before,
            end: span.end - before,
        }
    };
    AttackedText {
        marks: changed.iter().map(mark).collect(),
        columns,
    }
}
