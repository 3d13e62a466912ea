use std::io::Write;
use std::path::Path;

use fs_err as fs;

use limbeck_text::AtomicFile;

use crate::{ReportError, Result};

/// One row of `predictions.tsv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The example's id in its data set.
    pub id: String,
    /// The gold label, or value in regression; `None` for unlabelled data.
    pub gold: Option<String>,
    /// The predicted label, or value in regression.
    pub predicted: String,
    /// Probabilities in the order of the labels; empty in regression.
    pub probabilities: Vec<f32>,
}

/// A predictions file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Label names in the order of the probabilities; empty in regression.
    pub labels: Vec<String>,
    /// One row per example, in the data's order.
    pub rows: Vec<Prediction>,
}

/// Writes a predictions file row by row.
///
/// The file is tab-separated, with the header `id`, `gold`, `predicted` and `probability of LABEL` for each label. In names and ids
/// `\t`, `\n`, `\r` and `\\` stand for the characters that would break a row, and `\e` for the empty text; an empty `gold` means that
/// there is none.
#[derive(Debug)]
pub struct PredictionWriter {
    file: AtomicFile,
    path: std::path::PathBuf,
    label_count: usize,
}

const PROBABILITY: &str = "probability of ";

impl PredictionWriter {
    /// Begins a file for a task with `labels`; it gets its name from [`finish`](Self::finish).
    pub fn create(path: impl AsRef<Path>, labels: &[String]) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = AtomicFile::create(&path).map_err(ReportError::write(&path))?;
        let mut writer = Self {
            file,
            path,
            label_count: labels.len(),
        };
        let mut header = "id\tgold\tpredicted".to_owned();
        for label in labels {
            header.push('\t');
            header.push_str(PROBABILITY);
            header.push_str(&escape(label));
        }
        writer.write_line(header)?;
        Ok(writer)
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If the row does not have one probability per label.
    pub fn write(&mut self, row: &Prediction) -> Result<()> {
        assert_eq!(
            row.probabilities.len(),
            self.label_count,
            "a row has one probability per label"
        );
        let gold = row.gold.as_deref().map(escape).unwrap_or_default();
        let mut line = format!("{}\t{gold}\t{}", escape(&row.id), escape(&row.predicted));
        for probability in &row.probabilities {
            push!(line, "\t{probability}");
        }
        self.write_line(line)
    }

    /// Brings the file to the disk under its name.
    pub fn finish(self) -> Result<()> {
        self.file.commit().map_err(ReportError::write(&self.path))
    }

    fn write_line(&mut self, mut line: String) -> Result<()> {
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(ReportError::write(&self.path))
    }
}

/// Reads a predictions file.
pub fn read_predictions(path: impl AsRef<Path>) -> Result<Predictions> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(ReportError::read(path))?;
    let mut lines = text.split_terminator('\n').enumerate();
    let header = lines.next().map_or("", |(_, line)| line);
    let refuse = |line: usize, found: String, expected: &str| {
        let (path, expected) = (path.to_owned(), expected.to_owned());
        ReportError::PredictionRow {
            path,
            line: line + 1,
            found,
            expected,
        }
    };

    let labels = parse_header(header).ok_or_else(|| {
        refuse(
            0,
            format!("the header `{header}`"),
            "`id`, `gold`, `predicted` and a `probability of ..` per label",
        )
    })?;
    let mut rows = Vec::new();
    for (index, line) in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != 3 + labels.len() {
            return Err(refuse(
                index,
                format!("{} columns", fields.len()),
                &format!("{} as in the header", 3 + labels.len()),
            ));
        }
        let probabilities = fields[3..].iter().map(|field| {
            field
                .parse()
                .map_err(|_| refuse(index, format!("`{field}`"), "a probability"))
        });
        rows.push(Prediction {
            id: unescape(fields[0]),
            gold: (!fields[1].is_empty()).then(|| unescape(fields[1])),
            predicted: unescape(fields[2]),
            probabilities: probabilities.collect::<Result<_>>()?,
        });
    }
    Ok(Predictions { labels, rows })
}

fn parse_header(header: &str) -> Option<Vec<String>> {
    let rest = header.strip_prefix("id\tgold\tpredicted")?;
    let mut fields = rest.split('\t');
    if !fields.next()?.is_empty() {
        return None;
    }
    fields
        .map(|field| field.strip_prefix(PROBABILITY).map(unescape))
        .collect()
}

fn escape(text: &str) -> String {
    if text.is_empty() {
        return "\\e".to_owned();
    }
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('e') => {}
            Some(other) => text.push(other),
            None => text.push('\\'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Predictions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.tsv");
        fs::write(&path, text).unwrap();
        read_predictions(&path)
    }

    #[test]
    fn the_file_is_plain_tsv() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.tsv");
        let labels = ["bad".to_owned(), "good".to_owned()];
        let mut writer = PredictionWriter::create(&path, &labels).unwrap();
        let row = |id: &str, gold: Option<&str>| Prediction {
            id: id.to_owned(),
            gold: gold.map(str::to_owned),
            predicted: "good".to_owned(),
            probabilities: vec![0.25, 0.75],
        };
        writer.write(&row("1", Some("bad"))).unwrap();
        writer.write(&row("a\tb", None)).unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap().replace('\t', "|"), @r"
        id|gold|predicted|probability of bad|probability of good
        1|bad|good|0.25|0.75
        a\tb||good|0.25|0.75
        ");
    }

    #[test]
    fn a_broken_file_is_refused_at_its_line() {
        let check = |text: &str| {
            let error = read(text).unwrap_err().to_string();
            error[error.find("predictions.tsv").unwrap()..].to_owned()
        };
        insta::assert_snapshot!(check(""), @"predictions.tsv:1: found the header ``, expected `id`, `gold`, `predicted` and a `probability of ..` per label; write the predictions anew");
        insta::assert_snapshot!(check("id\tgold\tpredicted\tprobability of a\n1\ta\ta\n"), @"predictions.tsv:2: found 3 columns, expected 4 as in the header; write the predictions anew");
        insta::assert_snapshot!(check("id\tgold\tpredicted\tprobability of a\n1\ta\ta\tx\n"), @"predictions.tsv:2: found `x`, expected a probability; write the predictions anew");
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z0-9.]{1,6}", "(\\PC|[\\t\\n\\r\\\\]){0,6}"]
    }

    prop_compose! {
        fn predictions()(labels in prop::collection::vec(word(), 0..4))(
            rows in prop::collection::vec(
                (word(), prop::option::of(word()), word(), prop::collection::vec(0.0_f32..=1.0, labels.len())),
                0..5,
            ),
            labels in Just(labels),
        ) -> Predictions {
            let rows = rows.into_iter();
            let rows = rows.map(|(id, gold, predicted, probabilities)| Prediction { id, gold, predicted, probabilities });
            Predictions { labels, rows: rows.collect() }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn predictions_read_back(predictions in predictions()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("predictions.tsv");
            let mut writer = PredictionWriter::create(&path, &predictions.labels).unwrap();
            for row in &predictions.rows {
                writer.write(row).unwrap();
            }
            writer.finish().unwrap();
            prop_assert_eq!(read_predictions(&path).unwrap(), predictions);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(id\tgold\tpredicted)?[\\PC\t\n]{0,40}") {
            let _ = read(&text);
        }
    }
}
