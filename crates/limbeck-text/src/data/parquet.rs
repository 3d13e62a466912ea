use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use serde_json::Value;

use super::DataSpec;
use super::columns::Selection;
use super::jsonl::plain_number;
use super::line;
use super::row::{Parsed, Row, Source};
use crate::{TaskKind, Text, TextError};

/// Reads the wanted columns of a parquet file, row by row.
///
/// A file of Hugging Face's `datasets` names its classes in its metadata; they are taken from there.
pub(super) fn open(spec: &DataSpec) -> Result<Source, TextError> {
    let path = spec.path.clone();
    let fail = |source| TextError::Parquet {
        path: path.clone(),
        source,
    };
    let file = line::open(&path)?.into_parts().0;
    let length = file.metadata()?.len();
    let reader = guarded(|| SerializedFileReader::new(file)).map_err(fail)?;
    check_ranges(reader.metadata(), length).map_err(fail)?;
    let metadata = reader.metadata().file_metadata();
    let fields = metadata.schema().get_fields().to_vec();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let selection = Selection::named(&path, &names, &spec.columns)?;
    let class_names = selection
        .label
        .and_then(|label| class_names(metadata, &names[label]));

    // The projection keeps the file's order, so the columns are found again by their place among the chosen.
    let places = [
        Some(selection.first),
        selection.second,
        selection.label,
        selection.id,
    ];
    let mut chosen: Vec<usize> = places.into_iter().flatten().collect();
    chosen.sort_unstable();
    chosen.dedup();
    let place = |index: usize| {
        chosen
            .iter()
            .position(|&kept| kept == index)
            .expect("was chosen above")
    };
    let columns = ParquetColumns {
        path: path.clone(),
        names: chosen.iter().map(|&index| names[index].clone()).collect(),
        selection: Selection {
            first: place(selection.first),
            second: selection.second.map(place),
            label: selection.label.map(place),
            id: selection.id.map(place),
        },
    };
    let projection = Type::group_type_builder(metadata.schema().name())
        .with_fields(
            chosen
                .iter()
                .map(|&index| Arc::clone(&fields[index]))
                .collect(),
        )
        .build()
        .map_err(fail)?;
    let mut decoded =
        guarded(|| RowIter::from_file_into(Box::new(reader)).project(Some(projection)))
            .map_err(fail)?;
    let decoded = std::iter::from_fn(move || guarded(|| decoded.next().transpose()).transpose());
    let rows = decoded
        .zip(1..)
        .map(move |(row, number)| columns.row(number, row));
    let mut source = Source::plain(path.clone(), Box::new(rows));
    if let Some(labels) = class_names {
        let numbered = labels
            .iter()
            .enumerate()
            .map(|(index, name)| (index.to_string(), name.clone()));
        source.names = numbered.collect::<HashMap<_, _>>();
        source.declared = Some(TaskKind::Classification { labels });
    }
    Ok(source)
}

/// Refuses columns that lie outside the file; the decoder asserts where it should report.
fn check_ranges(metadata: &ParquetMetaData, length: u64) -> Result<(), ParquetError> {
    let is_inside = |column: &ColumnChunkMetaData| {
        let start = column
            .dictionary_page_offset()
            .unwrap_or_else(|| column.data_page_offset());
        let end = start.checked_add(column.compressed_size());
        start >= 0 && column.compressed_size() >= 0 && end.is_some_and(|end| end as u64 <= length)
    };
    let mut columns = metadata
        .row_groups()
        .iter()
        .flat_map(RowGroupMetaData::columns);
    if columns.all(is_inside) {
        return Ok(());
    }
    Err(ParquetError::General(
        "a column lies outside the file".to_owned(),
    ))
}

/// Makes an error of a panic: on damaged files `parquet` 60 has assertions that fail.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let damaged = |_| Err(ParquetError::General("the data is damaged".to_owned()));
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(damaged)
}

/// The names under `info.features.LABEL.names` in the metadata Hugging Face's `datasets` writes.
fn class_names(metadata: &FileMetaData, label: &str) -> Option<Vec<String>> {
    let entries = metadata.key_value_metadata()?;
    let entry = entries.iter().find(|entry| entry.key == "huggingface")?;
    let info: Value = serde_json::from_str(entry.value.as_deref()?).ok()?;
    let names = info
        .get("info")?
        .get("features")?
        .get(label)?
        .get("names")?
        .as_array()?;
    names
        .iter()
        .map(|name| name.as_str().map(str::to_owned))
        .collect()
}

struct ParquetColumns {
    path: PathBuf,
    /// Of the chosen columns.
    names: Vec<String>,
    selection: Selection,
}

impl ParquetColumns {
    fn row(
        &self,
        line: u64,
        row: Result<parquet::record::Row, ParquetError>,
    ) -> Result<Parsed, TextError> {
        let row = row.map_err(|source| TextError::Parquet {
            path: self.path.clone(),
            source,
        })?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let wrong_type = |index: usize, expected| TextError::FieldType {
            path: self.path.clone(),
            line,
            column: self.names[index].clone(),
            found: fields
                .get(index)
                .map_or_else(|| "nothing".to_owned(), |field| format!("`{field}`")),
            expected,
        };
        let text = |index: usize| match fields.get(index).copied().and_then(as_text) {
            Some(text) => Ok(text.trim().to_owned()),
            None => Err(wrong_type(index, "text")),
        };
        let scalar = |index: usize| match fields.get(index) {
            Some(Field::Null) => Ok(None),
            Some(field) => match as_scalar(field) {
                Some(value) => Ok(Some(value.trim().to_owned())),
                None => Err(wrong_type(index, "text, a number or true/false")),
            },
            None => Err(wrong_type(index, "text, a number or true/false")),
        };
        let selection = &self.selection;
        Ok(Parsed::Row(Row {
            line,
            text: Text {
                first: text(selection.first)?,
                second: selection.second.map(text).transpose()?,
            },
            label: selection
                .label
                .map(scalar)
                .transpose()?
                .flatten()
                .filter(|label| !label.is_empty()),
            id: selection.id.map(scalar).transpose()?.flatten(),
        }))
    }
}

/// Some writers leave out the note that bytes are UTF-8.
fn as_text(field: &Field) -> Option<&str> {
    match field {
        Field::Str(text) => Some(text),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).ok(),
        _ => None,
    }
}

fn as_scalar(field: &Field) -> Option<String> {
    match field {
        Field::Bool(value) => Some(value.to_string()),
        Field::Byte(value) => Some(value.to_string()),
        Field::Short(value) => Some(value.to_string()),
        Field::Int(value) => Some(value.to_string()),
        Field::Long(value) => Some(value.to_string()),
        Field::UByte(value) => Some(value.to_string()),
        Field::UShort(value) => Some(value.to_string()),
        Field::UInt(value) => Some(value.to_string()),
        Field::ULong(value) => Some(value.to_string()),
        Field::Float(value) => Some(plain_number(f64::from(*value))),
        Field::Double(value) => Some(plain_number(*value)),
        other => as_text(other).map(str::to_owned),
    }
}
