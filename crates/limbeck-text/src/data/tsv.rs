use super::columns::Selection;
use super::csv::table;
use super::line::FileLines;
use super::row::{Parsed, Source};
use super::{DataSpec, SkipReason, SkippedRow};
use crate::{Text, TextError};

/// Reads tab-separated rows without quoting.
pub(super) fn open(spec: &DataSpec) -> Result<Source, TextError> {
    let delimiter = spec.delimiter.unwrap_or('\t');
    let cells =
        move |text: String| -> Vec<String> { text.split(delimiter).map(str::to_owned).collect() };
    let records = FileLines::open(&spec.path)?;
    let records = records.map(move |line| line.map(|(line, text)| (line, cells(text))));
    table(spec, Box::new(records))
}

/// Reads `label<TAB>text` and `label<TAB>first<TAB>second`; all rows have the shape of the first.
pub(super) fn open_label_text(spec: &DataSpec) -> Result<Source, TextError> {
    let delimiter = spec.delimiter.unwrap_or('\t');
    // A blank occurs inside texts, so there only the first one separates.
    let limit = if delimiter == ' ' { 2 } else { usize::MAX };
    let path = spec.path.clone();
    let mut width = None;
    let rows = FileLines::open(&spec.path)?.map(move |line| {
        let (line, text) = line?;
        if text.trim().is_empty() {
            let reason = SkipReason::Blank;
            return Ok(Parsed::Skipped(SkippedRow { line, reason }));
        }
        let fields: Vec<&str> = text.splitn(limit, delimiter).collect();
        let expected = *width.get_or_insert(fields.len().clamp(2, 3));
        if fields.len() != expected {
            return Err(TextError::ColumnCount {
                path: path.clone(),
                line,
                found: fields.len(),
                expected,
            });
        }
        let selection = Selection {
            first: 1,
            second: (expected == 3).then_some(2),
            label: Some(0),
            id: None,
        };
        Ok(Parsed::Row(selection.row(line, &fields)))
    });
    Ok(Source::plain(spec.path.clone(), Box::new(rows)))
}

/// Reads a text per line, the second of a pair after a tab. A blank line is an empty text.
pub(super) fn open_lines(spec: &DataSpec) -> Result<Source, TextError> {
    let path = spec.path.clone();
    let rows = FileLines::open(&spec.path)?.map(move |line| {
        let (line, text) = line?;
        let text = parse_line(&path, line, &text)?;
        Ok(Parsed::Row(super::row::Row {
            line,
            text,
            label: None,
            id: None,
        }))
    });
    Ok(Source::plain(spec.path.clone(), Box::new(rows)))
}

/// One line of [`open_lines`].
pub(super) fn parse_line(path: &std::path::Path, line: u64, text: &str) -> Result<Text, TextError> {
    let fields: Vec<&str> = text.split('\t').map(str::trim).collect();
    match fields[..] {
        [first] => Ok(Text::single(first)),
        [first, second] => Ok(Text::pair(first, second)),
        _ => Err(TextError::ColumnCount {
            path: path.to_owned(),
            line,
            found: fields.len(),
            expected: 2,
        }),
    }
}
