//! State of an interrupted run: enough to go on as if nothing had happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fs_err as fs;
use limbeck_model::{MaskedLanguageModel, ModelError, SentenceClassifier, Weights, write_tensors};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::group::Learners;
use crate::train::Summary;

const STATE: &str = "state.json";
const FINISHED: &str = "finished.json";

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
    /// Of each group of parameters.
    optimizer_steps: Vec<u64>,
    model: String,
    optimizer: String,
    /// What is trained beside the model.
    beside: String,
}

/// Writes the state; the previous one is valid until the new one is complete.
pub fn save(
    folder: &Path,
    progress: &Progress,
    model: &dyn Checkpointed,
    learners: &Learners,
) -> Result<(), TrainError> {
    fs::create_dir_all(folder)?;
    let file = |kind: &str| format!("{kind}-{}.safetensors", progress.step);
    let stored = Stored {
        progress: progress.clone(),
        optimizer_steps: learners.step_counts(),
        model: file("model"),
        optimizer: file("optimizer"),
        beside: file("beside"),
    };
    let tensors = model.tensors()?;
    write_tensors(
        &folder.join(&stored.model),
        tensors.iter().map(|(name, t)| (name.clone(), t)),
    )?;
    for (file, tensors) in [
        (&stored.optimizer, learners.snapshot()?),
        (&stored.beside, learners.beside()),
    ] {
        write_tensors(
            &folder.join(file),
            tensors.iter().map(|(name, t)| (name.clone(), t)),
        )?;
    }
    let text = serde_json::to_string_pretty(&stored).expect("counters and names serialise");
    limbeck_text::atomic_write(folder.join(STATE), text.as_bytes())?;
    remove_old(
        folder,
        &[&stored.model, &stored.optimizer, &stored.beside, STATE],
    )
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

/// Steps done in the state at `folder`, over all phases; `None` when there is none.
pub fn steps_done(folder: &Path) -> Result<Option<u64>, TrainError> {
    let mut steps = read_state(folder)?.map(|stored| stored.progress.step);
    for number in 1.. {
        let phase = PhaseFolder::new(folder, number);
        let done = match phase.finished()? {
            Some(summary) => Some(summary.steps),
            None => read_state(&phase.checkpoint())?.map(|stored| stored.progress.step),
        };
        match done {
            Some(done) => steps = Some(steps.unwrap_or(0) + done),
            None => break,
        }
    }
    Ok(steps)
}

/// Where one of several phases keeps its models and its state, inside the run's state.
#[derive(Debug)]
pub(crate) struct PhaseFolder(PathBuf);

impl PhaseFolder {
    /// `number` counts from 1.
    pub(crate) fn new(checkpoint: &Path, number: usize) -> Self {
        Self(checkpoint.join(format!("phase-{number}")))
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.0.join("model")
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.0.join("last")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    /// What the phase came to, once it has ended.
    pub(crate) fn finished(&self) -> Result<Option<Summary>, TrainError> {
        let path = self.0.join(FINISHED);
        if !path.exists() {
            return Ok(None);
        }
        let summary = serde_json::from_str(&fs::read_to_string(&path)?);
        summary
            .map(Some)
            .map_err(|e| TrainError::damaged(&path, &format!("not a phase's summary: {e}")))
    }

    /// Notes that the phase has ended; its state is not needed any more.
    pub(crate) fn finish(&self, summary: &Summary) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(summary).expect("counters and scores serialise");
        limbeck_text::atomic_write(self.0.join(FINISHED), text.as_bytes())?;
        let checkpoint = self.checkpoint();
        if checkpoint.is_dir() {
            fs::remove_dir_all(checkpoint)?;
        }
        Ok(())
    }
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
    learners: &mut Learners,
) -> Result<Option<Progress>, TrainError> {
    let Some(stored) = read_state(folder)? else {
        return Ok(None);
    };
    let model_path = folder.join(&stored.model);
    model.load(&Weights::from_tensors(
        &model_path,
        read_tensors(&model_path)?,
    ))?;
    let path = folder.join(&stored.beside);
    learners.load_beside(&path, &read_tensors(&path)?)?;
    let path = folder.join(&stored.optimizer);
    learners.restore(&path, &read_tensors(&path)?, &stored.optimizer_steps)?;
    Ok(Some(stored.progress))
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let bytes = fs::read(path)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|e| TrainError::damaged(path, &e))?;
    Ok(tensors.into_iter().collect())
}
