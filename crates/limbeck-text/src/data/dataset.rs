use std::collections::BTreeSet;
use std::fmt;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::label::{LabelReader, Outcome, UNLABELLED};
use super::line::LineReader;
use super::row::{Parsed, Row, Source};
use super::{DataSpec, format, tsv};
use crate::{Example, Label, TaskKind, Text, TextError, sort_labels};

/// The examples of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Where they came from.
    pub path: PathBuf,
    /// In file order; never empty.
    pub examples: Vec<Example>,
    /// What their labels are.
    pub kind: TaskKind,
    /// The id column's value for each example; empty if `columns.id` is not set.
    pub source_ids: Vec<String>,
    /// The rows left out, and why.
    pub skipped: Vec<SkippedRow>,
}

/// Where the label set comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelSource {
    /// From the file: the labels it declares (GLUE, parquet of Hugging Face's `datasets`), else those that occur, in the order of
    /// [`sort_labels`].
    Infer,
    /// These names in class order; any other is an error. A label `-1` that is not among them marks an unlabelled row.
    Names(Vec<String>),
    /// Labels are numbers: a regression.
    Scores,
}

impl From<&TaskKind> for LabelSource {
    fn from(kind: &TaskKind) -> Self {
        match kind {
            TaskKind::Classification { labels } => Self::Names(labels.clone()),
            TaskKind::Regression => Self::Scores,
        }
    }
}

/// A row that gave no example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedRow {
    /// 1-based line; the row in a parquet file.
    pub line: u64,
    /// Why.
    pub reason: SkipReason,
}

/// Why a row gave no example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// Nothing on the line.
    Blank,
    /// A text is empty.
    EmptyText,
    /// Too few or too many columns, in a set known to have such rows (QQP).
    ColumnCount,
    /// The annotators did not agree (`-` in natural language inference).
    NoGoldLabel,
    /// The rating is neither high nor low enough for the label rule.
    BetweenThresholds,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blank => "blank",
            Self::EmptyText => "without text",
            Self::ColumnCount => "with too few or too many columns",
            Self::NoGoldLabel => "without a gold label",
            Self::BetweenThresholds => "between the thresholds",
        })
    }
}

/// Reads a whole file.
///
/// # Errors
/// Whatever is wrong with the file, at the first line where it shows; [`TextError::EmptyData`] if no example is left;
/// [`TextError::Unlabelled`] if labels were to be inferred and there are none.
pub fn read_examples(spec: &DataSpec, labels: &LabelSource) -> Result<Dataset, TextError> {
    let mut reader = ExampleReader::open(spec, labels)?;
    let mut examples = Vec::new();
    let mut source_ids = Vec::new();
    while let Some(item) = reader.advance() {
        let (example, id) = item?;
        examples.push(example);
        if spec.columns.id.is_some() {
            source_ids.push(id.unwrap_or_default());
        }
    }
    if examples.is_empty() {
        return Err(TextError::EmptyData {
            path: reader.path,
            skipped: reader.skipped.len(),
        });
    }
    Ok(Dataset {
        path: reader.path,
        examples,
        kind: reader.kind,
        source_ids,
        skipped: reader.skipped,
    })
}

/// Reads a file of texts whose labels, if any, do not matter.
///
/// Empty texts are kept, so that text `i` is row `i`; blank lines are rows only in format `lines`, which `auto` takes for a file that is
/// not named as another.
pub fn read_texts(spec: &DataSpec) -> Result<Vec<Text>, TextError> {
    let texts: Vec<Text> = stream_texts(spec)?.collect::<Result<_, _>>()?;
    if texts.is_empty() {
        let path = spec.path.clone();
        return Err(TextError::EmptyData { path, skipped: 0 });
    }
    Ok(texts)
}

/// [`read_texts`] text by text, for files larger than memory.
pub fn stream_texts(
    spec: &DataSpec,
) -> Result<impl Iterator<Item = Result<Text, TextError>> + Send + use<>, TextError> {
    spec.check()?;
    let rows = format::open_texts(spec)?.rows;
    Ok(rows.filter_map(|parsed| match parsed {
        Ok(Parsed::Row(row)) => Some(Ok(row.text)),
        Ok(Parsed::Skipped(_)) => None,
        Err(error) => Some(Err(error)),
    }))
}

/// A text per line, a tab between the two of a pair; for standard input. `name` stands for the path in errors.
pub fn text_lines<R: BufRead>(
    input: R,
    name: &Path,
) -> impl Iterator<Item = Result<Text, TextError>> + use<R> {
    let path = name.to_owned();
    LineReader::new(input, name).map(move |line| {
        let (line, text) = line?;
        tsv::parse_line(&path, line, &text)
    })
}

/// Reads a file example by example, for files larger than memory. After an error it ends.
pub struct ExampleReader {
    path: PathBuf,
    rows: super::row::Rows,
    labels: LabelReader,
    kind: TaskKind,
    skipped: Vec<SkippedRow>,
    next_id: u64,
    has_ended: bool,
}

impl ExampleReader {
    /// Opens the file. With [`LabelSource::Infer`] it is read once before, for its labels, unless it declares them.
    pub fn open(spec: &DataSpec, labels: &LabelSource) -> Result<Self, TextError> {
        spec.check()?;
        let source = format::open(spec)?;
        let kind = match labels {
            LabelSource::Names(labels) => TaskKind::Classification {
                labels: labels.clone(),
            },
            LabelSource::Scores => TaskKind::Regression,
            LabelSource::Infer => match &source.declared {
                Some(kind) => kind.clone(),
                None => infer(spec)?,
            },
        };
        Ok(Self {
            labels: LabelReader::new(spec, &source, &kind),
            path: source.path,
            rows: source.rows,
            kind,
            skipped: Vec::new(),
            next_id: 0,
            has_ended: false,
        })
    }

    /// What the labels are.
    pub fn kind(&self) -> &TaskKind {
        &self.kind
    }

    /// The rows left out so far.
    pub fn skipped(&self) -> &[SkippedRow] {
        &self.skipped
    }

    /// The next example with the value of its id column.
    fn advance(&mut self) -> Option<Result<(Example, Option<String>), TextError>> {
        while !self.has_ended {
            let Some(parsed) = self.rows.next() else {
                break;
            };
            match parsed.and_then(|parsed| self.example(parsed)) {
                Ok(Some(example)) => return Some(Ok(example)),
                Ok(None) => {}
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            }
        }
        self.has_ended = true;
        None
    }

    fn example(&mut self, parsed: Parsed) -> Result<Option<(Example, Option<String>)>, TextError> {
        let row = match parsed {
            Parsed::Row(row) => row,
            Parsed::Skipped(row) => {
                self.skipped.push(row);
                return Ok(None);
            }
        };
        let outcome = if is_empty(&row) {
            Outcome::Skip(SkipReason::EmptyText)
        } else {
            self.labels.read(&row)?
        };
        let label = match outcome {
            Outcome::Label(label) => label,
            Outcome::Skip(reason) => {
                let line = row.line;
                self.skipped.push(SkippedRow { line, reason });
                return Ok(None);
            }
        };
        let id = self.next_id;
        self.next_id += 1;
        let text = row.text;
        Ok(Some((Example { id, text, label }, row.id)))
    }
}

impl Iterator for ExampleReader {
    type Item = Result<Example, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance()?;
        Some(item.map(|(example, _)| example))
    }
}

impl Dataset {
    /// The label names in class order; none in a regression.
    pub fn labels(&self) -> &[String] {
        self.kind.labels()
    }

    /// The texts, in order.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &Text> {
        self.examples.iter().map(|example| &example.text)
    }

    /// The gold labels, in order.
    ///
    /// # Errors
    /// [`TextError::Unlabelled`] unless every example has one, so a test set cannot be scored by mistake.
    pub fn gold(&self) -> Result<Vec<Label>, TextError> {
        let gold: Vec<Label> = self.examples.iter().filter_map(|e| e.label).collect();
        let total = self.examples.len();
        if gold.len() < total {
            return Err(TextError::Unlabelled {
                path: self.path.clone(),
                missing: total - gold.len(),
                total,
            });
        }
        Ok(gold)
    }

    /// Checks that there is something to learn: labels everywhere, and at least two classes or two scores among them.
    ///
    /// # Errors
    /// [`TextError::Unlabelled`], [`TextError::OneClass`].
    pub fn require_trainable(&self) -> Result<(), TextError> {
        let gold = self.gold()?;
        let Some(&first) = gold.first() else {
            return Err(TextError::EmptyData {
                path: self.path.clone(),
                skipped: self.skipped.len(),
            });
        };
        if gold.iter().any(|&label| label != first) {
            return Ok(());
        }
        let label = match first {
            Label::Class(class) => self.labels().get(class as usize).cloned(),
            Label::Score(score) => Some(score.to_string()),
        };
        Err(TextError::OneClass {
            path: self.path.clone(),
            label: label.unwrap_or_default(),
            count: gold.len(),
        })
    }
}

fn is_empty(row: &Row) -> bool {
    row.text.first.is_empty() || row.text.second.as_deref() == Some("")
}

/// The labels that occur in a file.
fn infer(spec: &DataSpec) -> Result<TaskKind, TextError> {
    let source = format::open(spec)?;
    let reader = LabelReader::new(spec, &source, &TaskKind::Regression);
    let Source { path, rows, .. } = source;
    let mut names = BTreeSet::new();
    let (mut total, mut skipped) = (0, 0);
    for parsed in rows {
        let Parsed::Row(row) = parsed? else {
            skipped += 1;
            continue;
        };
        if is_empty(&row) {
            skipped += 1;
            continue;
        }
        total += 1;
        let Some(raw) = &row.label else {
            continue;
        };
        if let Ok(name) = reader.name(row.line, raw)?
            && !names.contains(name.as_ref())
        {
            names.insert(name.into_owned());
        }
    }
    if total == 0 {
        return Err(TextError::EmptyData { path, skipped });
    }
    let is_unlabelled = names.iter().all(|name| name == UNLABELLED);
    if is_unlabelled {
        return Err(TextError::Unlabelled {
            path,
            missing: total,
            total,
        });
    }
    let labels = sort_labels(names.into_iter().collect());
    Ok(TaskKind::Classification { labels })
}
