use std::collections::HashMap;
use std::path::PathBuf;

use super::SkippedRow;
use crate::{TaskKind, Text, TextError};

/// A row as it stands in the file, trimmed.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// 1-based line; the row in a parquet file.
    pub(super) line: u64,
    pub(super) text: Text,
    /// `None` without a label column or with an empty cell.
    pub(super) label: Option<String>,
    pub(super) id: Option<String>,
}

/// What a format's reader makes of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    Row(Row),
    Skipped(SkippedRow),
}

pub(super) type Rows = Box<dyn Iterator<Item = Result<Parsed, TextError>> + Send>;

/// An opened file: its rows, and what it says about its own labels.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) rows: Rows,
    /// The labels the format or the file itself declares.
    pub(super) declared: Option<TaskKind>,
    /// From labels as they stand in the rows to declared names.
    pub(super) names: HashMap<String, String>,
    /// Scores of this file lie between 0 and 5.
    pub(super) is_sts: bool,
}

impl Source {
    /// A file that says nothing about its labels.
    pub(super) fn plain(path: PathBuf, rows: Rows) -> Self {
        Self {
            path,
            rows,
            declared: None,
            names: HashMap::new(),
            is_sts: false,
        }
    }
}
