use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::Selection;
use super::line::FileLines;
use super::row::{Parsed, Row, Source};
use super::{Columns, DataSpec, SkipReason, SkippedRow};
use crate::{Text, TextError};

/// Reads a JSON object per line. The first one says which keys there are; a later one may lack its label.
pub(super) fn open(spec: &DataSpec) -> Result<Source, TextError> {
    let path = spec.path.clone();
    let columns = spec.columns.clone();
    let mut keys: Option<Keys> = None;
    let rows = FileLines::open(&spec.path)?.map(move |line| {
        let (line, text) = line?;
        if text.trim().is_empty() {
            let reason = SkipReason::Blank;
            return Ok(Parsed::Skipped(SkippedRow { line, reason }));
        }
        let object: Map<String, Value> =
            serde_json::from_str(&text).map_err(|problem| TextError::MalformedJson {
                path: path.clone(),
                line,
                problem,
            })?;
        let keys = match &mut keys {
            Some(keys) => keys,
            none => none.insert(Keys::find(&path, &object, &columns)?),
        };
        keys.row(line, &object).map(Parsed::Row)
    });
    Ok(Source::plain(spec.path.clone(), Box::new(rows)))
}

struct Keys {
    path: PathBuf,
    first: String,
    second: Option<String>,
    label: String,
    id: Option<String>,
}

impl Keys {
    fn find(path: &Path, object: &Map<String, Value>, wanted: &Columns) -> Result<Self, TextError> {
        let names: Vec<String> = object.keys().cloned().collect();
        let selection = Selection::named(path, &names, wanted)?;
        let name = |index: usize| names[index].clone();
        Ok(Self {
            path: path.to_owned(),
            first: name(selection.first),
            second: selection.second.map(name),
            // Not there in the first object does not mean in none.
            label: selection.label.map_or_else(|| "label".to_owned(), name),
            id: selection.id.map(name),
        })
    }

    fn row(&self, line: u64, object: &Map<String, Value>) -> Result<Row, TextError> {
        let text = |key: &str| match object.get(key) {
            Some(Value::String(text)) => Ok(text.trim().to_owned()),
            other => Err(self.wrong_type(line, key, other, "a string")),
        };
        let scalar = |key: &str| match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(Value::Bool(value)) => Ok(Some(value.to_string())),
            Some(Value::Number(number)) => Ok(Some(match number.as_f64() {
                Some(float) if number.is_f64() => plain_number(float),
                _ => number.to_string(),
            })),
            other => Err(self.wrong_type(line, key, other, "a string, a number or true/false")),
        };
        Ok(Row {
            line,
            text: Text {
                first: text(&self.first)?,
                second: self.second.as_deref().map(text).transpose()?,
            },
            label: scalar(&self.label)?.filter(|label| !label.is_empty()),
            id: self.id.as_deref().map(scalar).transpose()?.flatten(),
        })
    }

    fn wrong_type(
        &self,
        line: u64,
        key: &str,
        found: Option<&Value>,
        expected: &'static str,
    ) -> TextError {
        let found = match found {
            None => "nothing",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a string",
            Some(Value::Array(_)) => "a list",
            Some(Value::Object(_)) => "an object",
        };
        TextError::FieldType {
            path: self.path.clone(),
            line,
            column: key.to_owned(),
            found: found.to_owned(),
            expected,
        }
    }
}

/// A whole number without its `.0`: tools write class 1 as `1.0` once a column has gaps.
pub(super) fn plain_number(value: f64) -> String {
    let is_whole = value.fract() == 0.0 && value.abs() < 1e15;
    if is_whole {
        return (value as i64).to_string();
    }
    value.to_string()
}
