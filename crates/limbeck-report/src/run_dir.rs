use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

use crate::files::{
    CHECKPOINT, CONFIG, LOG, METRICS, PREDICTIONS, PROVENANCE, config_text, json_text, read_json,
    write_json,
};
use crate::lock::Lock;
use crate::record::parse_log;
use crate::run_state::{remove_leftovers, remove_partial_files};
use crate::settings::{check_inputs, check_settings};
use crate::{
    FinishedRun, LogRecord, Metrics, PredictionWriter, Provenance, ReportError, Result, Resumption,
    RunState, atomic_write, read_log,
};

/// A run being written. While it lives, no other process can write the same folder.
///
/// ```text
/// config.toml       the settings with every default; given back, they repeat the run
/// provenance.json   version, commit, command, seed, device, SHA-256 of each input
/// log.jsonl         one record per line, as they happen
/// model/  last/     weights of the best and of the last step
/// checkpoint/       what training needs to continue; gone when finished
/// tensorboard/      event files
/// predictions.tsv   id, gold, predicted, probabilities; where there is a set beside the dev set
/// metrics.json      written last: a folder that has it is complete
/// ```
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    log: fs::File,
    _lock: Lock,
}

impl RunDir {
    /// Begins a run in a new or empty folder.
    ///
    /// Refuses a finished run, an interrupted one (see [`open_unfinished`](Self::open_unfinished)) and a folder with other files.
    pub fn create(
        path: impl AsRef<Path>,
        config: &impl Serialize,
        provenance: &Provenance,
    ) -> Result<Self> {
        let path = path.as_ref();
        let config = config_text(path, config)?;
        RunState::of(path)?.expect_new(path)?;
        fs::create_dir_all(path).map_err(ReportError::write(path))?;
        let lock = Lock::of_folder(path)?;
        // Another process may have begun between the first look and the lock.
        RunState::of(path)?.expect_new(path)?;
        remove_partial_files(path)?;
        write_json(&path.join(PROVENANCE), provenance)?;
        atomic_write(path.join(CONFIG), config.as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            log: open_log(path)?,
            _lock: lock,
        })
    }

    /// Continues an interrupted run, provided that its settings and the contents of its inputs are those of now.
    ///
    /// The continuation is noted in `provenance.json`. The log keeps all whole records; see
    /// [`truncate_log_after`](Self::truncate_log_after).
    pub fn open_unfinished(
        path: impl AsRef<Path>,
        config: &impl Serialize,
        provenance: &Provenance,
    ) -> Result<Self> {
        let path = path.as_ref();
        let config = config_text(path, config)?;
        RunState::of(path)?.expect_unfinished(path)?;
        let lock = Lock::of_folder(path)?;
        RunState::of(path)?.expect_unfinished(path)?;
        check_settings(&path.join(CONFIG), &config)?;
        let mut stored: Provenance = read_json(&path.join(PROVENANCE), "provenance record")?;
        check_inputs(&path.join(PROVENANCE), &stored, provenance)?;

        for folder in [path, &path.join("model"), &path.join("last")] {
            remove_partial_files(folder)?;
        }
        let Provenance {
            started,
            version,
            command_line,
            ..
        } = provenance.clone();
        stored.resumed.push(Resumption {
            started,
            version,
            command_line,
        });
        write_json(&path.join(PROVENANCE), &stored)?;
        let mut run = Self {
            path: path.to_owned(),
            log: open_log(path)?,
            _lock: lock,
        };
        run.truncate_log_after(u64::MAX)?;
        Ok(run)
    }

    /// The run's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder for the best step's model.
    pub fn model_path(&self) -> PathBuf {
        self.path.join("model")
    }

    /// The folder for the last step's model.
    pub fn last_path(&self) -> PathBuf {
        self.path.join("last")
    }

    /// The folder for what training needs to continue.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// The folder for TensorBoard's event files.
    pub fn tensorboard_path(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// Adds a record to the log; it outlives the process from here on.
    pub fn append(&mut self, record: &LogRecord) -> Result<()> {
        let path = self.path.join(LOG);
        let line = json_text(&path, record, serde_json::to_vec)?;
        append_line(&mut self.log, &path, line)
    }

    /// Cuts the log from the first record of a step later than `step`, so that training can go on from there.
    pub fn truncate_log_after(&mut self, step: u64) -> Result<()> {
        let path = self.path.join(LOG);
        let text = fs::read(&path).map_err(ReportError::read(&path))?;
        let lines = parse_log(&path, &text)?;
        let kept = lines
            .iter()
            .take_while(|line| line.record.step() <= step)
            .last()
            .map_or(0, |line| line.end);
        self.log
            .set_len(kept as u64)
            .map_err(ReportError::write(&path))?;
        if text[..kept].last().is_some_and(|&byte| byte != b'\n') {
            append_line(&mut self.log, &path, Vec::new())?;
        }
        Ok(())
    }

    /// Reads the log as it stands.
    pub fn log(&self) -> Result<Vec<LogRecord>> {
        read_log(self.path.join(LOG))
    }

    /// Begins `predictions.tsv`.
    pub fn predictions(&self, labels: &[String]) -> Result<PredictionWriter> {
        PredictionWriter::create(self.path.join(PREDICTIONS), labels)
    }

    /// Completes the run: writes `metrics.json`, then deletes `checkpoint/`.
    pub fn finish(self, metrics: &Metrics) -> Result<FinishedRun> {
        let log = self.path.join(LOG);
        self.log.sync_all().map_err(ReportError::write(&log))?;
        write_json(&self.path.join(METRICS), metrics)?;
        remove_leftovers(&self.path);
        FinishedRun::open(&self.path)
    }
}

/// Opens the log for further records.
fn open_log(folder: &Path) -> Result<fs::File> {
    let path = folder.join(LOG);
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .map_err(ReportError::write(&path))
}

/// One write per line, so that a killed process tears no more than the last.
fn append_line(file: &mut fs::File, path: &Path, mut line: Vec<u8>) -> Result<()> {
    line.push(b'\n');
    file.write_all(&line).map_err(ReportError::write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_named() {
        let mut full = fs::OpenOptions::new()
            .append(true)
            .open("/dev/full")
            .unwrap();
        let error =
            append_line(&mut full, Path::new("runs/s/log.jsonl"), b"{}".to_vec()).unwrap_err();
        assert!(matches!(error, ReportError::DiskFull { .. }), "{error}");
    }
}
