use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One attacked example: a line of `attack.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AttackRecord {
    /// The example's id in its data set.
    pub id: u64,
    /// How the attack ended.
    pub outcome: AttackOutcome,
    /// The text before the attack.
    pub original: AttackedText,
    /// The text in the end; after a failure partly edited, or the original.
    pub perturbed: AttackedText,
    /// The true label, counted from 0.
    pub gold: u32,
    /// How near the original was to the attack's goal, in `[0, 1]`.
    pub original_score: f64,
    /// How near the perturbed text is to it.
    pub perturbed_score: f64,
    /// The model's probabilities for the original.
    pub original_probabilities: Vec<f64>,
    /// Its probabilities for the perturbed text.
    pub perturbed_probabilities: Vec<f64>,
    /// Questions to the model, repeated ones included.
    pub queries: u64,
    /// Words of the original.
    pub words: u64,
    /// Words that differ, place by place over the common length.
    pub words_changed: u64,
    /// How alike the sentence encoder found the last edit, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
    /// The limit that ended the attack: `query-budget` or `time-limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

/// How the attack of an example ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackOutcome {
    /// The goal was reached.
    Succeeded,
    /// It was not.
    Failed,
    /// The model erred without any attack.
    Skipped,
}

impl AttackOutcome {
    /// The word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A text with the words marked that an attack changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AttackedText {
    /// Name and text of each column, in the order in which the model reads them.
    pub columns: Vec<(String, String)>,
    /// The changed words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// A changed word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mark {
    /// The column, counted from 0.
    pub column: usize,
    /// Its first byte in the column's text.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

impl AttackedText {
    /// The pieces of column `column`: bytes, and whether they are a changed word.
    pub fn pieces(&self, column: usize) -> impl Iterator<Item = (&str, bool)> {
        let text = self.columns[column].1.as_str();
        let mut at = 0;
        let mut ranges: Vec<(Range<usize>, bool)> = Vec::new();
        for mark in self.marks.iter().filter(|mark| mark.column == column) {
            ranges.push((at..mark.start, false));
            ranges.push((mark.start..mark.end, true));
            at = mark.end;
        }
        ranges.push((at..text.len(), false));
        let pieces = ranges.into_iter().filter_map(|(range, is_changed)| {
            // A file changed by hand may hold marks outside the text.
            let piece = text.get(range)?;
            (!piece.is_empty()).then_some((piece, is_changed))
        });
        pieces.collect::<Vec<_>>().into_iter()
    }

    /// The columns' texts.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|(_, text)| text.as_str())
    }
}
