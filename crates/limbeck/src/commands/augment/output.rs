//! Rows in the format of the input.

use std::path::Path;

use limbeck_text::augment::WordChange;
use limbeck_text::{Column, DataSpec, Format, GlueTask, Label, TaskKind, Text};
use serde_json::{Map, Value, json};

use super::input::Input;
use crate::settings::BadSettings;

/// A row to be written.
pub(super) struct Row<'a> {
    pub(super) text: &'a Text,
    pub(super) label: Option<Label>,
    /// Number of the row that it is, or is made of, counted from 0.
    pub(super) source: u64,
    /// The recipe; `original` for a row of the input.
    pub(super) recipe: &'a str,
    pub(super) changes: &'a [WordChange],
}

/// Writes rows as text.
pub(super) struct Output {
    layout: Layout,
    /// Labels as the file has them.
    labels: Vec<String>,
    provenance: bool,
    has_labels: bool,
    is_pair: bool,
}

enum Layout {
    /// Named columns, not quoted.
    Tsv { names: Names, delimiter: char },
    /// Named columns, quoted where needed.
    Csv { names: Names, delimiter: char },
    /// An object per line.
    Jsonl { names: Names },
    /// Columns by number, without a header.
    Numbered {
        columns: Numbers,
        quoted: bool,
        delimiter: char,
    },
    /// `source`, label, mark, sentence: the files of `CoLA`.
    Cola,
    /// Label, text, second text.
    LabelText { delimiter: char },
    /// Text, second text.
    Lines,
}

struct Names {
    text: String,
    second: String,
    label: String,
}

/// Counted from 1.
struct Numbers {
    text: usize,
    second: usize,
    label: usize,
}

impl Output {
    /// How rows like those of `input` are written; `is_pair` tells whether they are pairs.
    pub(super) fn like(
        input: &Input,
        file: Option<&Path>,
        provenance: Option<bool>,
        is_pair: bool,
        has_labels: bool,
    ) -> anyhow::Result<Self> {
        check_columns(input)?;
        if let Some(file) = file.filter(|file| has_ending(file, "parquet")) {
            return Err(BadSettings::new(format!(
                "`--out`: found {}, but rows of Parquet come out as JSON lines, or as CSV where the name ends in `.csv`; name such a file",
                file.display()
            ))
            .into());
        }
        let layout = layout(input, file);
        // Changes are written as JSON, which has commas and quotes, but no tabs.
        let can_name = match layout {
            Layout::Tsv { delimiter, .. } => delimiter == '\t',
            Layout::Csv { .. } | Layout::Jsonl { .. } => true,
            _ => false,
        };
        if provenance == Some(true) && !can_name && !matches!(layout, Layout::Cola) {
            return Err(BadSettings::new(
                "`provenance`: the input's format has no place for further columns; leave it out, or convert the input to csv or jsonl",
            )
            .into());
        }
        let task = input.spec().layout_task();
        let labels = match task {
            Some(task) if input.format() == Format::Glue => task
                .file_labels()
                .iter()
                .map(|&label| label.to_owned())
                .collect(),
            _ => input.kind().labels().to_vec(),
        };
        Ok(Self {
            layout,
            labels,
            provenance: provenance.unwrap_or(can_name),
            has_labels,
            is_pair,
        })
    }

    /// The first line, where the format has one.
    pub(super) fn header(&self) -> String {
        match &self.layout {
            Layout::Tsv { names, delimiter } => {
                self.named(names).join(&delimiter.to_string()) + "\n"
            }
            Layout::Csv { names, delimiter } => {
                let names = self.named(names);
                csv_line(names.iter().map(String::as_str), *delimiter)
            }
            _ => String::new(),
        }
    }

    fn named(&self, names: &Names) -> Vec<String> {
        let mut all = vec![names.text.clone()];
        if self.is_pair {
            all.push(names.second.clone());
        }
        if self.has_labels {
            all.push(names.label.clone());
        }
        if self.provenance {
            all.extend(["source", "recipe", "changes"].map(str::to_owned));
        }
        all
    }

    /// One line.
    pub(super) fn line(&self, row: &Row<'_>) -> String {
        let label = self.label(row.label);
        let second = row.text.second.as_deref().unwrap_or_default();
        let (source, changes) = (row.source.to_string(), json!(row.changes).to_string());
        let mut cells = vec![row.text.first.as_str()];
        if self.is_pair {
            cells.push(second);
        }
        if self.has_labels {
            cells.push(&label);
        }
        if self.provenance {
            cells.extend([source.as_str(), row.recipe, &changes]);
        }
        match &self.layout {
            Layout::Tsv { delimiter, .. } => cells.join(&delimiter.to_string()) + "\n",
            Layout::Csv { delimiter, .. } => csv_line(cells.into_iter(), *delimiter),
            Layout::Jsonl { names } => self.object(names, row).to_string() + "\n",
            Layout::Numbered {
                columns,
                quoted,
                delimiter,
            } => {
                let width = columns.text.max(columns.second).max(columns.label);
                let mut cells = vec![""; width];
                cells[columns.text - 1] = &row.text.first;
                if columns.second > 0 {
                    cells[columns.second - 1] = second;
                }
                if columns.label > 0 {
                    cells[columns.label - 1] = &label;
                }
                if *quoted {
                    csv_line(cells.into_iter(), *delimiter)
                } else {
                    cells.join(&delimiter.to_string()) + "\n"
                }
            }
            Layout::Cola => {
                let (recipe, text) = (row.recipe, &row.text.first);
                format!("{recipe}:{source}\t{label}\t\t{text}\n")
            }
            Layout::LabelText { delimiter } => {
                let d = delimiter;
                let first = &row.text.first;
                match &row.text.second {
                    Some(second) => format!("{label}{d}{first}{d}{second}\n"),
                    None => format!("{label}{d}{first}\n"),
                }
            }
            Layout::Lines => match &row.text.second {
                Some(second) => format!("{}\t{second}\n", row.text.first),
                None => format!("{}\n", row.text.first),
            },
        }
    }

    fn object(&self, names: &Names, row: &Row<'_>) -> Value {
        let mut object = Map::new();
        object.insert(names.text.clone(), json!(row.text.first));
        if let Some(second) = &row.text.second {
            object.insert(names.second.clone(), json!(second));
        }
        match row.label {
            Some(Label::Score(score)) => {
                object.insert(names.label.clone(), json!(score));
            }
            Some(label) => {
                object.insert(names.label.clone(), json!(self.label(Some(label))));
            }
            None => {}
        }
        if self.provenance {
            object.insert("source".into(), json!(row.source));
            object.insert("recipe".into(), json!(row.recipe));
            object.insert("changes".into(), json!(row.changes));
        }
        Value::Object(object)
    }

    fn label(&self, label: Option<Label>) -> String {
        match label {
            Some(Label::Class(class)) => self.labels[class as usize].clone(),
            Some(Label::Score(score)) => score.to_string(),
            None => String::new(),
        }
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Fails where columns have names and are given by number: new rows could not be read by the same settings.
fn check_columns(input: &Input) -> anyhow::Result<()> {
    let spec = input.spec();
    let columns = [
        &spec.columns.text,
        &spec.columns.text_pair,
        &spec.columns.label,
    ];
    let is_named =
        matches!(input.format(), Format::Csv | Format::Tsv) && spec.has_header != Some(false);
    let by_number = |column: &&Option<Column>| matches!(column, Some(Column::Number(_)));
    if is_named && columns.iter().any(by_number) {
        return Err(BadSettings::new(
            "`data.columns`: found a number in a file with a header, expected names, under which the new rows are written",
        )
        .into());
    }
    Ok(())
}

fn layout(input: &Input, file: Option<&Path>) -> Layout {
    let spec = input.spec();
    let delimiter = |usual| spec.delimiter.unwrap_or(usual);
    match input.format() {
        Format::Glue => match spec.layout_task() {
            Some(GlueTask::Cola) if !matches!(input.kind(), TaskKind::Regression) => Layout::Cola,
            Some(task) => {
                let (text, second, label) = task.columns();
                let names = Names {
                    text: text.into(),
                    second: second.unwrap_or_default().into(),
                    label: label.into(),
                };
                Layout::Tsv {
                    names,
                    delimiter: '\t',
                }
            }
            None => Layout::Tsv {
                names: names(spec),
                delimiter: '\t',
            },
        },
        Format::Csv if spec.has_header == Some(false) => Layout::Numbered {
            columns: numbers(spec),
            quoted: true,
            delimiter: delimiter(','),
        },
        Format::Tsv if spec.has_header == Some(false) => Layout::Numbered {
            columns: numbers(spec),
            quoted: false,
            delimiter: delimiter('\t'),
        },
        Format::Csv => Layout::Csv {
            names: names(spec),
            delimiter: delimiter(','),
        },
        Format::Tsv | Format::Auto => Layout::Tsv {
            names: names(spec),
            delimiter: delimiter('\t'),
        },
        Format::Parquet if file.is_some_and(|file| has_ending(file, "csv")) => Layout::Csv {
            names: names(spec),
            delimiter: ',',
        },
        Format::Jsonl | Format::Parquet => Layout::Jsonl { names: names(spec) },
        Format::LabelText => Layout::LabelText {
            delimiter: delimiter('\t'),
        },
        Format::Lines => Layout::Lines,
    }
}

/// The names stated, or those that are looked for first.
fn names(spec: &DataSpec) -> Names {
    let name = |column: &Option<Column>, usual: &str| match column {
        Some(Column::Name(name)) => name.clone(),
        _ => usual.to_owned(),
    };
    let columns = &spec.columns;
    Names {
        text: name(&columns.text, "text"),
        second: name(&columns.text_pair, "text_pair"),
        label: name(&columns.label, "label"),
    }
}

fn numbers(spec: &DataSpec) -> Numbers {
    let number = |column: &Option<Column>, usual| match column {
        Some(Column::Number(number)) => *number,
        Some(Column::Name(name)) => name.parse().unwrap_or(usual),
        None => usual,
    };
    let columns = &spec.columns;
    Numbers {
        text: number(&columns.text, 1),
        second: number(&columns.text_pair, 0),
        label: number(&columns.label, 0),
    }
}

fn csv_line<'a>(cells: impl Iterator<Item = &'a str>, delimiter: char) -> String {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter as u8)
        .from_writer(Vec::new());
    writer
        .write_record(cells)
        .expect("a record of any cells goes into memory");
    let line = writer.into_inner().expect("memory takes what is flushed");
    String::from_utf8(line).expect("cells are UTF-8, and so are quotes and delimiters")
}
