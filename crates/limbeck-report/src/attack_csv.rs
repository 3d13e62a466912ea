//! `TextAttack`'s log of an attack as CSV: written as its `CSVLogger` does, and read whatever wrote it.

use std::path::Path;

use fs_err as fs;

use crate::{
    AttackCounts, AttackOutcome, AttackRecord, AttackedText, ReportError, Result, WordRule,
};

const HEADER: [&str; 9] = [
    "original_text",
    "perturbed_text",
    "original_score",
    "perturbed_score",
    "original_output",
    "perturbed_output",
    "ground_truth_output",
    "num_queries",
    "result_type",
];

/// What stands for a line break between the columns of a text.
const SPLIT: &str = "<SPLIT>";

/// The records as `TextAttack` logs them: changed words as `[[word]]`, all strings quoted.
pub fn attack_csv(records: &[AttackRecord]) -> String {
    let mut text = HEADER.map(|name| format!("\"{name}\"")).join(",");
    text.push('\n');
    for record in records {
        push!(
            text,
            "{},{},{},{},{},{},{},{},\"{}\"\n",
            quoted(&marked(&record.original)),
            quoted(&marked(&record.perturbed)),
            python_float(record.original_score),
            python_float(record.perturbed_score),
            label(&record.original_probabilities),
            label(&record.perturbed_probabilities),
            record.gold,
            record.queries,
            result_type(record.outcome),
        );
    }
    text
}

/// A text with its changed words in double brackets; of several columns each with its name, bracketed twice as the peer does.
fn marked(text: &AttackedText) -> String {
    let column = |index: usize| {
        let pieces = text.pieces(index).map(|(piece, is_changed)| {
            if is_changed {
                format!("[[{piece}]]")
            } else {
                piece.to_owned()
            }
        });
        pieces.collect::<String>()
    };
    if text.columns.len() == 1 {
        return column(0);
    }
    let named = text.columns.iter().enumerate();
    let lines =
        named.map(|(index, (name, _))| format!("[[[[{}]]]]: {}", capitalized(name), column(index)));
    lines.collect::<Vec<_>>().join("\n")
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + &letters.as_str().to_lowercase()
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\n', SPLIT).replace('"', "\"\""))
}

fn label(probabilities: &[f64]) -> usize {
    let p = probabilities;
    (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best })
}

/// The shortest digits that read back as `value`, in Python's form: `1e-05`, `0.0001`, `1.0`.
fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value:?}")
}

fn result_type(outcome: AttackOutcome) -> &'static str {
    match outcome {
        AttackOutcome::Succeeded => "Successful",
        AttackOutcome::Failed => "Failed",
        AttackOutcome::Skipped => "Skipped",
    }
}

/// A log of an attack, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackLog {
    /// The file's name without its ending; for `attack.jsonl` and `attack.csv` that of the folder.
    pub name: String,
    /// The examples in the order of the file.
    pub rows: Vec<AttackLogRow>,
}

/// One example of an [`AttackLog`].
#[derive(Debug, Clone, PartialEq)]
pub struct AttackLogRow {
    /// The columns' texts before the attack, without marks.
    pub original: Vec<String>,
    /// And after it.
    pub perturbed: Vec<String>,
    /// The true label, counted from 0.
    pub gold: u32,
    /// How the attack ended.
    pub outcome: AttackOutcome,
    /// Questions to the model.
    pub queries: u64,
}

impl AttackLogRow {
    /// What a summary counts of it, words cut by `rule`.
    pub fn counts(&self, rule: WordRule) -> AttackCounts {
        let (original, perturbed) = (self.original.join("\n"), self.perturbed.join("\n"));
        AttackCounts {
            outcome: self.outcome,
            words: rule.words(&original).len() as u64,
            words_changed: rule.words_changed(&original, &perturbed) as u64,
            queries: self.queries,
        }
    }
}

/// Reads `attack.jsonl` (by its name's ending) or a CSV log, ours or `TextAttack`'s, with marks or without.
pub fn read_attack_log(path: impl AsRef<Path>) -> Result<AttackLog> {
    let path = path.as_ref();
    // A run's own files are all named alike; its folder tells them apart.
    let is_ours = path.file_stem().is_some_and(|stem| stem == "attack");
    let folder = path.parent().and_then(Path::file_name).filter(|_| is_ours);
    let name = folder.or_else(|| path.file_stem()).unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let rows = if path.extension().is_some_and(|ending| ending == "jsonl") {
        let records = crate::attack_run::read_records(path)?;
        let row = |record: AttackRecord| AttackLogRow {
            original: record.original.texts().map(str::to_owned).collect(),
            perturbed: record.perturbed.texts().map(str::to_owned).collect(),
            gold: record.gold,
            outcome: record.outcome,
            queries: record.queries,
        };
        records.into_iter().map(row).collect()
    } else {
        read_csv(path)?
    };
    Ok(AttackLog { name, rows })
}

fn read_csv(path: &Path) -> Result<Vec<AttackLogRow>> {
    let text = fs::read(path).map_err(ReportError::read(path))?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(&text[..]);
    let header = reader
        .headers()
        .map_err(|error| broken(path, 1, error))?
        .clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|found| found == name)
            .ok_or_else(|| ReportError::AttackLog {
                path: path.to_owned(),
                line: 1,
                found: format!("the columns {:?}", header.iter().collect::<Vec<_>>()),
                expected: format!("one named `{name}`"),
            })
    };
    let (original, perturbed) = (column("original_text")?, column("perturbed_text")?);
    let (gold, queries) = (column("ground_truth_output")?, column("num_queries")?);
    let result = column("result_type")?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let line = record
            .as_ref()
            .ok()
            .and_then(|r| r.position())
            .map_or(0, csv::Position::line);
        let record = record.map_err(|error| broken(path, line as usize, error))?;
        let field = |index: usize| record.get(index).unwrap_or("");
        let wrong = |index: usize, expected: &str| ReportError::AttackLog {
            path: path.to_owned(),
            line: line as usize,
            found: format!("`{}`", field(index)),
            expected: expected.to_owned(),
        };
        // pandas writes whole numbers as `1.0`.
        let whole = |index: usize| {
            let number: Option<f64> = field(index).parse().ok();
            let number = number.filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 2e9);
            number.ok_or_else(|| wrong(index, "a whole number"))
        };
        rows.push(AttackLogRow {
            original: columns(field(original)),
            perturbed: columns(field(perturbed)),
            gold: whole(gold)? as u32,
            queries: whole(queries)? as u64,
            outcome: match field(result) {
                "Successful" | "Maximized" => AttackOutcome::Succeeded,
                "Failed" => AttackOutcome::Failed,
                "Skipped" => AttackOutcome::Skipped,
                _ => {
                    return Err(wrong(
                        result,
                        "`Successful`, `Failed`, `Skipped` or `Maximized`",
                    ));
                }
            },
        });
    }
    Ok(rows)
}

fn broken(path: &Path, line: usize, error: csv::Error) -> ReportError {
    ReportError::Malformed {
        path: path.to_owned(),
        line,
        expected: "row of an attack log",
        source: error.into(),
    }
}

/// The columns of a logged text, without marks (of either style) and without the columns' names.
///
/// Line breaks are logged as the sign between columns; a column begins where that is followed by a name.
fn columns(text: &str) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for part in text.split(SPLIT) {
        let plain = without_marks(part);
        match columns.last_mut() {
            _ if part.starts_with("[[[[") => {
                let (_, text) = plain.split_once(": ").unwrap_or(("", &plain));
                columns.push(text.to_owned());
            }
            Some(column) => {
                column.push('\n');
                column.push_str(&plain);
            }
            None => columns.push(plain),
        }
    }
    columns
}

fn without_marks(text: &str) -> String {
    let mut plain = text.replace("[[", "").replace("]]", "");
    while let Some(start) = plain.find("<font color = ") {
        let Some(length) = plain[start..].find('>') else {
            break;
        };
        plain.replace_range(start..=start + length, "");
    }
    plain.replace("</font>", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mark;

    fn text(columns: &[(&str, &str)], marks: &[(usize, usize, usize)]) -> AttackedText {
        AttackedText {
            columns: columns
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            marks: marks
                .iter()
                .map(|&(column, start, end)| Mark { column, start, end })
                .collect(),
        }
    }

    fn record(original: AttackedText, perturbed: AttackedText) -> AttackRecord {
        AttackRecord {
            id: 0,
            outcome: AttackOutcome::Succeeded,
            original,
            perturbed,
            gold: 1,
            original_score: 0.000_012,
            perturbed_score: 0.75,
            original_probabilities: vec![0.000_012, 0.999_988],
            perturbed_probabilities: vec![0.75, 0.25],
            queries: 12,
            words: 2,
            words_changed: 1,
            similarity: None,
            stopped_by: None,
        }
    }

    #[test]
    fn a_log_looks_like_the_peers() {
        let records = [
            record(
                text(&[("text", "good \"film\"")], &[(0, 0, 4)]),
                text(&[("text", "goood \"film\"")], &[(0, 0, 5)]),
            ),
            record(
                text(&[("premise", "a b"), ("hypothesis", "c")], &[(1, 0, 1)]),
                text(&[("premise", "a b"), ("hypothesis", "d")], &[(1, 0, 1)]),
            ),
        ];
        insta::assert_snapshot!(attack_csv(&records), @r#"
        "original_text","perturbed_text","original_score","perturbed_score","original_output","perturbed_output","ground_truth_output","num_queries","result_type"
        "[[good]] ""film""","[[goood]] ""film""",1.2e-05,0.75,1,0,1,12,"Successful"
        "[[[[Premise]]]]: a b<SPLIT>[[[[Hypothesis]]]]: [[c]]","[[[[Premise]]]]: a b<SPLIT>[[[[Hypothesis]]]]: [[d]]",1.2e-05,0.75,1,0,1,12,"Successful"
        "#);
    }

    #[test]
    fn a_written_log_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let pair = record(
            text(
                &[("premise", "a: b\nc: d"), ("hypothesis", "c, \"d\"")],
                &[(1, 0, 1)],
            ),
            text(&[("premise", "a: b"), ("hypothesis", "d")], &[]),
        );
        let lines = text(&[("text", "two\nlines")], &[]);
        let single = record(lines.clone(), lines);
        fs::write(&path, attack_csv(&[pair, single])).unwrap();
        let log = read_attack_log(&path).unwrap();
        assert_eq!(log.name, "log");
        assert_eq!(log.rows[0].original, ["a: b\nc: d", "c, \"d\""]);
        assert_eq!(log.rows[1].original, ["two\nlines"]);
        assert_eq!((log.rows[0].gold, log.rows[0].queries), (1, 12));
    }

    #[test]
    fn a_foreign_file_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let check = |text: &str, expected: &str| {
            fs::write(&path, text).unwrap();
            let error = read_attack_log(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "sentence\tlabel\n",
            "log.csv:1: found the columns [\"sentence\\tlabel\"], expected one named `original_text`",
        );
        let row = attack_csv(&[record(
            text(&[("text", "a")], &[]),
            text(&[("text", "a")], &[]),
        )]);
        check(&row.replace("Successful", "Won"), "log.csv:2: found `Won`");
        check(
            &row.replace(",12,", ",many,"),
            "log.csv:2: found `many`, expected a whole number",
        );
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.0, "0.0"),
            (1.5e-12, "1.5e-12"),
        ] {
            assert_eq!(python_float(value), expected);
        }
    }
}
