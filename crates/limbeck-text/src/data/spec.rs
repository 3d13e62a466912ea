use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{format, glue};
use crate::{GlueTask, TextError};

/// Where examples are and how to read them. A run file states only what cannot be told from the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DataSpec {
    /// The file.
    pub path: PathBuf,
    /// Its format; `auto` tells it from the name and the first line.
    pub format: Format,
    /// The GLUE task whose layout the file has; `None` tells it from the folder's name. Only for format `glue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glue_task: Option<GlueTask>,
    /// Which column is what.
    pub columns: Columns,
    /// What separates columns, one ASCII character; `None` is a tab, and a comma in csv.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Whether the first row names the columns; `None` is yes for csv and tsv. The other formats have their own rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_header: Option<bool>,
    /// Translates labels as they stand in the file to label names, e.g. `{ "0" = "negative" }`; others stay as they are.
    pub label_map: BTreeMap<String, String>,
    /// Makes a label from a number; `None` takes the label as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_rule: Option<LabelRule>,
}

impl DataSpec {
    /// A file about which everything else can be told from its name and first line.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// A file of a GLUE task, wherever it lies.
    pub fn glue(path: impl Into<PathBuf>, task: GlueTask) -> Self {
        Self {
            format: Format::Glue,
            glue_task: Some(task),
            ..Self::new(path)
        }
    }

    /// The GLUE task in whose layout the file is read: the one stated, or the one its folder is named after.
    pub fn layout_task(&self) -> Option<GlueTask> {
        let is_plain_tsv = self.columns == Columns::default()
            && self
                .path
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
        match self.format {
            Format::Glue => self.glue_task.or_else(|| glue::task_of(&self.path)),
            Format::Auto if is_plain_tsv => self.glue_task.or_else(|| glue::task_of(&self.path)),
            Format::Auto => self.glue_task,
            _ => None,
        }
    }

    /// The format: the one stated, or told from the name and the first line as [`read_examples`](crate::read_examples) does.
    pub fn found_format(&self) -> Result<Format, TextError> {
        match self.format {
            Format::Auto => format::detect(self),
            stated => Ok(stated),
        }
    }

    pub(crate) fn check(&self) -> Result<(), TextError> {
        if let Some(delimiter) = self.delimiter
            && (!delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r'))
        {
            return Err(TextError::Setting {
                setting: "delimiter",
                problem: format!("{delimiter:?} cannot separate columns; use one ASCII character"),
            });
        }
        if let Some(LabelRule::Threshold { above, below, .. }) = &self.label_rule {
            let below = below.unwrap_or(-above);
            let is_ordered = below <= *above;
            if !is_ordered {
                return Err(TextError::Setting {
                    setting: "label-rule",
                    problem: format!(
                        "`below` is {below}, `above` is {above}; a rating would be both, so give `below` the smaller"
                    ),
                });
            }
        }
        Ok(())
    }
}

/// How a data file is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Told from the name and the first line.
    #[default]
    Auto,
    /// A GLUE task's own tsv: no quoting, with the quirks of each task.
    Glue,
    /// `label<TAB>text` or `label<TAB>first<TAB>second`, no header; with `delimiter = " "` the text is the rest of the line.
    LabelText,
    /// Quoted fields as in RFC 4180, lines inside quotes included.
    Csv,
    /// Tab-separated without quoting: a `"` is a character like any other.
    Tsv,
    /// A JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// A text per line, a tab between the two of a pair; for texts without labels.
    Lines,
}

impl Format {
    pub(crate) const NAMES: &'static str =
        "`glue`, `label-text`, `csv`, `tsv`, `jsonl`, `parquet`, `lines`";
}

/// Which column is what; `None` looks for the usual names.
///
/// Those are `text`, `sentence`, `sentence1` and `sentence2`, `premise` and `hypothesis`, `question1` and `question2`, `question` and
/// `sentence`, and `label`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Columns {
    /// The sentence, or the first of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Column>,
    /// The second of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<Column>,
    /// The label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// The row's name in its source, kept in [`Dataset::source_ids`](crate::Dataset::source_ids).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Column>,
}

/// A column by name or place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// 1-based place in a row; in a csv or tsv file only.
    Number(usize),
    /// Name in the header, key in a JSON object, or column of a parquet file.
    Name(String),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// How a number becomes a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LabelRule {
    /// Ratings to two classes; a rating in between is dropped.
    Threshold {
        /// A greater rating is `positive`.
        above: f64,
        /// A smaller rating is `negative`; `None` is `-above`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        below: Option<f64>,
        /// The label of high ratings.
        positive: String,
        /// The label of low ratings.
        negative: String,
    },
}
