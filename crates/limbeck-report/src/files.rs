//! The names of a run's files, and reading and writing them whole.

use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ReportError, Result};

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const PROVENANCE: &str = "provenance.json";
pub(crate) const LOG: &str = "log.jsonl";
pub(crate) const METRICS: &str = "metrics.json";
pub(crate) const PREDICTIONS: &str = "predictions.tsv";
pub(crate) const LOCK: &str = ".lock";
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Replaces the file at `path` by `contents`: a reader sees the old file or the new one, never a part.
pub fn atomic_write(path: impl AsRef<Path>, contents: &[u8]) -> Result<()> {
    let path = path.as_ref();
    limbeck_text::atomic_write(path, contents).map_err(ReportError::write(path))
}

pub(crate) fn config_text(folder: &Path, config: &impl Serialize) -> Result<String> {
    let path = folder.join(CONFIG);
    toml::to_string(config).map_err(|source| ReportError::Unrepresentable {
        path,
        source: source.into(),
    })
}

pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(ReportError::read(path))?;
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        ReportError::Malformed {
            path: path.to_owned(),
            line,
            expected: "settings file",
            source: error.into(),
        }
    })
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T> {
    let text = fs::read(path).map_err(ReportError::read(path))?;
    serde_json::from_slice(&text).map_err(ReportError::json(path, expected))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = json_text(path, value, serde_json::to_vec_pretty)?;
    text.push(b'\n');
    atomic_write(path, &text)
}

pub(crate) fn json_text<T>(
    path: &Path,
    value: &T,
    write: impl FnOnce(&T) -> serde_json::Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    write(value).map_err(|source| ReportError::Unrepresentable {
        path: path.to_owned(),
        source: source.into(),
    })
}
