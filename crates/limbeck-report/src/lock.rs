//! Locks that end with the process that holds them.

use std::fs::TryLockError;
use std::io::{ErrorKind, Write};
use std::path::Path;

use fs_err as fs;

use crate::files::LOCK;
use crate::{ReportError, Result};

/// A locked file, which says which process holds it.
#[derive(Debug)]
pub struct Lock(fs::File);

impl Lock {
    /// The file at `path`, which is made where it is missing, with the folders above; `None` while another process holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(ReportError::write(folder))?;
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .open(path)
            .map_err(ReportError::write(path))?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some network disks have no locks; a run there is as safe as its user is careful.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(ReportError::write(path)(error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(ReportError::write(path))?;
        Ok(Some(Self(file)))
    }

    /// The lock of a run's folder.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        if let Some(lock) = Self::try_take(&path)? {
            return Ok(lock);
        }
        let process = fs::read_to_string(&path).ok();
        let process = process.filter(|process| !process.is_empty());
        Err(ReportError::Locked {
            path: folder.to_owned(),
            process: process.unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough while a process just forked has a copy of it.
        let _ = self.0.file().unlock();
    }
}
