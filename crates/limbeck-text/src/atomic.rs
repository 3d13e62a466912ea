use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Ends the name of a file that is not yet complete.
pub const PARTIAL: &str = ".partial";

/// Replaces the file at `path` by `contents`: a reader sees the old file or the new one, never a part, also after a power cut.
pub fn atomic_write(path: impl AsRef<Path>, contents: &[u8]) -> io::Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    file.write_all(contents)
        .map_err(|error| named(path, &error))?;
    file.commit()
}

/// A file that takes its name only when [`commit`](AtomicFile::commit) is called; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    writer: Option<BufWriter<fs::File>>,
}

impl AtomicFile {
    /// Opens a hidden sibling of `path`.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The process id keeps two processes that write the same file apart; the later rename wins.
        let partial = path.with_file_name(format!(".{name}.{}{PARTIAL}", std::process::id()));
        let writer = fs::File::create(&partial).map_err(|error| named(&path, &error))?;
        Ok(Self {
            path,
            partial,
            writer: Some(BufWriter::new(writer)),
        })
    }

    /// Brings the contents to the disk, then gives the file its name.
    pub fn commit(mut self) -> io::Result<()> {
        let result = self.persist();
        result.map_err(|error| named(&self.path, &error))
    }

    fn persist(&mut self) -> io::Result<()> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(());
        };
        let saved = writer.flush().and_then(|()| writer.get_ref().sync_all());
        let renamed = saved.and_then(|()| fs::rename(&self.partial, &self.path));
        if renamed.is_err() {
            self.discard();
        }
        renamed?;
        sync_folder(&self.path)
    }

    fn discard(&self) {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&self.partial);
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer
            .as_mut()
            .map_or(Err(io::ErrorKind::BrokenPipe.into()), |writer| {
                writer.write(buffer)
            })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            drop(writer.into_parts());
            self.discard();
        }
    }
}

/// Makes the rename itself last; only Unix opens folders as files.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

/// The error with the name that the file was to have, and what to do where that is plain.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let problem = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "no space is left on the disk; free some and run the same command again".to_owned()
        }
        io::ErrorKind::FileTooLarge => {
            "larger than a file may be here; raise the limit (`ulimit -f`) and run the same command again".to_owned()
        }
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_the_file_and_leaves_no_sibling() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        atomic_write(&path, b"one").unwrap();
        atomic_write(&path, b"two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_dropped_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        atomic_write(&path, b"one").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"two").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = atomic_write(folder.path().join("no/a.txt"), b"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no/a.txt"), "{error}");
    }
}
