//! The real files, where they are at hand: `LIMBECK_SHARED_DIR`, or `shared` beside the workspace.

use std::path::{Path, PathBuf};

use limbeck_text::{DataSpec, Dataset, LabelSource, read_examples};

/// The file in the shared folder; `None`, with a note, where there is none.
#[expect(clippy::print_stdout, reason = "says which test was skipped")]
fn shared(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("LIMBECK_SHARED_DIR").map_or(beside, PathBuf::from);
    let path = folder.join("data").join(file);
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

fn read(file: &str) -> Option<Dataset> {
    let spec = DataSpec::new(shared(file)?);
    Some(read_examples(&spec, &LabelSource::Infer).unwrap())
}

/// Row count and whether the rows have labels.
fn check(file: &str, count: usize, is_labelled: bool) {
    let Some(data) = read(file) else {
        return;
    };
    assert_eq!(data.examples.len(), count, "{file}");
    assert_eq!(data.gold().is_ok(), is_labelled, "{file}");
    assert!(data.skipped.is_empty(), "{file}: {:?}", data.skipped);
    assert_eq!(data.require_trainable().is_ok(), is_labelled, "{file}");
}

#[test]
fn glue_files_have_their_published_sizes() {
    check("glue/SST-2/train.tsv", 67_349, true);
    check("glue/SST-2/dev.tsv", 872, true);
    check("glue/SST-2/test.tsv", 1_821, false);
    check("glue/CoLA/train.tsv", 8_551, true);
    check("glue/CoLA/dev.tsv", 1_043, true);
    check("glue/CoLA/test.tsv", 1_063, false);
    check("glue/MRPC/train.tsv", 3_668, true);
    check("glue/MRPC/dev.tsv", 408, true);
    check("glue/MRPC/test.tsv", 1_725, false);
    check("glue/STS-B/train.tsv", 5_749, true);
    check("glue/STS-B/dev.tsv", 1_500, true);
    check("glue/STS-B/test.tsv", 1_379, false);
    check("glue/RTE/train.tsv", 2_490, true);
    check("glue/RTE/dev.tsv", 277, true);
    check("glue/RTE/test.tsv", 3_000, false);
    check("glue/QNLI/dev.tsv", 5_463, true);
    check("glue/QNLI/test.tsv", 5_463, false);
}

#[test]
fn sara_has_57_intents_in_numeric_order() {
    check("sara/train.tsv", 2_853, true);
    check("sara/dev.tsv", 970, true);
    check("sara/test.tsv", 987, true);
    if let Some(data) = read("sara/train.tsv") {
        assert_eq!(data.labels().len(), 57);
        assert_eq!(data.labels()[10], "10");
    }
}

#[test]
fn movie_ratings_become_two_classes() {
    let Some(path) = shared("vader/movieReviewSnippets_GroundTruth.txt") else {
        return;
    };
    let settings = "format = 'tsv'\nhas-header = false\ncolumns = { text = 3, label = 2, id = 1 }\n\
                    label-rule = { threshold = { above = 0.5, positive = 'positive', negative = 'negative' } }";
    let spec = DataSpec {
        path,
        ..toml::from_str(settings).unwrap()
    };
    let data = read_examples(&spec, &LabelSource::Infer).unwrap();
    let gold = data.gold().unwrap();
    let of = |class| {
        gold.iter()
            .filter(|label| label.class() == Some(class))
            .count()
    };
    assert_eq!((of(0), of(1)), (5_061, 4_982));
    assert_eq!(data.examples.len() + data.skipped.len(), 10_605);
}
