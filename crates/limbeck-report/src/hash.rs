use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ReportError, Result};

/// A file or folder a run has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where it lay, as the user wrote it.
    pub path: PathBuf,
    /// What was in it, 64 hexadecimal digits; see [`hash_input`].
    pub sha256: String,
}

/// Hashes a file's contents, or a folder's files with their names.
///
/// A folder's hash is that of the lines `HASH  NAME` of its files, sorted by name: inside it, and without hidden files or links,
/// `find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` gives the same. Hidden entries are left out; a link to a file counts
/// as that file, a link to a folder is not followed.
pub fn hash_input(path: impl AsRef<Path>) -> Result<Input> {
    let path = path.as_ref();
    let sha256 = if path.is_dir() {
        hash_folder(path)?
    } else {
        hash_file(path)?
    };
    Ok(Input {
        path: path.to_owned(),
        sha256,
    })
}

fn hash_file(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(ReportError::read(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hexadecimal(hasher)),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReportError::read(path)(error)),
        }
    }
}

fn hash_folder(root: &Path) -> Result<String> {
    let mut names = Vec::new();
    collect_names(root, "", &mut names)?;
    names.sort();
    let mut hasher = Sha256::new();
    for name in names {
        hasher.update(format!("{}  {name}\n", hash_file(&root.join(&name))?));
    }
    Ok(hexadecimal(hasher))
}

fn collect_names(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(ReportError::read(folder))? {
        let entry = entry.map_err(ReportError::read(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let file_type = entry.file_type().map_err(ReportError::read(folder))?;
        let name = format!("{prefix}{name}");
        if file_type.is_dir() {
            collect_names(&entry.path(), &format!("{name}/"), names)?;
        } else if entry.path().is_file() {
            names.push(name);
        }
    }
    Ok(())
}

fn hexadecimal(hasher: Sha256) -> String {
    hasher
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes any text");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_hash_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "abc").unwrap();
        let input = hash_input(folder.path().join("a")).unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            input.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_folder_has_the_hash_of_its_sorted_list() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("b"), "abc").unwrap();
        fs::write(folder.path().join("sub/a"), "").unwrap();
        fs::write(folder.path().join(".lock"), "17").unwrap();
        // find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum
        let expected = "721533a004a6d7ecee0fdf4e2c315407a97b5cdc906c56f7362187aee96ae544";
        assert_eq!(hash_input(folder.path()).unwrap().sha256, expected);
    }

    #[test]
    fn a_missing_input_is_named() {
        let error = hash_input("no/such/file").unwrap_err().to_string();
        assert_eq!(
            error,
            "no/such/file: cannot be read; check that it exists and that you may read it"
        );
    }
}
