//! State of an interrupted run: enough to go on as if nothing had happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fs_err as fs;
use limbeck_model::{MaskedLanguageModel, ModelError, SentenceClassifier, Weights, write_tensors};
use limbeck_ops::optimizer::Optimizer;
use serde::{Deserialize, Serialize};

use crate::TrainError;

const STATE: &str = "state.json";

/// Counters of the loop. Orders, dropout masks and schedules are functions of seed and step, so
/// nothing else needs keeping beside parameters and the optimiser's means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Sentences trained on, counted again in every epoch.
    pub sentences: u64,
    /// Tokens trained on.
    #[serde(default)]
    pub tokens: u64,
    /// Best dev evaluation so far.
    pub best: Option<Best>,
    /// Evaluations since then.
    pub evaluations_since_best: u64,
    /// Seconds trained, over all sessions.
    pub trained_s: f64,
    /// Seconds trained and evaluated, over all sessions.
    #[serde(default)]
    pub elapsed_s: f64,
}

/// The best evaluation so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Step it was made after.
    pub step: u64,
    /// Score of the task's first metric; of a language model the negative loss.
    pub score: f64,
    /// Scores of all metrics by name.
    pub metrics: BTreeMap<String, f64>,
}

/// A model whose parameters can be stored and put back.
pub trait Checkpointed {
    /// The checkpoint's tensors by name.
    fn tensors(&self) -> Result<BTreeMap<String, Tensor>, ModelError>;

    /// Replaces all parameters by those of a checkpoint of the same model.
    fn load(&self, weights: &Weights) -> Result<(), ModelError>;

    /// Writes a Hugging Face folder.
    fn save(&self, folder: &Path) -> Result<(), ModelError>;
}

impl Checkpointed for SentenceClassifier {
    fn tensors(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        self.tensors()
    }

    fn load(&self, weights: &Weights) -> Result<(), ModelError> {
        self.load(weights)
    }

    fn save(&self, folder: &Path) -> Result<(), ModelError> {
        self.save(folder)
    }
}

impl Checkpointed for MaskedLanguageModel {
    fn tensors(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        self.tensors()
    }

    fn load(&self, weights: &Weights) -> Result<(), ModelError> {
        self.load(weights)
    }

    fn save(&self, folder: &Path) -> Result<(), ModelError> {
        self.save(folder)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    progress: Progress,
    optimizer_step: u64,
    model: String,
    optimizer: String,
}

/// Writes the state; the previous one is valid until the new one is complete.
pub fn save(
    folder: &Path,
    progress: &Progress,
    model: &dyn Checkpointed,
    optimizer: &Optimizer,
) -> Result<(), TrainError> {
    fs::create_dir_all(folder)?;
    let file = |kind: &str| format!("{kind}-{}.safetensors", progress.step);
    let stored = Stored {
        progress: progress.clone(),
        optimizer_step: optimizer.step_count(),
        model: file("model"),
        optimizer: file("optimizer"),
    };
    let tensors = model.tensors()?;
    write_tensors(
        &folder.join(&stored.model),
        tensors.iter().map(|(name, t)| (name.clone(), t)),
    )?;
    let means = optimizer.snapshot()?;
    write_tensors(
        &folder.join(&stored.optimizer),
        means.iter().map(|(name, t)| (name.clone(), t)),
    )?;
    let text = serde_json::to_string_pretty(&stored).expect("counters and names serialise");
    limbeck_text::atomic_write(folder.join(STATE), text.as_bytes())?;
    remove_old(folder, &[&stored.model, &stored.optimizer, STATE])
}

fn remove_old(folder: &Path, keep: &[&str]) -> Result<(), TrainError> {
    let mut old: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !keep.iter().any(|name| entry.file_name() == **name) {
            old.push(entry.path());
        }
    }
    for path in old {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Steps done in the state at `folder`; `None` when there is none.
pub fn steps_done(folder: &Path) -> Result<Option<u64>, TrainError> {
    Ok(read_state(folder)?.map(|stored| stored.progress.step))
}

fn read_state(folder: &Path) -> Result<Option<Stored>, TrainError> {
    let path = folder.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)?;
    let stored = serde_json::from_str(&text);
    stored
        .map(Some)
        .map_err(|e| TrainError::damaged(&path, &format!("not a run's state: {e}")))
}

/// Puts a stored state back into model and optimiser; `None` when there is none.
pub fn load(
    folder: &Path,
    model: &dyn Checkpointed,
    optimizer: &mut Optimizer,
) -> Result<Option<Progress>, TrainError> {
    let Some(stored) = read_state(folder)? else {
        return Ok(None);
    };
    let model_path = folder.join(&stored.model);
    model.load(&Weights::from_tensors(
        &model_path,
        read_tensors(&model_path)?,
    ))?;
    optimizer.restore(
        &read_tensors(&folder.join(&stored.optimizer))?,
        stored.optimizer_step,
    )?;
    Ok(Some(stored.progress))
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let bytes = fs::read(path)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|e| TrainError::damaged(path, &e))?;
    Ok(tensors.into_iter().collect())
}
