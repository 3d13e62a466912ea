use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = ReportError> = std::result::Result<T, E>;

/// What can go wrong with files of a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The disk or the user's quota is used up.
    #[error("{}: no space is left on the disk; free some, then give the same command again to continue", .path.display())]
    DiskFull {
        /// The file being written.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// The user may not write there.
    #[error("{}: no permission to write; change the permissions or choose another folder", .path.display())]
    NotWritable {
        /// The file or folder being written.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Writing ended for another reason.
    #[error("{}: cannot be written; check that its folder exists and that the disk is sound", .path.display())]
    Write {
        /// The file or folder being written.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Reading ended early.
    #[error("{}: cannot be read; check that it exists and that you may read it", .path.display())]
    Read {
        /// The file or folder being read.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// A finished run is never changed.
    #[error("{}: holds a finished run, expected a new or empty folder; choose another folder, or delete this one to repeat the run", .path.display())]
    Finished {
        /// The run's folder.
        path: PathBuf,
    },
    /// A run was begun here and not finished.
    #[error("{}: holds an interrupted run, expected a new or empty folder; continue that run, choose another folder, or delete this one", .path.display())]
    Unfinished {
        /// The run's folder.
        path: PathBuf,
    },
    /// Somebody else's files are in the folder.
    #[error("{}: holds `{found}`, expected a new or empty folder; choose another folder", .path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// The first entry that no run has.
        found: String,
    },
    /// A file is where the run's folder should be.
    #[error("{}: is a file, expected a folder; choose another path", .path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Another process writes this run.
    #[error("{}: process {process} is writing this run; wait until it ends or choose another folder", .path.display())]
    Locked {
        /// The run's folder.
        path: PathBuf,
        /// The other process's id, `unknown` where it left none.
        process: String,
    },
    /// The folder is no run.
    #[error("{}: `{missing}` is missing, expected the folder of a run; give a folder that a command of ours wrote with `--out`", .path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The file that every run has.
        missing: &'static str,
    },
    /// The run has no results yet.
    #[error("{}: the run is not finished, `metrics.json` is missing; give its command again to continue it", .path.display())]
    NotFinished {
        /// The run's folder.
        path: PathBuf,
    },
    /// The run was begun with other settings.
    #[error("{}: `{key}` is {found}, expected {expected} as in the present settings; restore the setting to continue the run, or choose another folder", .path.display())]
    SettingDiffers {
        /// The run's `config.toml`.
        path: PathBuf,
        /// The first key that differs, with dots between tables.
        key: String,
        /// The value the run was begun with.
        found: String,
        /// The value given now.
        expected: String,
    },
    /// The run was begun with other data or another model.
    #[error("{}: input `{input}` is {found}, expected {expected} as at present; restore the input to continue the run, or choose another folder", .path.display())]
    InputDiffers {
        /// The run's `provenance.json`.
        path: PathBuf,
        /// The input's name.
        input: String,
        /// Its hash when the run was begun.
        found: String,
        /// Its hash now.
        expected: String,
    },
    /// A value cannot be written in the file's format: a bug of the caller.
    #[error("{}: a value has no form in this file; name map keys by strings and keep integers below 2^63", .path.display())]
    Unrepresentable {
        /// The file.
        path: PathBuf,
        /// The serialiser's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of a run is not what was written.
    #[error("{}:{line}: not a {expected}; it was changed after the run or stems from another version: repeat the run", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// The parser's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A line of a predictions file breaks its form.
    #[error("{}:{line}: found {found}, expected {expected}; write the predictions anew", .path.display())]
    PredictionRow {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },
    /// A line of an attack's log breaks its form.
    #[error("{}:{line}: found {found}, expected {expected}; give `attack.jsonl` of ours or a CSV log as TextAttack writes it", .path.display())]
    AttackLog {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },
    /// There is nothing to compare.
    #[error(
        "report: no run folder was given, expected at least one; give the folders of finished runs"
    )]
    NoRuns,
}

impl ReportError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { path, source }
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::NotWritable { path, source }
                }
                _ => Self::Write { path, source },
            }
        }
    }

    pub(crate) fn json(
        path: &Path,
        expected: &'static str,
    ) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Malformed {
            path: path.to_owned(),
            line: source.line(),
            expected,
            source: source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: io::ErrorKind) -> String {
        ReportError::write(Path::new("runs/s/log.jsonl"))(kind.into()).to_string()
    }

    #[test]
    fn a_failed_write_says_what_to_do() {
        insta::assert_snapshot!(check(io::ErrorKind::StorageFull), @"runs/s/log.jsonl: no space is left on the disk; free some, then give the same command again to continue");
        insta::assert_snapshot!(check(io::ErrorKind::ReadOnlyFilesystem), @"runs/s/log.jsonl: no permission to write; change the permissions or choose another folder");
        insta::assert_snapshot!(check(io::ErrorKind::Other), @"runs/s/log.jsonl: cannot be written; check that its folder exists and that the disk is sound");
    }
}
