//! The words of an array's rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use super::{file_error, shortened};
use crate::ModelError;

/// Reads a list of words: `.parquet` with one column of text, `.json`, all else a word per line.
pub(super) fn open(path: &Path) -> Result<Vec<Option<String>>, ModelError> {
    let read = |source| ModelError::Read { source };
    if path
        .extension()
        .is_some_and(|extension| extension == "parquet")
    {
        let file = fs_err::File::open(path).map_err(read)?.into_parts().0;
        // On damaged files `parquet` 60 has assertions that fail.
        let column = catch_unwind(AssertUnwindSafe(|| text_column(file)));
        return column
            .unwrap_or_else(|_| Err(ParquetError::General("the data is damaged".to_owned())))
            .map_err(|error| {
                file_error(
                    path,
                    &format!("not a parquet file with one column of words: {error}"),
                )
            });
    }
    parse(&fs_err::read(path).map_err(read)?, path)
}

fn text_column(file: std::fs::File) -> Result<Vec<Option<String>>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let wrong = |found: &str| ParquetError::General(format!("found {found}"));
    let mut words = Vec::new();
    for row in reader.get_row_iter(None)? {
        let row = row?;
        let mut fields = row.get_column_iter();
        let (Some((_, field)), None) = (fields.next(), fields.next()) else {
            return Err(wrong("another number of columns"));
        };
        match field {
            Field::Str(word) => words.push(Some(word.clone())),
            // Some writers leave out the note that bytes are UTF-8.
            Field::Bytes(bytes) => words.push(String::from_utf8(bytes.data().to_vec()).ok()),
            Field::Null => words.push(None),
            _ => return Err(wrong("a column of another type")),
        }
    }
    Ok(words)
}

/// The word of each row; a row that a JSON object leaves out has none.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Option<String>>, ModelError> {
    let wrong = |problem: &str| file_error(path, problem);
    if path.extension().is_none_or(|extension| extension != "json") {
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(&error.to_string()))?;
        return Ok(text.lines().map(|word| Some(word.to_owned())).collect());
    }
    match serde_json::from_slice(bytes).map_err(|error| wrong(&error.to_string()))? {
        Value::Array(words) => {
            let word = |word: Value| word.as_str().map(|word| Some(word.to_owned()));
            let words: Option<Vec<Option<String>>> = words.into_iter().map(word).collect();
            words.ok_or_else(|| wrong("wanted a list of strings, found something else in it"))
        }
        Value::Object(rows) => {
            let mut words = vec![None; rows.len()];
            for (word, row) in rows {
                let row = row.as_u64().and_then(|row| words.get_mut(row as usize));
                let Some(row) = row.filter(|row| row.is_none()) else {
                    return Err(wrong(&format!(
                        "the row of `{}` is not a number of its own below the number of words",
                        shortened(&word)
                    )));
                };
                *row = Some(word);
            }
            Ok(words)
        }
        _ => Err(wrong(
            "wanted a list of words, or an object from word to row",
        )),
    }
}
