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
                    State::Missing => format!("missing from {}", folder.display()),
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
        if !resource.entry().files.iter().any(is_there) {
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
            Origin::Packages(_) => format!("limbeck resources get {}{{at}}", name_of(resource)),
            Origin::Made(line) | Origin::Supplied(_, line) => line.to_owned(),
        };
        let at = if self.home == Path::new(".limbeck") {
            ""
        } else {
            " --folder {home}"
        };
        line.replace("{at}", at)
            .replace("{folder}", &self.folder(resource).display().to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A store in which `resource` was fetched, its files holding their names.
    fn fetched(resource: Resource) -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let folder = store.folder(resource);
        fs::create_dir_all(folder.join("more")).unwrap();
        for file in resource.entry().files[0].iter().chain(&["more/LICENSE"]) {
            fs::write(folder.join(file), file).unwrap();
        }
        write_manifest(&folder, resource, "package==1".to_owned(), "00").unwrap();
        (home, store)
    }

    #[test]
    fn a_fetched_resource_is_intact_until_a_file_changes() {
        let resource = Resource::MiniLm;
        let (_home, store) = fetched(resource);
        let file = store.folder(resource).join("more/LICENSE");
        let states = || [Depth::Sizes, Depth::Hashes].map(|depth| store.state(resource, depth));
        assert_eq!(states(), [State::Intact, State::Intact]);
        fs::write(&file, "more/license").unwrap();
        assert!(matches!(states(), [State::Intact, State::Damaged(_)]));
        fs::write(&file, "more").unwrap();
        assert!(matches!(states(), [State::Damaged(_), State::Damaged(_)]));
        fs::remove_file(&file).unwrap();
        let [State::Damaged(problem), _] = states() else {
            panic!("{:?}", states());
        };
        assert!(problem.ends_with("more/LICENSE is missing"), "{problem}");
        fs::write(store.folder(resource).join(MANIFEST), "{}").unwrap();
        assert!(matches!(states(), [State::Damaged(_), State::Damaged(_)]));
    }

    #[test]
    fn what_others_put_there_is_used_without_a_manifest() {
        let (_home, store) = fetched(Resource::MiniLm);
        let folder = store.folder(Resource::MiniLm);
        fs::remove_file(folder.join(MANIFEST)).unwrap();
        assert_eq!(
            store.state(Resource::MiniLm, Depth::Hashes),
            State::Unverified
        );
        fs::remove_file(folder.join("config.json")).unwrap();
        assert_eq!(store.state(Resource::MiniLm, Depth::Hashes), State::Missing);
        let run = store.folder(Resource::MaskedLm).join("model");
        fs::create_dir_all(&run).unwrap();
        assert_eq!(
            store.state(Resource::MaskedLm, Depth::Sizes),
            State::Missing
        );
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::write(run.join(file), "").unwrap();
        }
        assert_eq!(
            store.state(Resource::MaskedLm, Depth::Sizes),
            State::Unverified
        );
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let (_home, store) = fetched(Resource::Glove50d);
        assert!(store.require(&[Resource::Glove50d], Depth::Hashes).is_ok());
        let needed = [Resource::WordNet, Resource::Glove50d, Resource::MaskedLm];
        let message = store
            .require(&needed, Depth::Sizes)
            .unwrap_err()
            .to_string();
        let home = store.home().display().to_string();
        insta::assert_snapshot!(message.replace(&home, "HOME"), @r#"
resource `wordnet`: missing from HOME/lexicon/wordnet; run `limbeck resources get wordnet --folder HOME`
resource `masked-lm`: missing from HOME/models/masked-lm; run `limbeck resources get minilm --folder HOME && limbeck init pretrain-mlm mlm.toml && limbeck pretrain mlm mlm.toml --model HOME/models/all-MiniLM-L6-v2 --set 'data.train=[{lines="TEXT"}]' --set 'data.dev=[{lines="HELD-OUT"}]' --out HOME/models/masked-lm`
"#);
    }

    #[test]
    fn the_catalogue_pins_every_package() {
        use clap::ValueEnum;
        for &resource in Resource::value_variants() {
            let Origin::Packages(packages) = resource.entry().origin else {
                continue;
            };
            for package in packages {
                let name = package.requirement();
                assert_eq!(package.sha256.len(), 64, "{name}");
                assert!(
                    package.sha256.bytes().all(|b| b.is_ascii_hexdigit()),
                    "{name}"
                );
                assert!(
                    package
                        .members
                        .iter()
                        .any(|(_, name)| name.starts_with("LICENSE")),
                    "{name}"
                );
            }
        }
    }
}
