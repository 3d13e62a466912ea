use std::path::Path;

use fs_err as fs;

use crate::files::{CHECKPOINT, CONFIG, LOCK, METRICS, PROVENANCE};
use crate::{ReportError, Result};
use limbeck_text::PARTIAL;

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Nothing yet: a run may begin here.
    New,
    /// An interrupted run, or one at work.
    Unfinished,
    /// A finished run.
    Finished,
    /// Other files.
    Foreign {
        /// The first of them by name.
        entry: String,
    },
}

impl RunState {
    /// Looks at the folder `path`, which need not exist.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.join(CONFIG).is_file() && path.join(PROVENANCE).is_file() {
            return Ok(if path.join(METRICS).is_file() {
                Self::Finished
            } else {
                Self::Unfinished
            });
        }
        if path.is_file() {
            return Err(ReportError::NotAFolder {
                path: path.to_owned(),
            });
        }
        if !path.exists() {
            return Ok(Self::New);
        }
        // A process killed right at the start leaves only these.
        let foreign = |name: &String| name != LOCK && name != PROVENANCE && !is_partial(name);
        Ok(entries(path)?
            .into_iter()
            .filter(foreign)
            .min()
            .map_or(Self::New, |entry| Self::Foreign { entry }))
    }

    pub(crate) fn expect_new(self, path: &Path) -> Result<()> {
        let path = path.to_owned();
        match self {
            Self::New => Ok(()),
            Self::Unfinished => Err(ReportError::Unfinished { path }),
            Self::Finished => Err(ReportError::Finished { path }),
            Self::Foreign { entry } => Err(ReportError::ForeignFolder { path, found: entry }),
        }
    }

    pub(crate) fn expect_unfinished(self, path: &Path) -> Result<()> {
        match self {
            Self::Unfinished => Ok(()),
            Self::Finished => Err(ReportError::Finished {
                path: path.to_owned(),
            }),
            Self::New | Self::Foreign { .. } => Err(ReportError::NotARun {
                path: path.to_owned(),
                missing: CONFIG,
            }),
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<String>> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    let names = fs::read_dir(folder).and_then(|entries| entries.map(name).collect());
    names.map_err(ReportError::read(folder))
}

fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

/// Removes what a killed process left half written, if the folder is there.
pub(crate) fn remove_partial_files(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for name in entries(folder)?.into_iter().filter(|name| is_partial(name)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(ReportError::write(&path))?;
    }
    Ok(())
}

/// Removes what a finished run has no use for. What cannot be removed only takes room.
pub(crate) fn remove_leftovers(folder: &Path) {
    let _ = fs::remove_dir_all(folder.join(CHECKPOINT));
    let _ = fs::remove_file(folder.join(LOCK));
}
