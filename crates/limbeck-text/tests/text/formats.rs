use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use limbeck_text::{
    Column, Columns, DataSpec, Dataset, ExampleReader, Format, GlueTask, Label, LabelSource,
    SkipReason, TaskKind, Text, read_examples, read_texts, text_lines,
};
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::{Fixture, names, spec};

fn labels(data: &Dataset) -> Vec<Option<u32>> {
    data.examples
        .iter()
        .map(|e| e.label.and_then(Label::class))
        .collect()
}

fn firsts(data: &Dataset) -> Vec<&str> {
    data.texts().map(|text| text.first.as_str()).collect()
}

#[test]
fn cola_has_no_header_but_in_its_test_file() {
    let train = Fixture::new(
        "CoLA/train.tsv",
        "gj04\t1\t\tThey left.\ngj04\t0\t*\tThey \"leaved.\n",
    );
    let data = train.read();
    assert_eq!(firsts(&data), ["They left.", "They \"leaved."]);
    assert_eq!(labels(&data), [Some(1), Some(0)]);
    assert_eq!(data.labels(), ["unacceptable", "acceptable"]);
    let test = Fixture::new("CoLA/test.tsv", "index\tsentence\n0\tThey left.\n");
    assert_eq!(labels(&test.read()), [None]);
}

#[test]
fn mrpc_starts_with_a_byte_order_mark() {
    let file = Fixture::new(
        "MRPC/dev.tsv",
        "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tHe said \" no .\tNo , he said .\r\n",
    );
    let data = file.read();
    assert_eq!(
        data.examples[0].text,
        Text::pair("He said \" no .", "No , he said .")
    );
    assert_eq!(labels(&data), [Some(1)]);
}

#[test]
fn qqp_rows_without_a_question_are_counted_and_left_out() {
    let file = Fixture::new(
        "QQP/train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n\
         1\t2\t3\tWhy?\tHow?\t0\n4\t5\t6\tWhy?\n7\t8\t9\t\tHow?\t0\n1\t2\t3\tWhy?\tWhy then?\t1\n",
    );
    let data = file.read();
    assert_eq!(labels(&data), [Some(0), Some(1)]);
    assert_eq!(data.examples[1].id, 1);
    let skipped: Vec<_> = data
        .skipped
        .iter()
        .map(|row| (row.line, row.reason))
        .collect();
    assert_eq!(
        skipped,
        [(3, SkipReason::ColumnCount), (4, SkipReason::EmptyText)]
    );
}

#[test]
fn sts_scores_are_numbers_and_rows_may_be_longer() {
    let file = Fixture::new(
        "STS-B/dev.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n\
         0\tg\tf\ty\t0\tnone\tnone\tA b.\tC d.\t4.750\n1\tg\tf\ty\t0\tnone\tnone\tA.\tC.\t0.0\textra\n",
    );
    let data = file.read();
    assert_eq!(data.kind, TaskKind::Regression);
    assert_eq!(
        data.gold().unwrap(),
        [Label::Score(4.75), Label::Score(0.0)]
    );
}

#[test]
fn mnli_takes_the_gold_label_from_the_last_column() {
    let header = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t\
                  sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label";
    let row = |label| format!("0\t1\t2\tg\t(a)\t(b)\t(A)\t(B)\tA man.\tA boy.\tneutral\t{label}");
    let rows = ["contradiction", "-", "hidden", "entailment"]
        .map(row)
        .join("\n");
    let file = Fixture::new("MNLI/dev_mismatched.tsv", format!("{header}\n{rows}\n"));
    let data = file.read();
    assert_eq!(labels(&data), [Some(2), None, Some(0)]);
    assert_eq!(data.skipped[0].reason, SkipReason::NoGoldLabel);
    assert_eq!(data.examples[0].text, Text::pair("A man.", "A boy."));
}

#[test]
fn inference_tasks_find_their_own_columns() {
    let qnli = Fixture::new(
        "QNLI/dev.tsv",
        "index\tquestion\tsentence\tlabel\n0\tWho?\tMe.\tnot_entailment\n",
    );
    assert_eq!(labels(&qnli.read()), [Some(1)]);
    assert_eq!(qnli.read().examples[0].text, Text::pair("Who?", "Me."));
    let wnli = Fixture::new(
        "x/w.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n",
    );
    let data = read_examples(
        &DataSpec::glue(&wnli.path, GlueTask::Wnli),
        &LabelSource::Infer,
    )
    .unwrap();
    assert_eq!(data.labels()[1], "entailment");
    assert_eq!(labels(&data), [Some(1)]);
    let ax = Fixture::new(
        "AX/diagnostic.tsv",
        "index\tsentence1\tsentence2\n0\tA.\tB.\n",
    );
    assert_eq!(labels(&ax.read()), [None]);
}

#[test]
fn sst_texts_are_trimmed_and_either_name_of_a_label_is_understood() {
    let file = Fixture::new("SST-2/dev.tsv", "sentence\tlabel\nit 's charming . \t1\n");
    assert_eq!(firsts(&file.read()), ["it 's charming ."]);
    for known in [["0", "1"], ["negative", "positive"]] {
        let data = read_examples(&file.spec(), &names(&known)).unwrap();
        assert_eq!(labels(&data), [Some(1)]);
    }
}

#[test]
fn label_text_files_need_no_settings() {
    let file = Fixture::new("intents.tsv", "10\tyes please\n9\tno\n10\tsure\n");
    let data = file.read();
    assert_eq!(data.labels(), ["9", "10"]);
    assert_eq!(labels(&data), [Some(1), Some(0), Some(1)]);
    let pairs = Fixture::new("pairs.txt", "a\tfirst\tsecond\nb\tthird\tfourth\n");
    assert_eq!(pairs.read().examples[1].text, Text::pair("third", "fourth"));
    let blanks = Fixture::new("stsa.train", "1 a stirring , funny film\n0 no movement\n");
    let data = read_examples(
        &spec(&blanks, "format = 'label-text'\ndelimiter = ' '"),
        &LabelSource::Infer,
    );
    assert_eq!(
        firsts(&data.unwrap()),
        ["a stirring , funny film", "no movement"]
    );
}

#[test]
fn csv_fields_may_hold_commas_quotes_and_lines() {
    let file = Fixture::new(
        "reviews.csv",
        "\u{feff}id,text,label\r\n7,\"one, \"\"two\"\"\nthree\",good\r\n\r\n8,plain \"inner\" quote,bad\r\n",
    );
    let data = read_examples(&spec(&file, "columns = { id = 'id' }"), &LabelSource::Infer).unwrap();
    assert_eq!(
        firsts(&data),
        ["one, \"two\"\nthree", "plain \"inner\" quote"]
    );
    assert_eq!(data.labels(), ["bad", "good"]);
    assert_eq!(data.source_ids, ["7", "8"]);
    assert_eq!(data.skipped[0].line, 4);
}

#[test]
fn columns_can_be_chosen_by_name_or_number() {
    let file = Fixture::new("x.csv", "a;b;c\nyes;one;two\n");
    let check = |toml: &str| {
        let data = read_examples(&spec(&file, toml), &LabelSource::Infer).unwrap();
        assert_eq!(data.examples.last().unwrap().text, Text::pair("one", "two"));
        assert!(data.labels().contains(&"yes".to_owned()));
    };
    check("delimiter = ';'\ncolumns = { text = 'b', text-pair = 'c', label = 'a' }");
    check("delimiter = ';'\ncolumns = { text = 2, text-pair = 3, label = 1 }");
    check(
        "delimiter = ';'\nhas-header = false\ncolumns = { text = 2, text-pair = '3', label = 1 }",
    );
}

#[test]
fn tsv_quotes_stand_for_themselves() {
    let file = Fixture::new("x.tsv", "sentence\tlabel\n\"open\t1\nclosed\"\t0\n");
    assert_eq!(firsts(&file.read()), ["\"open", "closed\""]);
}

#[test]
fn jsonl_labels_may_be_text_numbers_or_truth_values() {
    let file = Fixture::new(
        "x.jsonl",
        "{\"premise\":\"a\",\"hypothesis\":\"b\",\"label\":1.0}\n\n{\"hypothesis\":\"d\",\"premise\":\"c\",\"label\":0}\n\
         {\"premise\":\"e\",\"hypothesis\":\"f\",\"label\":null}\n{\"premise\":\"g\",\"hypothesis\":\"h\"}\n",
    );
    let data = file.read();
    assert_eq!(data.labels(), ["0", "1"]);
    assert_eq!(labels(&data), [Some(1), Some(0), None, None]);
    assert_eq!(data.examples[1].text, Text::pair("c", "d"));
    let truth = Fixture::new(
        "y.jsonl",
        "{\"text\":\"a\",\"label\":true}\n{\"text\":\"b\",\"label\":false}\n",
    );
    assert_eq!(truth.read().labels(), ["false", "true"]);
}

/// `text`, an integer `label` and a double `score`, with Hugging Face's class names if `is_named`.
pub(crate) fn parquet_bytes(rows: &[(&str, i64, f64)], is_named: bool) -> Vec<u8> {
    let field = |name, physical, converted| {
        let builder =
            Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
        Arc::new(builder.with_converted_type(converted).build().unwrap())
    };
    let fields = vec![
        field("score", Physical::DOUBLE, ConvertedType::NONE),
        field("text", Physical::BYTE_ARRAY, ConvertedType::UTF8),
        field("label", Physical::INT64, ConvertedType::NONE),
    ];
    let schema = Type::group_type_builder("schema")
        .with_fields(fields)
        .build()
        .unwrap();
    let info = r#"{"info":{"features":{"label":{"names":["neg","pos"],"_type":"ClassLabel"}}}}"#;
    let notes = is_named.then(|| vec![KeyValue::new("huggingface".to_owned(), info.to_owned())]);
    let properties = WriterProperties::builder()
        .set_key_value_metadata(notes)
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let scores: Vec<f64> = rows.iter().map(|row| row.2).collect();
    let texts: Vec<ByteArray> = rows.iter().map(|row| row.0.into()).collect();
    let classes: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<DoubleType>()
        .write_batch(&scores, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<ByteArrayType>()
        .write_batch(&texts, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int64Type>()
        .write_batch(&classes, None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet_columns_are_found_by_name() {
    let rows = [
        ("good film", 1, 4.5),
        ("bad film", 0, 0.5),
        ("unknown", -1, 2.0),
    ];
    let plain = Fixture::new("x.parquet", parquet_bytes(&rows, false));
    let data = read_examples(&plain.spec(), &names(&["0", "1"])).unwrap();
    assert_eq!(firsts(&data), ["good film", "bad film", "unknown"]);
    assert_eq!(labels(&data), [Some(1), Some(0), None]);
    let scores = spec(&plain, "columns = { label = 'score' }");
    let data = read_examples(&scores, &LabelSource::Scores).unwrap();
    assert_eq!(data.gold().unwrap()[0], Label::Score(4.5));
}

#[test]
fn parquet_class_names_are_taken_from_the_file() {
    let rows = [
        ("good film", 1, 4.5),
        ("bad film", 0, 0.5),
        ("unknown", -1, 2.0),
    ];
    let file = Fixture::new("x.parquet", parquet_bytes(&rows, true));
    assert_eq!(file.read().labels(), ["neg", "pos"]);
    assert_eq!(labels(&file.read()), [Some(1), Some(0), None]);
    // Another order, as some teachers have: the names decide, not the numbers.
    let data = read_examples(&file.spec(), &names(&["pos", "neg"])).unwrap();
    assert_eq!(labels(&data), [Some(0), Some(1), None]);
}

#[test]
fn a_rule_makes_classes_of_ratings() {
    let file = Fixture::new(
        "r.txt",
        "1\t2.1\tfine\r\n2\t-0.6\tdull\r\n3\t0.5\tso so\r\n4\t-0.5\tmeh\r\n",
    );
    let settings = "format = 'tsv'\nhas-header = false\ncolumns = { text = 3, label = 2, id = 1 }\n\
                    label-rule = { threshold = { above = 0.5, positive = 'positive', negative = 'negative' } }";
    let data = read_examples(&spec(&file, settings), &LabelSource::Infer).unwrap();
    assert_eq!(data.labels(), ["negative", "positive"]);
    assert_eq!(labels(&data), [Some(1), Some(0)]);
    assert_eq!(data.source_ids, ["1", "2"]);
    assert!(
        data.skipped
            .iter()
            .all(|row| row.reason == SkipReason::BetweenThresholds)
    );
    assert_eq!(data.skipped.len(), 2);
}

#[test]
fn a_map_translates_labels() {
    let file = Fixture::new("x.tsv", "4\tgreat\n0\tawful\n");
    let settings = "label-map = { '4' = 'positive', '0' = 'negative' }";
    assert_eq!(
        read_examples(&spec(&file, settings), &LabelSource::Infer)
            .unwrap()
            .labels(),
        ["negative", "positive"]
    );
}

#[test]
fn texts_are_read_without_labels_and_row_by_row() {
    let lines = Fixture::new("input.txt", "one\n\nfirst\tsecond\n");
    let expected = [
        Text::single("one"),
        Text::single(""),
        Text::pair("first", "second"),
    ];
    assert_eq!(read_texts(&lines.spec()).unwrap(), expected);
    let streamed: Result<Vec<Text>, _> =
        text_lines(Cursor::new("one\n\nfirst\tsecond"), Path::new("stdin")).collect();
    assert_eq!(streamed.unwrap(), expected);
    let csv = Fixture::new("input.csv", "text,label\n\"a, b\",1\n,0\n");
    assert_eq!(
        read_texts(&csv.spec()).unwrap(),
        [Text::single("a, b"), Text::single("")]
    );
    let jsonl = Fixture::new("input.jsonl", "{\"title\":\"t\",\"body\":\"b\"}\n");
    let columns = Columns {
        text: Some(Column::Name("body".to_owned())),
        ..Columns::default()
    };
    let spec = DataSpec {
        columns,
        ..jsonl.spec()
    };
    assert_eq!(read_texts(&spec).unwrap(), [Text::single("b")]);
}

#[test]
fn streaming_gives_what_reading_gives() {
    let file = Fixture::new("x.tsv", "a\tone\n\nb\t\nb\ttwo\n");
    let mut reader = ExampleReader::open(&file.spec(), &LabelSource::Infer).unwrap();
    let streamed: Result<Vec<_>, _> = reader.by_ref().collect();
    let data = file.read();
    assert_eq!(streamed.unwrap(), data.examples);
    assert_eq!(reader.skipped(), data.skipped);
    assert_eq!(reader.kind(), &data.kind);
}

#[test]
fn a_spec_survives_toml_and_an_empty_one_is_all_defaults() {
    assert_eq!(toml::from_str::<DataSpec>("").unwrap(), DataSpec::default());
    let text = "path = 'a.csv'\nformat = 'csv'\nglue-task = 'sst-2'\ncolumns = { text = 3, label = 'y' }\n\
                label-rule = { threshold = { above = 1.0, below = 0.0, positive = 'p', negative = 'n' } }";
    let spec: DataSpec = toml::from_str(text).unwrap();
    assert_eq!(spec.format, Format::Csv);
    assert_eq!(
        toml::from_str::<DataSpec>(&toml::to_string(&spec).unwrap()).unwrap(),
        spec
    );
    assert!(toml::from_str::<DataSpec>("pth = 'a'").is_err());
}
