//! What the user sees of each mistake.

use limbeck_text::{DataSpec, LabelSource, read_examples, read_texts};

use crate::{Fixture, names, spec};

fn message(file: &str, content: impl AsRef<[u8]>, settings: &str, labels: &LabelSource) -> String {
    let fixture = Fixture::new(file, content);
    let error = read_examples(&spec(&fixture, settings), labels).unwrap_err();
    fixture.message(&error)
}

const INFER: &LabelSource = &LabelSource::Infer;

#[test]
fn a_missing_file() {
    let error = read_examples(&DataSpec::new("no/such.csv"), INFER).unwrap_err();
    insta::assert_snapshot!(error, @"no/such.csv: no such file; check `path`");
}

#[test]
fn a_wrong_column() {
    insta::assert_snapshot!(message("x.csv", "txt,label\na,1\n", "", INFER), @r#"x.csv: no text column; the columns are ["txt", "label"]; set `columns.text`"#);
    insta::assert_snapshot!(message("x.csv", "text,label\na,1\n", "columns = { label = 'y' }", INFER), @r#"x.csv: no label column `y`; the columns are ["text", "label"]; set `columns.label`"#);
    insta::assert_snapshot!(message("x.tsv", "a\tb\tc\n", "has-header = false\ncolumns = { text = 4 }", INFER), @r#"x.tsv: no text column `4`; the columns are ["1", "2", "3"]; set `columns.text`"#);
    insta::assert_snapshot!(message("x.jsonl", r#"{"txt": "a"}"#, "", INFER), @r#"x.jsonl: no text column; the columns are ["txt"]; set `columns.text`"#);
    insta::assert_snapshot!(message("QNLI/dev.tsv", "index\tquestion\tlabel\n", "", INFER), @r#"QNLI/dev.tsv: no text-pair column `sentence`; the columns are ["index", "question", "label"]; set `columns.text-pair`"#);
}

#[test]
fn an_unknown_label() {
    insta::assert_snapshot!(message("x.tsv", "0\ta\npos\tb\n", "", &names(&["0", "1"])), @r#"x.tsv:2: label `pos` is not one of ["0", "1"]; list it under `labels`, translate it with `label-map` or fix the row"#);
    insta::assert_snapshot!(message("SST-2/dev.tsv", "sentence\tlabel\na\t2\n", "", INFER), @r#"SST-2/dev.tsv:2: label `2` is not one of ["0", "1"]; list it under `labels`, translate it with `label-map` or fix the row"#);
}

#[test]
fn an_empty_data_set() {
    insta::assert_snapshot!(message("x.tsv", "", "", INFER), @"x.tsv: no examples (0 rows skipped); give a file with at least one");
    insta::assert_snapshot!(message("x.csv", "text,label\n", "", INFER), @"x.csv: no examples (0 rows skipped); give a file with at least one");
    insta::assert_snapshot!(message("x.csv", "text,label\n,1\n\n", "", INFER), @"x.csv: no examples (2 rows skipped); give a file with at least one");
}

#[test]
fn one_class_only() {
    let fixture = Fixture::new("x.tsv", "yes\ta\nyes\tb\n");
    let error = fixture.read().require_trainable().unwrap_err();
    insta::assert_snapshot!(fixture.message(&error), @"x.tsv: all 2 examples have label `yes`; training needs at least two classes");
}

#[test]
fn an_unlabelled_set_that_is_to_be_scored() {
    let fixture = Fixture::new("SST-2/test.tsv", "index\tsentence\n0\ta\n1\tb\n");
    insta::assert_snapshot!(fixture.message(&fixture.read().gold().unwrap_err()), @"SST-2/test.tsv: 2 of 2 examples have no label; use a labelled file, or name its column with `columns.label`");
    insta::assert_snapshot!(message("x.csv", "text\na\n", "", INFER), @"x.csv: 1 of 1 examples have no label; use a labelled file, or name its column with `columns.label`");
}

#[test]
fn a_malformed_line() {
    insta::assert_snapshot!(message("x.tsv", "1\ta\n0\tb\tc\n", "", INFER), @"x.tsv:2: 3 columns, expected 2; fix the row or set `delimiter` and `format`");
    insta::assert_snapshot!(message("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\n", "", INFER), @"RTE/dev.tsv:2: 3 columns, expected 4; fix the row or set `delimiter` and `format`");
    insta::assert_snapshot!(message("x.csv", "text,label\n\"a\nb\",1\na,b,c\n", "", INFER), @"x.csv:4: 3 columns, expected 2; fix the row or set `delimiter` and `format`");
    insta::assert_snapshot!(message("x.csv", "text,label\n\"a,1\nb,0\n", "", INFER), @"x.csv:2: a quote is never closed; quote the whole field and double the quotes inside it");
    insta::assert_snapshot!(message("x.csv", "text,label\n\"a\" b,1\n", "", INFER), @"x.csv:2: text after a closing quote; quote the whole field and double the quotes inside it");
    insta::assert_snapshot!(message("x.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"\n", "", INFER), @"x.jsonl:2: not a JSON object: EOF while parsing an object at column 12; write one object per line");
    insta::assert_snapshot!(message("x.jsonl", "[1]\n", "", INFER), @"x.jsonl:1: not a JSON object: invalid type: sequence, expected a map at column 0; write one object per line");
    insta::assert_snapshot!(message("x.jsonl", "{\"text\": 5, \"label\": 1}\n", "", INFER), @"x.jsonl:1: column `text` holds a number, expected a string; fix the row or name another column");
    insta::assert_snapshot!(message("x.jsonl", "{\"text\": \"a\", \"label\": [1]}\n", "", INFER), @"x.jsonl:1: column `label` holds a list, expected a string, a number or true/false; fix the row or name another column");
    insta::assert_snapshot!(message("x.tsv", b"1\tgood\n0\tcaf\xe9\n", "", INFER), @"x.tsv:2: not valid UTF-8 after byte 5 of the line; convert the file, e.g. with `iconv -t utf-8`");
    insta::assert_snapshot!(message("x.parquet", "not parquet at all", "", INFER), @"x.parquet: not a readable parquet file: Parquet error: Invalid Parquet file. Corrupt footer; it may be truncated or use an unsupported compression");
}

#[test]
fn a_label_that_is_no_proper_number() {
    insta::assert_snapshot!(message("x.tsv", "good\ta\n", "", &LabelSource::Scores), @"x.tsv:1: label `good` is not a number, as regression and label rules need; fix the row or make the task a classification");
    insta::assert_snapshot!(message("x.tsv", "nan\ta\n", "", &LabelSource::Scores), @"x.tsv:1: score `nan` is not a finite number; fix or remove the row");
    let sts = "index\tsentence1\tsentence2\tscore\n0\ta\tb\t5.5\n";
    insta::assert_snapshot!(message("STS-B/dev.tsv", sts, "", INFER), @"STS-B/dev.tsv:2: score `5.5` is not between 0 and 5; fix or remove the row");
    let rule = "label-rule = { threshold = { above = 0.5, positive = 'p', negative = 'n' } }";
    insta::assert_snapshot!(message("x.tsv", "good\ta\n", rule, INFER), @"x.tsv:1: label `good` is not a number, as regression and label rules need; fix the row or make the task a classification");
}

#[test]
fn a_format_nobody_can_tell() {
    insta::assert_snapshot!(message("x.dat", "just text\n", "", INFER), @"x.dat: cannot tell the format from the name or the first line; set `format` to one of `glue`, `label-text`, `csv`, `tsv`, `jsonl`, `parquet`, `lines`");
    insta::assert_snapshot!(message("x.tsv", "a\tb\n", "format = 'glue'", INFER), @"x.tsv: the folder is not named after a GLUE task; set `glue-task`, e.g. `sst-2`");
    let fixture = Fixture::new("x.tsv", "either\tor\n");
    let error = read_texts(&fixture.spec()).unwrap_err();
    insta::assert_snapshot!(fixture.message(&error), @"x.tsv: cannot tell the format from the name or the first line; set `format` to one of `glue`, `label-text`, `csv`, `tsv`, `jsonl`, `parquet`, `lines`");
}

#[test]
fn settings_that_make_no_sense() {
    insta::assert_snapshot!(message("x.csv", "a\n", "delimiter = '\"'", INFER), @r#"`delimiter`: '"' cannot separate columns; use one ASCII character"#);
    let rule = "label-rule = { threshold = { above = -0.5, positive = 'p', negative = 'n' } }";
    insta::assert_snapshot!(message("x.tsv", "1\ta\n", rule, INFER), @"`label-rule`: `below` is 0.5, `above` is -0.5; a rating would be both, so give `below` the smaller");
    let error = toml::from_str::<DataSpec>("path = 'x'\ncolumn = 3\n").unwrap_err();
    insta::assert_snapshot!(error.message(), @"unknown field `column`, expected one of `path`, `format`, `glue-task`, `columns`, `delimiter`, `has-header`, `label-map`, `label-rule`");
}
