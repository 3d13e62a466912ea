use std::path::{Path, PathBuf};

use super::columns::Selection;
use super::line::FileLines;
use super::row::{Parsed, Source};
use super::{DataSpec, SkipReason, SkippedRow};
use crate::TextError;

/// The rows of a table: 1-based line where the row starts, and its cells.
pub(super) type Records = Box<dyn Iterator<Item = Result<(u64, Vec<String>), TextError>> + Send>;

/// Reads comma-separated rows with quoted fields (RFC 4180).
pub(super) fn open(spec: &DataSpec) -> Result<Source, TextError> {
    let records = CsvRecords {
        lines: FileLines::open(&spec.path)?,
        path: spec.path.clone(),
        delimiter: spec.delimiter.unwrap_or(','),
    };
    table(spec, Box::new(records))
}

/// Finds the wanted columns in the header, or by number in the first row, and reads the rest by them.
pub(super) fn table(spec: &DataSpec, mut records: Records) -> Result<Source, TextError> {
    let path = spec.path.clone();
    let first = loop {
        match records.next() {
            None => return Err(TextError::EmptyData { path, skipped: 0 }),
            Some(Ok((_, cells))) if is_blank(&cells) => {}
            Some(record) => break record?,
        }
    };
    let width = first.1.len();
    let (selection, records): (_, Records) = if spec.has_header.unwrap_or(true) {
        let names: Vec<String> = first.1.iter().map(|name| name.trim().to_owned()).collect();
        (Selection::named(&path, &names, &spec.columns)?, records)
    } else {
        let selection = Selection::numbered(&path, width, &spec.columns)?;
        (
            selection,
            Box::new(std::iter::once(Ok(first)).chain(records)),
        )
    };
    let row_path = path.clone();
    let rows = records.map(move |record| {
        let (line, cells) = record?;
        if is_blank(&cells) {
            let reason = SkipReason::Blank;
            return Ok(Parsed::Skipped(SkippedRow { line, reason }));
        }
        if cells.len() != width {
            return Err(TextError::ColumnCount {
                path: row_path.clone(),
                line,
                found: cells.len(),
                expected: width,
            });
        }
        Ok(Parsed::Row(selection.row(line, &cells)))
    });
    Ok(Source::plain(path, Box::new(rows)))
}

fn is_blank(cells: &[String]) -> bool {
    matches!(cells, [only] if only.trim().is_empty())
}

/// Our own parser: it reports a quote that is never closed and the line a row starts at, which `csv` 1.4 does not.
///
/// A line end inside quotes is read as `\n`. A quote inside a field that does not start with one stands for itself.
struct CsvRecords {
    lines: FileLines,
    path: PathBuf,
    delimiter: char,
}

impl Iterator for CsvRecords {
    type Item = Result<(u64, Vec<String>), TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, line) = match self.lines.next()? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        Some(self.record(start, line).map(|cells| (start, cells)))
    }
}

impl CsvRecords {
    fn record(&mut self, start: u64, mut line: String) -> Result<Vec<String>, TextError> {
        let mut cells = Vec::new();
        let mut at = 0;
        loop {
            if line[at..].starts_with('"') {
                let (cell, end) = self.quoted(start, &mut line, at + 1)?;
                cells.push(cell);
                let after = &line[end..];
                if after.is_empty() {
                    return Ok(cells);
                }
                if !after.starts_with(self.delimiter) {
                    return Err(malformed(&self.path, start, "text after a closing quote"));
                }
                at = end + 1;
            } else if let Some((cell, _)) = line[at..].split_once(self.delimiter) {
                cells.push(cell.to_owned());
                at += cell.len() + 1;
            } else {
                cells.push(line[at..].to_owned());
                return Ok(cells);
            }
        }
    }

    /// The field from `at`, behind its opening quote, and the place behind its closing quote.
    ///
    /// A line end inside the quotes makes `line` the next one.
    fn quoted(
        &mut self,
        start: u64,
        line: &mut String,
        mut at: usize,
    ) -> Result<(String, usize), TextError> {
        let mut cell = String::new();
        loop {
            if let Some((part, after)) = line[at..].split_once('"') {
                cell.push_str(part);
                at += part.len() + 1;
                if !after.starts_with('"') {
                    return Ok((cell, at));
                }
                cell.push('"');
                at += 1;
            } else {
                cell.push_str(&line[at..]);
                cell.push('\n');
                let Some(next) = self.lines.next() else {
                    return Err(malformed(&self.path, start, "a quote is never closed"));
                };
                (*line, at) = (next?.1, 0);
            }
        }
    }
}

fn malformed(path: &Path, line: u64, problem: &'static str) -> TextError {
    TextError::MalformedCsv {
        path: path.to_owned(),
        line,
        problem,
    }
}
