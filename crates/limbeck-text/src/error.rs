use std::path::PathBuf;

use crate::{Format, Resource};

/// What can go wrong with text, labels and metrics.
///
/// A message says where, what was found, what was expected and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The data file does not exist.
    #[error("{}: no such file; check `path`", .path.display())]
    MissingFile {
        /// The file asked for.
        path: PathBuf,
    },

    /// The file or folder could not be read or written; the source names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A line is not UTF-8.
    #[error("{}:{line}: not valid UTF-8 after byte {valid_bytes} of the line; convert the file, e.g. with `iconv -t utf-8`", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// Bytes of the line before the first bad one.
        valid_bytes: usize,
    },

    /// The format was left to be guessed and nothing gives it away.
    #[error("{}: cannot tell the format from the name or the first line; set `format` to one of {}", .path.display(), Format::NAMES)]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },

    /// Format `glue` needs the task, and the folder is not named after one.
    #[error("{}: the folder is not named after a GLUE task; set `glue-task`, e.g. `sst-2`", .path.display())]
    UnknownGlueTask {
        /// The file.
        path: PathBuf,
    },

    /// A column is not there.
    #[error("{}: no {role} column{}; the columns are {found:?}; set `columns.{role}`", .path.display(), .wanted.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// `text`, `text-pair`, `label` or `id`.
        role: &'static str,
        /// The name or number asked for; `None` when the usual names were tried.
        wanted: Option<String>,
        /// The columns there are.
        found: Vec<String>,
    },

    /// A row has too many or too few columns.
    #[error("{}:{line}: {found} columns, expected {expected}; fix the row or set `delimiter` and `format`", .path.display())]
    ColumnCount {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// Columns in this row.
        found: usize,
        /// Columns in the header, the first row or the task's description.
        expected: usize,
    },

    /// A quoted csv field is broken.
    #[error("{}:{line}: {problem}; quote the whole field and double the quotes inside it", .path.display())]
    MalformedCsv {
        /// The file.
        path: PathBuf,
        /// 1-based line where the row starts.
        line: u64,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A line of a jsonl file is not a JSON object.
    #[error("{}:{line}: not a JSON object: {}; write one object per line", .path.display(), in_one_line(.problem))]
    MalformedJson {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// The parser's complaint; no `source`, since its count of lines would mislead.
        problem: serde_json::Error,
    },

    /// A parquet file could not be opened or decoded.
    #[error("{}: not a readable parquet file: {source}; it may be truncated or use an unsupported compression", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The decoder's complaint.
        source: parquet::errors::ParquetError,
    },

    /// A line of a file about words (WordNet, a tagger's model) is not what its format says.
    #[error("{}:{line}: {problem}; fetch or make the file again", .path.display())]
    LexiconLine {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// What was found and expected.
        problem: String,
    },

    /// A file about words contradicts itself or another.
    #[error("{}: {problem}; fetch or make the file again", .path.display())]
    LexiconFile {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },

    /// A value has a type that is neither text nor a label.
    #[error("{}:{line}: column `{column}` holds {found}, expected {expected}; fix the row or name another column", .path.display())]
    FieldType {
        /// The file.
        path: PathBuf,
        /// 1-based line; the row in a parquet file.
        line: u64,
        /// The column.
        column: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },

    /// A label is not in the label set.
    #[error("{}:{line}: label `{found}` is not one of {known:?}; list it under `labels`, translate it with `label-map` or fix the row", .path.display())]
    UnknownLabel {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// The label.
        found: String,
        /// The label set.
        known: Vec<String>,
    },

    /// A label is not a number where one is needed.
    #[error("{}:{line}: label `{found}` is not a number, as regression and label rules need; fix the row or make the task a classification", .path.display())]
    LabelNotANumber {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// The label.
        found: String,
    },

    /// A score is infinite, not a number, or outside what the task allows.
    #[error("{}:{line}: score `{found}` is not {expected}; fix or remove the row", .path.display())]
    ScoreOutOfRange {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// The score.
        found: String,
        /// What was expected.
        expected: &'static str,
    },

    /// No row is left.
    #[error("{}: no examples ({skipped} rows skipped); give a file with at least one", .path.display())]
    EmptyData {
        /// The file.
        path: PathBuf,
        /// Rows that were left out.
        skipped: usize,
    },

    /// Only one class occurs, so there is nothing to learn.
    #[error("{}: all {count} examples have label `{label}`; training needs at least two classes", .path.display())]
    OneClass {
        /// The file.
        path: PathBuf,
        /// The only label.
        label: String,
        /// How often.
        count: usize,
    },

    /// Labels are needed and not there.
    #[error("{}: {missing} of {total} examples have no label; use a labelled file, or name its column with `columns.label`", .path.display())]
    Unlabelled {
        /// The file.
        path: PathBuf,
        /// Examples without a label.
        missing: usize,
        /// All examples.
        total: usize,
    },

    /// Two parts of a run number their labels differently.
    #[error(
        "{left} has labels {left_labels:?} but {right} has {right_labels:?}; the same names in the same order are needed"
    )]
    LabelMapMismatch {
        /// Where the first map came from.
        left: String,
        /// The first map.
        left_labels: Vec<String>,
        /// Where the second map came from.
        right: String,
        /// The second map.
        right_labels: Vec<String>,
    },

    /// A setting contradicts another or itself.
    #[error("`{setting}`: {problem}")]
    Setting {
        /// The key in a run file.
        setting: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },

    /// A transformation, constraint or augmenter needs a resource that was not given.
    #[error(
        "`{user}` needs the resource `{resource}`, and there is none; name one or use another recipe"
    )]
    MissingResource {
        /// What is needed.
        resource: Resource,
        /// What needs it, as a run file names it.
        user: &'static str,
    },

    /// A metric was asked for labels of the wrong kind, of unequal number, or for none at all.
    #[error("{metric}: {problem}")]
    Metric {
        /// The metric's name in a run file.
        metric: &'static str,
        /// What is wrong.
        problem: String,
    },

    /// A table of probabilities is not one.
    #[error("probabilities: {problem}")]
    Probabilities {
        /// What is wrong.
        problem: String,
    },

    /// The predictions are not what the GLUE leaderboard takes.
    #[error("{file}: {problem}")]
    Submission {
        /// The file of the submission.
        file: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// A line is parsed on its own, so the parser counts one only.
fn in_one_line(problem: &serde_json::Error) -> String {
    problem.to_string().replace("at line 1 column", "at column")
}
