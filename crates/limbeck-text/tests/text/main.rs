//! One binary for all tests of the public behaviour, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod errors;
mod formats;
mod fuzz;
mod metrics;
mod shared_data;
mod splits;
mod tasks;

use std::path::PathBuf;

use limbeck_text::{DataSpec, Dataset, LabelSource, TextError, read_examples};
use tempfile::TempDir;

/// A file in a folder of its own that goes away with it.
struct Fixture {
    dir: TempDir,
    path: PathBuf,
}

impl Fixture {
    /// `name` may have folders: `"CoLA/dev.tsv"`.
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        Self { dir, path }
    }

    fn spec(&self) -> DataSpec {
        DataSpec::new(&self.path)
    }

    fn read(&self) -> Dataset {
        read_examples(&self.spec(), &LabelSource::Infer).unwrap()
    }

    /// What the user sees, with paths relative to the fixture's folder.
    fn message(&self, error: &TextError) -> String {
        let folder = format!("{}/", self.dir.path().display());
        error.to_string().replace(&folder, "")
    }
}

/// A spec as a run file would state it.
fn spec(fixture: &Fixture, toml: &str) -> DataSpec {
    let spec: DataSpec = toml::from_str(toml).unwrap();
    DataSpec {
        path: fixture.path.clone(),
        ..spec
    }
}

fn names(names: &[&str]) -> LabelSource {
    LabelSource::Names(names.iter().map(|&name| name.to_owned()).collect())
}
