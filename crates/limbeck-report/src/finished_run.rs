use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{
    CONFIG, LOG, METRICS, PREDICTIONS, PROVENANCE, config_text, read_json, read_toml,
};
use crate::run_state::remove_leftovers;
use crate::settings::{check_inputs, check_settings};
use crate::{
    LogRecord, Metrics, Predictions, Provenance, ReportError, Result, RunState, read_log,
    read_predictions,
};

/// A run with all its results, which never change.
#[derive(Debug, Clone)]
pub struct FinishedRun {
    path: PathBuf,
    config: toml::Table,
    provenance: Provenance,
    metrics: Metrics,
}

impl FinishedRun {
    /// Reads everything but the log, the predictions and the model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        match RunState::of(&path)? {
            RunState::Finished => {}
            RunState::Unfinished => return Err(ReportError::NotFinished { path }),
            RunState::New | RunState::Foreign { .. } => {
                return Err(ReportError::NotARun {
                    path,
                    missing: CONFIG,
                });
            }
        }
        let config = read_toml(&path.join(CONFIG))?;
        let provenance = read_json(&path.join(PROVENANCE), "provenance record")?;
        let metrics = read_json(&path.join(METRICS), "metrics record")?;
        Ok(Self {
            path,
            config,
            provenance,
            metrics,
        })
    }

    /// Fails, and names the first difference, unless the run had these settings and inputs.
    pub fn check_same(&self, config: &impl Serialize, provenance: &Provenance) -> Result<()> {
        let config = config_text(&self.path, config)?;
        check_settings(&self.path.join(CONFIG), &config)?;
        check_inputs(&self.path.join(PROVENANCE), &self.provenance, provenance)
    }

    /// Removes what a process killed between its last result and its end left behind.
    pub fn tidy(&self) {
        remove_leftovers(&self.path);
    }

    /// The run's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let name = self.path.canonicalize().ok().and_then(|path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        });
        name.unwrap_or_else(|| self.path.display().to_string())
    }

    /// The settings as written.
    pub fn config_table(&self) -> &toml::Table {
        &self.config
    }

    /// The settings in the type they were written from.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        read_toml(&self.path.join(CONFIG))
    }

    /// Where the run came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What the run reached.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The best step's model.
    pub fn model_path(&self) -> PathBuf {
        self.path.join("model")
    }

    /// The last step's model.
    pub fn last_path(&self) -> PathBuf {
        self.path.join("last")
    }

    /// The text of `config.toml`.
    pub fn config_text(&self) -> Result<String> {
        let path = self.path.join(CONFIG);
        fs::read_to_string(&path).map_err(ReportError::read(&path))
    }

    /// Reads the log.
    pub fn log(&self) -> Result<Vec<LogRecord>> {
        read_log(self.path.join(LOG))
    }

    /// Reads `predictions.tsv`.
    pub fn predictions(&self) -> Result<Predictions> {
        read_predictions(self.path.join(PREDICTIONS))
    }
}
