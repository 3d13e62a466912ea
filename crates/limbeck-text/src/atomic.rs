use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;

/// Replaces the file at `path` by `contents`: a reader sees the old file or the new one, never a part, also after a power cut.
pub fn atomic_write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The process id keeps two processes that write the same file apart; the later rename wins.
    let partial = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = fs::File::create(&partial).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&partial, path));
    if renamed.is_err() {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&partial);
    }
    renamed.map_err(|error| named(path, &error))
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
