//! What several of these tests need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use limbeck_model::{Encoding, SentenceClassifier};
use limbeck_text::Label;
use limbeck_train::{EncodedSet, Folders, Observer, Run, StepEvent, Summary, TrainError, train};
use serde_json::Value;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

pub(crate) fn read_json(name: &str) -> Value {
    serde_json::from_str(&fs_err::read_to_string(fixture(name)).unwrap()).unwrap()
}

pub(crate) fn read_tensors(name: &str) -> BTreeMap<String, Tensor> {
    let all = candle_core::safetensors::load(fixture(name), &Device::Cpu).unwrap();
    all.into_iter().collect()
}

pub(crate) fn open(name: &str) -> SentenceClassifier {
    SentenceClassifier::open(&fixture(name), None, 0, &Device::Cpu).unwrap()
}

pub(crate) fn integers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

pub(crate) fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The 40 sentences of `training/data.json`.
pub(crate) fn encodings() -> Vec<Encoding> {
    let data = read_json("training/data.json");
    let ids = data["ids"].as_array().unwrap().iter();
    ids.zip(data["segments"].as_array().unwrap())
        .map(|(ids, segments)| Encoding {
            ids: integers(ids),
            segments: integers(segments),
        })
        .collect()
}

/// Their labels, of which there are three.
pub(crate) fn labels() -> Vec<u32> {
    integers(&read_json("training/data.json")["labels"])
}

/// The 40 sentences with their labels.
pub(crate) fn training_set() -> EncodedSet {
    let labels = labels().into_iter().map(|label| Some(Label::Class(label)));
    EncodedSet::from_parts(encodings(), (0..40).collect(), labels.collect())
}

/// Keeps what happened, and stops a run after some steps.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) events: Vec<StepEvent>,
    stop_after: Option<u64>,
}

impl Watcher {
    pub(crate) fn stopping_after(stop_after: Option<u64>) -> Self {
        Self {
            stop_after,
            ..Self::default()
        }
    }

    /// Each step with its loss.
    pub(crate) fn losses(&self) -> Vec<(u64, f64)> {
        let events = self.events.iter();
        events.map(|event| (event.step, event.loss)).collect()
    }
}

impl Observer for Watcher {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.events.push(event.clone());
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.stop_after == self.events.last().map(|event| event.step)
    }
}

/// Trains in a folder, in which there may be a checkpoint already.
pub(crate) fn train_in(
    folder: &Path,
    student: &SentenceClassifier,
    run: &Run<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    let [best, last, checkpoint] = ["model", "last", "checkpoint"].map(|name| folder.join(name));
    let folders = Folders {
        best: &best,
        last: &last,
        checkpoint: &checkpoint,
    };
    train(student, run, folders, observer)
}

/// The weights of the last step of a run in a folder.
pub(crate) fn last_bytes(folder: &Path) -> Vec<u8> {
    fs_err::read(folder.join("last/model.safetensors")).unwrap()
}

/// All weights of a model.
pub(crate) fn weights(model: &SentenceClassifier) -> Vec<Vec<f32>> {
    let all = model.tensors().unwrap();
    all.values()
        .map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap())
        .collect()
}
