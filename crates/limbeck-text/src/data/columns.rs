use std::path::Path;

use super::row::Row;
use super::{Column, Columns};
use crate::{Text, TextError};

/// The usual names of a sentence or pair, the likeliest first.
const USUAL_TEXTS: [(&str, Option<&str>); 7] = [
    ("text", Some("text_pair")),
    ("sentence1", Some("sentence2")),
    ("premise", Some("hypothesis")),
    ("question1", Some("question2")),
    ("question", Some("sentence")),
    ("sentence", None),
    ("question", None),
];
const USUAL_LABEL: &str = "label";

/// Where in a row the wanted columns are, counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selection {
    pub(super) first: usize,
    pub(super) second: Option<usize>,
    pub(super) label: Option<usize>,
    pub(super) id: Option<usize>,
}

impl Selection {
    /// Finds the columns by their names in a header.
    pub(super) fn named(
        path: &Path,
        names: &[String],
        wanted: &Columns,
    ) -> Result<Self, TextError> {
        let find = |role: &'static str, column: &Column| {
            let index = match column {
                Column::Name(name) => names.iter().position(|known| known == name),
                Column::Number(number) => place(*number, names.len()),
            };
            index.ok_or_else(|| missing(path, role, Some(column), names))
        };
        let usual = |name: &str| names.iter().position(|known| known == name);
        let optional = |role, column: &Option<Column>| {
            column.as_ref().map(|column| find(role, column)).transpose()
        };
        let (first, usual_second) = match &wanted.text {
            Some(column) => (find("text", column)?, None),
            None => usual_texts(names).ok_or_else(|| missing(path, "text", None, names))?,
        };
        Ok(Self {
            first,
            second: optional("text-pair", &wanted.text_pair)?.or(usual_second),
            label: optional("label", &wanted.label)?.or_else(|| usual(USUAL_LABEL)),
            id: optional("id", &wanted.id)?,
        })
    }

    /// Takes the columns by number in a file of `width` columns without a header.
    pub(super) fn numbered(path: &Path, width: usize, wanted: &Columns) -> Result<Self, TextError> {
        let numbers: Vec<String> = (1..=width).map(|number| number.to_string()).collect();
        let only = (width == 1).then_some(Column::Number(1));
        let wanted = Columns {
            text: wanted.text.clone().or(only),
            ..wanted.clone()
        };
        // The numbers are the names here, so `text = "3"` finds its column as well.
        Self::named(path, &numbers, &wanted)
    }

    /// The row made of `fields`, which are as many as the header's.
    pub(super) fn row(&self, line: u64, fields: &[impl AsRef<str>]) -> Row {
        let field = |index: usize| fields[index].as_ref().trim().to_owned();
        Row {
            line,
            text: Text {
                first: field(self.first),
                second: self.second.map(field),
            },
            label: self.label.map(field).filter(|label| !label.is_empty()),
            id: self.id.map(field),
        }
    }
}

/// Whether a first line looks like a header: it has one of the usual names.
pub(super) fn is_usual_name(cell: &str) -> bool {
    let is_text = |&(first, second): &(&str, Option<&str>)| first == cell || second == Some(cell);
    cell == USUAL_LABEL || USUAL_TEXTS.iter().any(is_text)
}

fn usual_texts(names: &[String]) -> Option<(usize, Option<usize>)> {
    let position = |name: &str| names.iter().position(|known| known == name);
    USUAL_TEXTS.iter().find_map(|&(first, second)| {
        let pair = second.and_then(position);
        // `text` may stand alone; `question` stands for a pair only if `sentence` is there too.
        let is_complete = second.is_none() || pair.is_some() || first == "text";
        is_complete.then_some((position(first)?, pair))
    })
}

fn place(number: usize, width: usize) -> Option<usize> {
    (1..=width).contains(&number).then(|| number - 1)
}

fn missing(
    path: &Path,
    role: &'static str,
    wanted: Option<&Column>,
    found: &[String],
) -> TextError {
    TextError::MissingColumn {
        path: path.to_owned(),
        role,
        wanted: wanted.map(Column::to_string),
        found: found.to_vec(),
    }
}
