use std::path::Path;

use candle_core::Device;
use limbeck_text::SentenceEmbedder;
use limbeck_train::{TextEmbedder, TrainError};
use serde_json::{Value, json};

use crate::{fixture, floats, json};

/// A sentence-transformers folder around the tiny encoder.
fn folder(pooling: &str, modules: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        fs_err::copy(fixture("tiny-bert").join(name), folder.path().join(name)).unwrap();
    }
    let write = |name: &str, value: Value| {
        fs_err::write(folder.path().join(name), value.to_string()).unwrap();
    };
    fs_err::create_dir(folder.path().join("pooling")).unwrap();
    let mut config = json!({ "word_embedding_dimension": 16, "pooling_mode_max_tokens": false });
    config[pooling] = true.into();
    write("pooling/config.json", config);
    let modules: Vec<Value> = ["Transformer", "Pooling"]
        .iter()
        .chain(modules)
        .map(|kind| {
            let path = if *kind == "Pooling" { "pooling" } else { "" };
            json!({ "path": path, "type": format!("sentence_transformers.models.{kind}") })
        })
        .collect();
    write("modules.json", modules.into());
    write(
        "sentence_bert_config.json",
        json!({ "max_seq_length": 12, "do_lower_case": false }),
    );
    folder
}

fn open(folder: &Path, kept: usize) -> Result<TextEmbedder, TrainError> {
    TextEmbedder::open(folder, "tiny", kept, &Device::Cpu)
}

fn check(found: &[Vec<f32>], expected: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let expected = floats(expected);
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{a}, transformers {b}");
        }
    }
}

#[test]
fn vectors_equal_those_of_transformers() {
    let reference = json("tiny-bert/sentence_vectors.json");
    let texts: Vec<&str> = reference["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    let (mean, first) = ("pooling_mode_mean_tokens", "pooling_mode_cls_token");
    let normalised: &[&str] = &["Normalize"];
    for (pooling, modules, key) in [
        (mean, &[][..], "mean"),
        (mean, normalised, "mean_normalised"),
        (first, &[][..], "first"),
        (first, normalised, "first_normalised"),
    ] {
        let folder = folder(pooling, modules);
        let embedder = open(folder.path(), 3).unwrap();
        let found = embedder.embed(&texts).unwrap();
        check(&found, &reference[key]);
        // Alone, repeated, and from those kept: the same bits.
        for (text, expected) in texts.iter().zip(&found) {
            assert_eq!(
                embedder.embed(&[text, text]).unwrap(),
                [expected.clone(), expected.clone()]
            );
        }
        assert_eq!(
            open(folder.path(), 0).unwrap().embed(&texts).unwrap(),
            found
        );
    }
}

#[test]
fn what_is_not_supported_is_refused() {
    let show = |folder: &tempfile::TempDir| {
        let message = open(folder.path(), 0).unwrap_err().to_string();
        message.replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    insta::assert_snapshot!(show(&folder("pooling_mode_max_tokens", &[])), @"");
    insta::assert_snapshot!(show(&folder("pooling_mode_mean_tokens", &["Dense"])), @"");
}

#[test]
fn mini_lm_equals_transformers() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.limbeck/models/all-MiniLM-L6-v2");
    if !folder.join("model.safetensors").exists() {
        eprintln!(
            "skipped: {} is missing; `scripts/fetch.sh` fetches it",
            folder.display()
        );
        return;
    }
    let reference = json("minilm_vectors.json");
    let texts: Vec<&str> = reference["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    let embedder = TextEmbedder::open(&folder, "all-MiniLM-L6-v2", 10, &Device::Cpu).unwrap();
    let found = embedder.embed(&texts).unwrap();
    check(&found, &reference["vectors"]);
    assert_eq!(embedder.embed(&texts[2..3]).unwrap()[0], found[2]);
}
