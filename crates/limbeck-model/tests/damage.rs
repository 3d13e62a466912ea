//! Damaged checkpoints are opened or refused, and never end the process.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use candle_core::Device;
use fs_err as fs;
use limbeck_model::{
    Batch, MaskedLanguageModel, ModelError, Needs, SentenceClassifier, Target, TextTokenizer,
    generator,
};
use limbeck_ops::Pass;
use limbeck_text::Text;
use rand::Rng;
use tempfile::TempDir;

const ROUNDS: usize = 400;
const FILES: [&str; 4] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn copy_of(model: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        fs::copy(fixture(model).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

/// Opens what is there and, where that works, computes with it.
fn open(folder: &Path) -> Result<(), ModelError> {
    let device = Device::Cpu;
    let labels = Target::Labels(
        ["negative", "neutral", "positive"]
            .map(str::to_owned)
            .to_vec(),
    );
    for target in [None, Some(&labels), Some(&Target::Regression)] {
        // Each on its own: one may be refused and another not.
        let Ok(model) = SentenceClassifier::open(folder, target, 0, &device) else {
            continue;
        };
        let tokenizer = TextTokenizer::open(folder)?;
        let max_tokens = model.max_tokens().min(32);
        let encodings = tokenizer.encode_batch(&[Text::single("a good film .")], max_tokens)?;
        let batch = Batch::new(encodings.iter().map(|encoding| (0, encoding)));
        model.forward(&batch, Needs::NOTHING, &Pass::EVALUATE)?;
    }
    SentenceClassifier::open(folder, None, 0, &device)?;
    Ok(())
}

/// Damages `file` of a model in many ways; `reach` is how much of its beginning may be hit.
fn damage(model: &str, file: &str, reach: usize) {
    let folder = copy_of(model);
    let whole = fs::read(fixture(model).join(file)).unwrap();
    let reach = reach.min(whole.len());
    let mut random = generator(7, file);
    let mut refused = 0;
    for _ in 0..ROUNDS {
        let mut bytes = whole.clone();
        match random.random_range(0..4) {
            0 => bytes.truncate(random.random_range(0..reach)),
            1 => {
                let at = random.random_range(0..reach);
                bytes[at] = b'0' + random.random_range(0..10u8);
            }
            2 => {
                let from = random.random_range(0..reach);
                let to = (from + random.random_range(1..40)).min(bytes.len());
                bytes.drain(from..to);
            }
            _ => {
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..reach);
                    bytes[at] ^= 1 << random.random_range(0..8u32);
                }
            }
        }
        fs::write(folder.path().join(file), bytes).unwrap();
        refused += usize::from(open(folder.path()).is_err());
        // A masked language model reads the same files by another path.
        let _ = MaskedLanguageModel::open(folder.path(), &Device::Cpu);
    }
    assert!(refused > ROUNDS / 4, "only {refused} of {ROUNDS} refused");
}

#[test]
fn a_damaged_config_is_opened_or_refused() {
    for model in ["tiny-bert", "tiny-roberta", "tiny-distilbert", "tiny-mpnet"] {
        damage(model, "config.json", usize::MAX);
    }
}

#[test]
fn damaged_weights_are_opened_or_refused() {
    // The header with its length, and a little of what follows.
    for model in ["tiny-bert", "tiny-mpnet"] {
        damage(model, "model.safetensors", 5_000);
    }
}

#[test]
fn a_damaged_tokenizer_is_opened_or_refused() {
    damage("tiny-bert", "tokenizer.json", usize::MAX);
}

#[test]
fn absurd_sizes_are_refused() {
    let numbers = [
        "0",
        "1",
        "2",
        "-1",
        "2.5",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "1e300",
        "null",
    ];
    for model in ["tiny-bert", "tiny-roberta", "tiny-distilbert", "tiny-mpnet"] {
        let folder = copy_of(model);
        let whole: serde_json::Value =
            serde_json::from_slice(&fs::read(fixture(model).join("config.json")).unwrap()).unwrap();
        for (key, value) in whole.as_object().unwrap() {
            if !value.is_number() {
                continue;
            }
            for number in numbers {
                let mut config = whole.clone();
                config[key] = serde_json::from_str(number).unwrap();
                fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
                let _ = open(folder.path());
                let _ = MaskedLanguageModel::open(folder.path(), &Device::Cpu);
            }
        }
    }
}
