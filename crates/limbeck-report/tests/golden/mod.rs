//! Where the golden cases are: `LIMBECK_GOLDEN_DIR`, or `../shared/golden` beside the repository.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The cases in `file`; `None`, with a message, where the folder is absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn read<T: DeserializeOwned>(file: &str) -> Option<T> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let folder =
        std::env::var_os("LIMBECK_GOLDEN_DIR").map_or_else(|| beside.into(), PathBuf::from);
    let path = folder.join(file);
    if !folder.exists() {
        eprintln!(
            "skipped: no golden cases at {}; set LIMBECK_GOLDEN_DIR",
            folder.display()
        );
        return None;
    }
    let text = fs_err::read_to_string(path).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}
