use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use crate::Score;

/// Rows of typed cells, for a terminal, Markdown, CSV, JSON and (see [`Page`](crate::Page)) HTML.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The rows; each has one cell per column.
    pub rows: Vec<Vec<Cell>>,
    /// Sentences below the table that explain its figures.
    pub notes: Vec<String>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// Where its cells stand.
    pub align: Align,
}

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Column {
    /// A column of words.
    pub fn words(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            align: Align::Left,
        }
    }

    /// A column of numbers.
    pub fn numbers(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            align: Align::Right,
        }
    }
}

/// A cell of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing to show: `–`.
    Missing,
    /// Words.
    Text(String),
    /// A number of things, rounded to three digits: `22.7 M`.
    Count(u64),
    /// A size, in powers of 1000: `90.9 MB`.
    Bytes(u64),
    /// Things per second, rounded to three digits.
    Rate(f64),
    /// A share of a whole: `0.984` is `98.4 %`.
    Share(f64),
    /// Any other number, rounded to three digits.
    Number(f64),
    /// A score times 100 and, where known, half its interval: `91.3 ± 1.9`.
    Score(Score),
    /// Scores times 100 of several seeds: median and range, `91.3 (90.9..91.8)`.
    Seeds(Summary),
}

/// Several values in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The middle value, or the mean of the middle two.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// How many values.
    pub count: usize,
}

impl Summary {
    /// Sums up `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            median,
            min,
            max,
            count: sorted.len(),
        })
    }
}

impl Cell {
    /// The cell as a reader sees it.
    pub fn text(&self) -> String {
        match self {
            Self::Missing => "–".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Count(count) => scaled(*count as f64, &["", " k", " M", " G"]),
            Self::Bytes(bytes) => scaled(*bytes as f64, &[" B", " kB", " MB", " GB", " TB"]),
            Self::Rate(rate) => three_digits(*rate),
            Self::Share(share) => format!("{:.1} %", 100.0 * share),
            Self::Number(number) if number.abs() >= 1.0 => three_digits(*number),
            Self::Number(number) => format!("{number:.3}"),
            Self::Score(score) => {
                let interval = score
                    .interval
                    .map(|interval| format!(" ± {:.1}", 50.0 * (interval.high - interval.low)));
                format!("{:.1}{}", 100.0 * score.value, interval.unwrap_or_default())
            }
            Self::Seeds(Summary {
                median, min, max, ..
            }) => {
                format!(
                    "{:.1} ({:.1}..{:.1})",
                    100.0 * median,
                    100.0 * min,
                    100.0 * max
                )
            }
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Missing => Value::Null,
            Self::Text(text) => json!(text),
            Self::Count(count) | Self::Bytes(count) => json!(count),
            Self::Rate(value) | Self::Share(value) | Self::Number(value) => json!(value),
            Self::Score(score) => json!(score.value),
            Self::Seeds(summary) => json!(summary.median),
        }
    }

    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        match self {
            Self::Score(score) => score.interval.map(|interval| (interval.low, interval.high)),
            Self::Seeds(summary) => Some((summary.min, summary.max)),
            _ => None,
        }
    }
}

/// Rounded to three digits, with the greatest unit that leaves at least 1.
fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut index = 0;
    // 999.5 rounds to 1000, which the next unit writes shorter.
    while value >= 999.5 && index + 1 < units.len() {
        value /= 1000.0;
        index += 1;
    }
    let number = if index == 0 {
        format!("{value:.0}")
    } else {
        three_digits(value)
    };
    format!("{number}{}", units[index])
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Table {
    /// For a terminal: columns aligned, headings broken where the cells are narrower, notes below.
    pub fn to_text(&self) -> String {
        // A control character would break the line or the alignment.
        let shown = |cell: &Cell| cell.text().replace(char::is_control, " ");
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(shown).collect())
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| {
                let widest = cells
                    .iter()
                    .map(|row| row[index].width())
                    .max()
                    .unwrap_or(0);
                let words = self.columns[index]
                    .name
                    .split(' ')
                    .map(UnicodeWidthStr::width)
                    .max()
                    .unwrap_or(0);
                widest.max(words)
            })
            .collect();
        let headings: Vec<Vec<String>> = self
            .columns
            .iter()
            .zip(&widths)
            .map(|(column, &width)| wrap(&column.name, width))
            .collect();
        let height = headings.iter().map(Vec::len).max().unwrap_or(0);

        let mut text = String::new();
        for line in 0..height {
            // Headings stand on the rule, so a short one has its blank lines above.
            let parts = headings.iter().map(|lines| {
                (line + lines.len())
                    .checked_sub(height)
                    .map_or("", |line| lines[line].as_str())
            });
            self.push_line(&mut text, parts, &widths);
        }
        let rules: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
        self.push_line(&mut text, rules.iter().map(String::as_str), &widths);
        for row in &cells {
            self.push_line(&mut text, row.iter().map(String::as_str), &widths);
        }
        for note in &self.notes {
            text.push_str(note);
            text.push('\n');
        }
        text
    }

    fn push_line<'a>(
        &self,
        text: &mut String,
        parts: impl Iterator<Item = &'a str>,
        widths: &[usize],
    ) {
        let mut line = String::new();
        for ((part, column), width) in parts.zip(&self.columns).zip(widths) {
            let padding = " ".repeat(width - part.width());
            match column.align {
                Align::Left => push!(line, "{part}{padding}  "),
                Align::Right => push!(line, "{padding}{part}  "),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }

    /// A Markdown table; the notes follow as one paragraph.
    pub fn to_markdown(&self) -> String {
        let escape = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('|', "\\|")
                .replace(['\n', '\r'], " ")
        };
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(
            self.columns
                .iter()
                .map(|column| escape(&column.name))
                .collect(),
        );
        let rule = |column: &Column| {
            if column.align == Align::Left {
                ":---".to_owned()
            } else {
                "---:".to_owned()
            }
        };
        text.push_str(&line(self.columns.iter().map(rule).collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(|cell| escape(&cell.text())).collect()));
        }
        if !self.notes.is_empty() {
            push!(text, "\n{}\n", self.notes.join(" "));
        }
        text
    }

    /// CSV (RFC 4180, but with line feeds) of exact numbers; a column of ranges becomes `NAME`, `NAME low` and `NAME high`.
    pub fn to_csv(&self) -> String {
        let ranged: Vec<bool> = (0..self.columns.len())
            .map(|index| self.rows.iter().any(|row| row[index].range().is_some()))
            .collect();
        let mut text = String::new();
        let mut header = Vec::new();
        for (column, &ranged) in self.columns.iter().zip(&ranged) {
            header.push(column.name.clone());
            if ranged {
                header.extend([
                    format!("{} low", column.name),
                    format!("{} high", column.name),
                ]);
            }
        }
        push_csv_line(&mut text, &header);
        for row in &self.rows {
            let mut fields = Vec::new();
            for (cell, &ranged) in row.iter().zip(&ranged) {
                fields.push(match cell.value() {
                    Value::Null => String::new(),
                    Value::String(text) => text,
                    value => value.to_string(),
                });
                if ranged {
                    let range = cell
                        .range()
                        .map(|(low, high)| [low.to_string(), high.to_string()]);
                    fields.extend(range.unwrap_or_default());
                }
            }
            push_csv_line(&mut text, &fields);
        }
        text
    }

    /// A list of objects by column name, numbers exact; a cell with a range is `{ value, low, high }`.
    pub fn to_json(&self) -> Value {
        let object = |row: &Vec<Cell>| -> Map<String, Value> {
            let member = |(column, cell): (&Column, &Cell)| {
                let value = match cell.range() {
                    Some((low, high)) => json!({ "value": cell.value(), "low": low, "high": high }),
                    None => cell.value(),
                };
                (column.name.clone(), value)
            };
            self.columns.iter().zip(row).map(member).collect()
        };
        self.rows.iter().map(object).collect()
    }
}

fn push_csv_line(text: &mut String, fields: &[String]) {
    let quote = |field: &String| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.clone()
        }
    };
    text.push_str(&fields.iter().map(quote).collect::<Vec<_>>().join(","));
    text.push('\n');
}

fn wrap(heading: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in heading.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Interval;

    fn example() -> Table {
        let score = |value, low, high| {
            Cell::Score(Score {
                value,
                interval: Some(Interval { low, high }),
            })
        };
        Table {
            columns: vec![
                Column::words("model"),
                Column::numbers("parameters"),
                Column::numbers("size on disk"),
                Column::numbers("dev accuracy"),
                Column::numbers("share of the teacher kept"),
                Column::numbers("sentences/s"),
            ],
            rows: vec![
                vec![
                    Cell::Text("Lehrer | 教師".to_owned()),
                    Cell::Count(22_713_216),
                    Cell::Bytes(90_900_000),
                    score(0.9128, 0.8922, 0.9297),
                    Cell::Missing,
                    Cell::Rate(251.4),
                ],
                vec![
                    Cell::Text("student, \"small\"".to_owned()),
                    Cell::Count(999_600),
                    Cell::Bytes(812),
                    Cell::Seeds(Summary::of(&[0.89, 0.9, 0.87]).unwrap()),
                    Cell::Share(0.975),
                    Cell::Rate(5.0),
                ],
            ],
            notes: vec!["± is half of a 95 % interval.".to_owned()],
        }
    }

    #[test]
    fn a_terminal_shows_aligned_columns() {
        insta::assert_snapshot!(example().to_text(), @r#"
                                                                    share
                                                                   of the
                                      size on                     teacher
        model             parameters     disk       dev accuracy     kept  sentences/s
        ────────────────  ──────────  ───────  ─────────────────  ───────  ───────────
        Lehrer | 教師         22.7 M  90.9 MB         91.3 ± 1.9        –          251
        student, "small"      1.00 M    812 B  89.0 (87.0..90.0)   97.5 %         5.00
        ± is half of a 95 % interval.
        "#);
    }

    #[test]
    fn markdown_escapes_bars() {
        insta::assert_snapshot!(example().to_markdown(), @r#"
        | model | parameters | size on disk | dev accuracy | share of the teacher kept | sentences/s |
        | :--- | ---: | ---: | ---: | ---: | ---: |
        | Lehrer \| 教師 | 22.7 M | 90.9 MB | 91.3 ± 1.9 | – | 251 |
        | student, "small" | 1.00 M | 812 B | 89.0 (87.0..90.0) | 97.5 % | 5.00 |

        ± is half of a 95 % interval.
        "#);
    }

    #[test]
    fn csv_has_exact_numbers() {
        insta::assert_snapshot!(example().to_csv(), @r#"
        model,parameters,size on disk,dev accuracy,dev accuracy low,dev accuracy high,share of the teacher kept,sentences/s
        Lehrer | 教師,22713216,90900000,0.9128,0.8922,0.9297,,251.4
        "student, ""small""",999600,812,0.89,0.87,0.9,0.975,5.0
        "#);
    }

    #[test]
    fn json_has_exact_numbers() {
        insta::assert_snapshot!(example().to_json()[1], @r#"{"model":"student, \"small\"","parameters":999600,"size on disk":812,"dev accuracy":{"value":0.89,"low":0.87,"high":0.9},"share of the teacher kept":0.975,"sentences/s":5.0}"#);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let check = |cell: Cell, expected: &str| assert_eq!(cell.text(), expected);
        check(Cell::Count(0), "0");
        check(Cell::Count(999), "999");
        check(Cell::Count(999_499), "999 k");
        check(Cell::Count(999_500), "1.00 M");
        check(Cell::Count(2_410_000), "2.41 M");
        check(Cell::Bytes(1_000), "1.00 kB");
        check(Cell::Rate(9.996), "10.0");
        check(Cell::Rate(99.96), "100");
        check(Cell::Rate(1234.5), "1234");
    }

    #[test]
    fn a_summary_has_the_middle_and_the_ends() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(
            Summary::of(&[3.0]),
            Some(Summary {
                median: 3.0,
                min: 3.0,
                max: 3.0,
                count: 1
            })
        );
        assert_eq!(
            Summary::of(&[4.0, 1.0, 3.0, 2.0]),
            Some(Summary {
                median: 2.5,
                min: 1.0,
                max: 4.0,
                count: 4
            })
        );
    }

    proptest! {
        #[test]
        fn every_line_of_words_and_numbers_ends_in_one_column(names in prop::collection::vec("[a-z教é ]{0,12}", 1..6)) {
            let rows = names.iter().map(|name| vec![Cell::Text(name.clone()), Cell::Count(name.len() as u64)]).collect();
            let table = Table { columns: vec![Column::words("name"), Column::numbers("bytes")], rows, notes: Vec::new() };
            let text = table.to_text();
            let widths: Vec<_> = text.lines().map(UnicodeWidthStr::width).collect();
            prop_assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
        }
    }
}
