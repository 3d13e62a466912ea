use super::line::FileLines;
use super::row::Source;
use super::{Columns, DataSpec, Format, columns, csv, glue, jsonl, parquet, tsv};
use crate::TextError;

/// Opens a file of labelled or unlabelled examples.
pub(super) fn open(spec: &DataSpec) -> Result<Source, TextError> {
    let format = match spec.format {
        Format::Auto => detect(spec)?,
        stated => stated,
    };
    open_as(spec, format)
}

/// Opens a file of texts to predict; a file without a telling name has a text per line.
pub(super) fn open_texts(spec: &DataSpec) -> Result<Source, TextError> {
    let has_plain_name = matches!(extension(spec).as_str(), "" | "txt");
    let says_nothing = spec.columns == Columns::default() && spec.glue_task.is_none();
    let format = match spec.format {
        Format::Auto if has_plain_name && says_nothing => Format::Lines,
        // `label<TAB>text` and `first<TAB>second` look the same, so here it has to be stated.
        Format::Auto => match detect(spec)? {
            Format::LabelText => {
                let path = spec.path.clone();
                return Err(TextError::UnknownFormat { path });
            }
            format => format,
        },
        stated => stated,
    };
    open_as(spec, format)
}

fn open_as(spec: &DataSpec, format: Format) -> Result<Source, TextError> {
    match format {
        Format::Glue => glue::open(spec),
        Format::LabelText => tsv::open_label_text(spec),
        Format::Csv => csv::open(spec),
        Format::Tsv | Format::Auto => tsv::open(spec),
        Format::Jsonl => jsonl::open(spec),
        Format::Parquet => parquet::open(spec),
        Format::Lines => tsv::open_lines(spec),
    }
}

pub(super) fn detect(spec: &DataSpec) -> Result<Format, TextError> {
    let extension = extension(spec);
    match extension.as_str() {
        "csv" => return Ok(Format::Csv),
        "jsonl" | "ndjson" | "json" => return Ok(Format::Jsonl),
        "parquet" => return Ok(Format::Parquet),
        _ => {}
    }
    let is_glue = extension == "tsv" && glue::task_of(&spec.path).is_some();
    if spec.glue_task.is_some() || (is_glue && spec.columns == Columns::default()) {
        return Ok(Format::Glue);
    }
    if spec.has_header.is_some() || spec.columns != Columns::default() {
        return Ok(Format::Tsv);
    }
    let delimiter = spec.delimiter.unwrap_or('\t');
    let first_line = if let Some(line) = FileLines::open(&spec.path)?.next() {
        line?.1
    } else {
        let path = spec.path.clone();
        return Err(TextError::EmptyData { path, skipped: 0 });
    };
    let cells: Vec<&str> = first_line.split(delimiter).map(str::trim).collect();
    if cells.iter().any(|cell| columns::is_usual_name(cell)) {
        return Ok(Format::Tsv);
    }
    match cells.len() {
        2.. if delimiter == ' ' => Ok(Format::LabelText),
        2 | 3 => Ok(Format::LabelText),
        _ => Err(TextError::UnknownFormat {
            path: spec.path.clone(),
        }),
    }
}

/// In small letters; empty if there is none.
fn extension(spec: &DataSpec) -> String {
    let extension = spec.path.extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}
