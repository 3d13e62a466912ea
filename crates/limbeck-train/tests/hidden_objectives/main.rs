//! What is learnt from hidden states and attention: losses against PyTorch, layer maps, and whole trainings.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod losses;
mod settings;
mod trainings;

use std::path::{Path, PathBuf};

use candle_core::Device;
use limbeck_model::{Encoding, ModelConfig, SentenceClassifier, Target};
use limbeck_text::Label;
use limbeck_train::EncodedSet;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs_err::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn open(name: &str) -> SentenceClassifier {
    SentenceClassifier::open(&fixture(name), None, 0, &Device::Cpu).unwrap()
}

/// A fresh BERT like the tiny one, of another depth and width.
fn bert(layers: usize, width: usize, heads: usize) -> SentenceClassifier {
    let ModelConfig::Transformer(mut config) =
        ModelConfig::open(&fixture("tiny-bert/config.json")).unwrap()
    else {
        panic!("tiny-bert is a transformer")
    };
    (config.layer_count, config.hidden_size, config.head_count) = (layers, width, heads);
    (config.hidden_dropout, config.attention_dropout) = (0.1, 0.1);
    let target = Target::Labels(
        ["negative", "neutral", "positive"]
            .map(str::to_owned)
            .into(),
    );
    SentenceClassifier::fresh(ModelConfig::Transformer(config), &target, 5, &Device::Cpu).unwrap()
}

fn integers(value: &Value) -> Vec<u32> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_u64().unwrap() as u32).collect()
}

/// The sentences of `training/data.json` at `rows`.
fn sentences(rows: &[usize]) -> EncodedSet {
    let data = json("training/data.json");
    let encodings = rows.iter().map(|&row| Encoding {
        ids: integers(&data["ids"][row]),
        segments: integers(&data["segments"][row]),
    });
    let labels = integers(&data["labels"]);
    EncodedSet::from_parts(
        encodings.collect(),
        rows.iter().map(|&row| row as u64).collect(),
        rows.iter()
            .map(|&row| Some(Label::Class(labels[row])))
            .collect(),
    )
}
