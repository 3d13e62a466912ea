//! No file, whatever its bytes, makes a reader panic.

use limbeck_text::{DataSpec, Format, GlueTask, LabelSource, read_examples, read_texts};
use proptest::prelude::*;

use crate::{Fixture, formats::parquet_bytes, names};

const FORMATS: [Format; 8] = [
    Format::Auto,
    Format::Glue,
    Format::LabelText,
    Format::Csv,
    Format::Tsv,
    Format::Jsonl,
    Format::Parquet,
    Format::Lines,
];

fn read_in_every_way(bytes: &[u8]) {
    let fixture = Fixture::new("fuzz.dat", bytes);
    let specs = FORMATS.into_iter().flat_map(|format| {
        [None, Some(false)].map(|has_header| DataSpec {
            format,
            has_header,
            glue_task: (format == Format::Glue).then_some(GlueTask::Cola),
            ..fixture.spec()
        })
    });
    let glue = GlueTask::ALL
        .into_iter()
        .map(|task| DataSpec::glue(&fixture.path, task));
    for spec in specs.chain(glue) {
        for labels in [LabelSource::Infer, LabelSource::Scores, names(&["0", "1"])] {
            let _ = read_examples(&spec, &labels);
        }
        let _ = read_texts(&spec);
    }
}

/// Pieces that make up real files, so that more than the first check is reached.
fn file_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-z0-9 ]{0,6}",
        prop::sample::select(vec![
            "\t",
            "\n",
            "\r\n",
            ",",
            "\"",
            "\"\"",
            "text",
            "sentence",
            "sentence1",
            "sentence2",
            "label",
            "index",
            "score",
            "Quality",
            "#1 String",
            "#2 String",
            "gold_label",
            "question",
            "{",
            "}",
            "{\"text\":",
            "\"label\":1}",
            "null",
            "-",
            "hidden",
            "1e999",
            "nan",
            "\u{feff}",
            "é",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_in_every_way(&bytes);
    }

    #[test]
    fn bytes_that_look_like_data_never_panic(bytes in file_like()) {
        read_in_every_way(&bytes);
    }

    #[test]
    fn a_damaged_parquet_file_never_panics(cut in 0.0..1.0, place: prop::sample::Index, value: u8) {
        let mut bytes = parquet_bytes(&[("one", 1, 0.5), ("two", 0, 1.5)], true);
        let kept = (bytes.len() as f64 * cut) as usize;
        let truncated = Fixture::new("x.parquet", &bytes[..kept]);
        prop_assert!(read_examples(&truncated.spec(), &LabelSource::Infer).is_err());
        let place = place.index(bytes.len());
        bytes[place] = value;
        let flipped = Fixture::new("x.parquet", &bytes);
        let _ = read_examples(&flipped.spec(), &LabelSource::Infer);
    }

    #[test]
    fn csv_reads_what_csv_writes(cells in prop::collection::vec("[a-z]([ -~\n]{0,8}[a-z])?", 1..12)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["text", "label"]).unwrap();
        for cell in &cells {
            writer.write_record([cell, "x"]).unwrap();
        }
        let fixture = Fixture::new("x.csv", writer.into_inner().unwrap());
        let texts: Vec<String> = fixture.read().texts().map(|text| text.first.clone()).collect();
        prop_assert_eq!(texts, cells);
    }
}
