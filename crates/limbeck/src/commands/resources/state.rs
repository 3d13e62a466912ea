//! Whether a resource is there, and as it was fetched.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use limbeck_report::{atomic_write, hash_input};
use serde::{Deserialize, Serialize};

use super::catalogue::{Origin, Resource, name_of};

const MANIFEST: &str = "manifest.json";

/// Where resources lie.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    home: PathBuf,
}

/// Whether a resource is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not, or a file that it cannot do without is not.
    Missing,
    /// Its files are there; none was noted when they came, so their contents are not known.
    Unverified,
    /// Its files are there with the sizes that were noted; after a check, with the same contents.
    Intact,
    /// A file is not as it was noted.
    Damaged(String),
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Names and sizes.
    Sizes,
    /// Every byte.
    Hashes,
}

/// What was fetched, noted beside it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Manifest {
    resource: String,
    package: String,
    archive_sha256: String,
    files: BTreeMap<String, Noted>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Noted {
    bytes: u64,
    sha256: String,
}

/// Resources that are not there, or not whole, and the line to run for each.
#[derive(Debug)]
pub(crate) struct NotThere(Vec<String>);

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for NotThere {}

impl Store {
    pub(crate) fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// The folder of all resources.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of one.
    pub(crate) fn folder(&self, resource: Resource) -> PathBuf {
        self.home.join(resource.entry().folder)
    }

    /// Fails where one of these is missing or damaged, naming all that are and the line to run for each.
    pub(crate) fn require(&self, resources: &[Resource], depth: Depth) -> Result<(), NotThere> {
        let problems: Vec<String> = resources
            .iter()
            .filter_map(|&resource| {
                let name = name_of(resource);
                let folder = self.folder(resource);
                let problem = match self.state(resource, depth) {
                    State::Intact | State::Unverified => return None,
                    State::Missing => format!("expected it in {}", folder.display()),
                    State::Damaged(problem) => problem,
                };
                let advice = self.line_to_run(resource);
                Some(format!("resource `{name}`: {problem}; run `{advice}`"))
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(NotThere(problems))
        }
    }

    /// Looks at a resource.
    pub(crate) fn state(&self, resource: Resource, depth: Depth) -> State {
        let folder = self.folder(resource);
        let is_there = |set: &&[&str]| {
            if set.is_empty() {
                return fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_some());
            }
            set.iter().all(|file| folder.join(file).is_file())
        };
        if !resource.entry().files.iter().any(|set| is_there(&set)) {
            // A fetched one that lost a file is named as such below.
            if !folder.join(MANIFEST).is_file() {
                return State::Missing;
            }
        }
        if !matches!(resource.entry().origin, Origin::Packages(_))
            || !folder.join(MANIFEST).is_file()
        {
            return State::Unverified;
        }
        match damage(&folder, depth) {
            Ok(()) => State::Intact,
            Err(problem) => State::Damaged(problem),
        }
    }

    /// What to type to have the resource.
    pub(crate) fn line_to_run(&self, resource: Resource) -> String {
        let line = match resource.entry().origin {
            Origin::Packages(_) => {
                let folder = if self.home == Path::new(".limbeck") {
                    ""
                } else {
                    " --folder {home}"
                };
                // What is there and damaged would otherwise be kept.
                let again = if self.folder(resource).exists() {
                    " --again"
                } else {
                    ""
                };
                format!("limbeck resources get {}{again}{folder}", name_of(resource))
            }
            Origin::Made(line) | Origin::Supplied(_, line) => line.to_owned(),
        };
        line.replace("{folder}", &self.folder(resource).display().to_string())
            .replace("{home}", &self.home.display().to_string())
    }
}

/// Notes names, sizes and hashes of all files in a folder.
pub(super) fn write_manifest(
    folder: &Path,
    resource: Resource,
    package: String,
    archive_sha256: &str,
) -> anyhow::Result<()> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            let noted = Noted {
                bytes: fs::metadata(&path)?.len(),
                sha256: hash_input(&path)?.sha256,
            };
            files.insert(name, noted);
        }
    }
    let manifest = Manifest {
        resource: name_of(resource),
        package,
        archive_sha256: archive_sha256.to_owned(),
        files,
    };
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    Ok(atomic_write(folder.join(MANIFEST), text.as_bytes())?)
}

/// Compares a folder's files with its manifest.
fn damage(folder: &Path, depth: Depth) -> Result<(), String> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|e| format!("{}: not the manifest of a resource: {e}", path.display()))?;
    for (name, noted) in &manifest.files {
        let path = folder.join(name);
        let shown = path.display();
        let Ok(metadata) = fs::metadata(&path) else {
            return Err(format!("{shown} is missing"));
        };
        if metadata.len() != noted.bytes {
            return Err(format!(
                "{shown} has {} bytes, expected {}",
                metadata.len(),
                noted.bytes
            ));
        }
        if depth == Depth::Hashes {
            let found = hash_input(&path).map_err(|e| e.to_string())?.sha256;
            if found != noted.sha256 {
                return Err(format!(
                    "{shown} has sha256 {found}, expected {}",
                    noted.sha256
                ));
            }
        }
    }
    Ok(())
}
