use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::DataSpec;
use crate::{Example, TaskKind, Text, TextError};

/// The examples of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Where they came from.
    pub path: PathBuf,
    /// In file order; never empty.
    pub examples: Vec<Example>,
    /// What their labels are.
    pub kind: TaskKind,
    /// The id column's value for each example; empty if `columns.id` is not set.
    pub source_ids: Vec<String>,
    /// The rows left out, and why.
    pub skipped: Vec<SkippedRow>,
}

/// Where the label set comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelSource {
    /// From the file itself, in the order of [`sort_labels`](crate::sort_labels); a GLUE file gives its task's own labels.
    Infer,
    /// These names in class order; any other is an error.
    Names(Vec<String>),
    /// Labels are numbers: a regression.
    Scores,
}

impl From<&TaskKind> for LabelSource {
    fn from(kind: &TaskKind) -> Self {
        match kind {
            TaskKind::Classification { labels } => Self::Names(labels.clone()),
            TaskKind::Regression => Self::Scores,
        }
    }
}

/// A row that gave no example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRow {
    /// 1-based line; the row in a parquet file.
    pub line: u64,
    /// Why.
    pub reason: SkipReason,
}

/// Why a row gave no example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// Nothing on the line.
    Blank,
    /// A text is empty.
    EmptyText,
    /// Too few columns, in a set known to have such rows (QQP).
    TooFewColumns,
    /// The annotators did not agree (`-` in natural language inference).
    NoGoldLabel,
    /// The rating is neither high nor low enough for the label rule.
    BetweenThresholds,
}

/// Reads a whole file.
pub fn read_examples(_spec: &DataSpec, _labels: &LabelSource) -> Result<Dataset, TextError> {
    unimplemented!()
}

/// Reads a file of texts whose labels, if any, do not matter. No row is skipped, so text `i` is row `i`.
pub fn read_texts(_spec: &DataSpec) -> Result<Vec<Text>, TextError> {
    unimplemented!()
}

/// A text per line, a tab between the two of a pair; for standard input.
pub fn text_lines<R: BufRead>(
    _input: R,
    _name: &Path,
) -> impl Iterator<Item = Result<Text, TextError>> + use<R> {
    std::iter::empty()
}

/// Reads a file example by example; for files larger than memory.
pub struct ExampleReader {
    kind: TaskKind,
    skipped: Vec<SkippedRow>,
}

impl ExampleReader {
    /// Opens the file. With [`LabelSource::Infer`] it is read once before, for its labels.
    pub fn open(_spec: &DataSpec, _labels: &LabelSource) -> Result<Self, TextError> {
        unimplemented!()
    }

    /// What the labels are.
    pub fn kind(&self) -> &TaskKind {
        &self.kind
    }

    /// The rows left out so far.
    pub fn skipped(&self) -> &[SkippedRow] {
        &self.skipped
    }
}

impl Iterator for ExampleReader {
    type Item = Result<Example, TextError>;
    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

impl Dataset {
    /// Fails unless every example has a label.
    pub fn require_labels(&self) -> Result<(), TextError> {
        unimplemented!()
    }

    /// Fails unless every example has a label and a classification has at least two classes to learn.
    pub fn require_trainable(&self) -> Result<(), TextError> {
        unimplemented!()
    }
}
