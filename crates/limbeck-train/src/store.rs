//! Folders of files that belong to a header, made once and then only read.

use std::io;
use std::path::Path;

use fs_err as fs;
use memmap2::Mmap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TrainError;

const HEADER: &str = "header.json";
const LOCK: &str = ".lock";

/// Makes `folder` that of `header`, and waits until no one else makes its files; the lock lasts as long as the file
/// returned. `mismatch` says what is wrong with the header found there, if anything.
pub(crate) fn claim<H: Serialize + DeserializeOwned>(
    folder: &Path,
    header: &H,
    mismatch: impl FnOnce(&H) -> Option<TrainError>,
) -> Result<fs::File, TrainError> {
    let path = folder.join(HEADER);
    if path.exists() {
        let found: H = serde_json::from_str(&fs::read_to_string(&path)?)
            .map_err(|e| TrainError::damaged(&path, &format!("not a header: {e}")))?;
        if let Some(error) = mismatch(&found) {
            return Err(error);
        }
    } else {
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(header)
            .expect("a header of strings and numbers serialises");
        limbeck_text::atomic_write(&path, text.as_bytes())?;
    }
    // Another run with the same needs waits here, and then finds all done.
    let lock = fs::File::create(folder.join(LOCK))?;
    match lock.file().lock() {
        // Some network disks have no locks.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        locked => locked?,
    }
    Ok(lock)
}

/// A complete file of `bytes` bytes.
pub(crate) fn map(path: &Path, bytes: usize) -> Result<Mmap, TrainError> {
    let map = map_all(&fs::File::open(path)?)?;
    if map.len() != bytes {
        let problem = format!("{} bytes, expected {bytes}", map.len());
        return Err(TrainError::damaged(path, &problem));
    }
    Ok(map)
}

#[expect(
    unsafe_code,
    reason = "memory-mapped files that nothing writes to once they are complete"
)]
pub(crate) fn map_all(file: &fs::File) -> Result<Mmap, TrainError> {
    // SAFETY: complete files are only ever read, and files in the making are mapped under the lock; a file changed by
    // someone else meanwhile gives wrong numbers, not wrong lengths, since all reads are bounds-checked on the map.
    Ok(unsafe { Mmap::map(file.file())? })
}
