//! Masked language models and sentence encoders: pretraining, filling gaps, sentence vectors.
//! Numbers from `scripts/reference/masked_lm.py`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod embedding;
mod filling;
mod masking;
mod pretraining;

use std::path::{Path, PathBuf};

use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs_err::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap()).collect()
}

fn integers(value: &Value) -> Vec<u32> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_u64().unwrap() as u32).collect()
}

/// Sentences of the tiny models' words.
fn sentences(count: usize) -> Vec<String> {
    let words = ["film", "movie", "plot", "story", "snow", "act"];
    let kinds = ["good", "bad", "dull", "slow", "great", "fun", "unwatchable"];
    let ends = [
        ".",
        "!",
        "and it is not a very great story about a boring film .",
    ];
    let sentence = |i: usize| {
        let (word, kind, end) = (words[i % 6], kinds[i * 5 % 7], ends[i / 7 % 3]);
        format!("the {word} is {kind} {end}")
    };
    (0..count).map(sentence).collect()
}
