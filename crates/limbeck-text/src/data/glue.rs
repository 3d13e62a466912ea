use std::path::Path;

use super::columns::Selection;
use super::line::FileLines;
use super::row::{Parsed, Source};
use super::{Column, Columns, DataSpec, SkipReason, SkippedRow};
use crate::{GlueTask, TaskKind, TextError};

/// The task a file belongs to, by the folder it lies in.
pub(super) fn task_of(path: &Path) -> Option<GlueTask> {
    let stem = path.file_stem()?.to_str()?;
    let folder = path.parent()?.file_name()?.to_str()?;
    match GlueTask::from_folder(folder)? {
        GlueTask::Mnli if stem.ends_with("_mismatched") => Some(GlueTask::MnliMismatched),
        GlueTask::Mnli if stem.starts_with("diagnostic") => Some(GlueTask::Ax),
        task => Some(task),
    }
}

/// Reads a task's own tsv. Nothing is quoted there, and a `"` stands for itself.
pub(super) fn open(spec: &DataSpec) -> Result<Source, TextError> {
    let path = spec.path.clone();
    let Some(task) = spec.glue_task.or_else(|| task_of(&path)) else {
        return Err(TextError::UnknownGlueTask { path });
    };
    let mut lines = FileLines::open(&path)?;
    let first_line = match lines.next() {
        Some(line) => line?.1,
        None => return Err(TextError::EmptyData { path, skipped: 0 }),
    };
    let header: Vec<String> = first_line
        .split('\t')
        .map(|cell| cell.trim().to_owned())
        .collect();
    // CoLA's train and dev files start with data: source, label, the author's mark, sentence.
    let is_bare_cola = task == GlueTask::Cola && header.first().is_none_or(|cell| cell != "index");
    let (selection, width, lines): (_, _, Box<dyn Iterator<Item = _> + Send>) = if is_bare_cola {
        let columns = Columns {
            text: Some(Column::Number(4)),
            label: Some(Column::Number(2)),
            ..Columns::default()
        };
        let first = std::iter::once(Ok((1, first_line)));
        (
            Selection::numbered(&path, 4, &columns)?,
            4,
            Box::new(first.chain(lines)),
        )
    } else {
        let selection = Selection::named(&path, &header, &columns_of(task, &header))?;
        (selection, header.len(), Box::new(lines))
    };
    let layout = Layout {
        task,
        selection,
        width,
    };
    let row_path = path.clone();
    let rows =
        lines.map(move |line| line.and_then(|(line, text)| layout.parse(&row_path, line, &text)));
    let kind = task.kind();
    let file_labels = task.layout().file_labels.iter();
    let names = file_labels
        .map(|&label| label.to_owned())
        .zip(kind.labels().iter().cloned());
    Ok(Source {
        names: names.collect(),
        is_sts: kind == TaskKind::Regression,
        declared: Some(kind),
        ..Source::plain(path, Box::new(rows))
    })
}

/// The task's columns; the label's only if this file has it.
fn columns_of(task: GlueTask, header: &[String]) -> Columns {
    let layout = task.layout();
    let column = |name: &str| Column::Name(name.to_owned());
    let has_label = header.iter().any(|name| name == layout.label);
    Columns {
        text: Some(column(layout.first)),
        text_pair: layout.second.map(column),
        label: has_label.then(|| column(layout.label)),
        id: None,
    }
}

struct Layout {
    task: GlueTask,
    selection: Selection,
    width: usize,
}

impl Layout {
    fn parse(&self, path: &Path, line: u64, text: &str) -> Result<Parsed, TextError> {
        let skipped = |reason| Ok(Parsed::Skipped(SkippedRow { line, reason }));
        if text.trim().is_empty() {
            return skipped(SkipReason::Blank);
        }
        let fields: Vec<&str> = text.split('\t').collect();
        let found = fields.len();
        // STS-B's rows may carry further columns of the original benchmark.
        let is_too_long = found > self.width && self.task != GlueTask::StsB;
        if found < self.width || is_too_long {
            if self.task == GlueTask::Qqp {
                return skipped(SkipReason::ColumnCount);
            }
            return Err(TextError::ColumnCount {
                path: path.to_owned(),
                line,
                found,
                expected: self.width,
            });
        }
        let mut row = self.selection.row(line, &fields);
        match row.label.as_deref() {
            Some("-") => return skipped(SkipReason::NoGoldLabel),
            Some("hidden") => row.label = None,
            _ => {}
        }
        Ok(Parsed::Row(row))
    }
}
