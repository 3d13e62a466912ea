//! Checks that the workspace is laid out as ARCHITECTURE.md says.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

/// Each crate and the ones of ours it may depend on.
const MAY_DEPEND_ON: [(&str, &[&str]); 7] = [
    ("limbeck-ops", &[]),
    ("limbeck-text", &[]),
    ("limbeck-model", &["limbeck-ops", "limbeck-text"]),
    (
        "limbeck-train",
        &["limbeck-model", "limbeck-ops", "limbeck-text"],
    ),
    ("limbeck-report", &["limbeck-text"]),
    ("limbeck-attack", &["limbeck-text"]),
    (
        "limbeck",
        &[
            "limbeck-attack",
            "limbeck-model",
            "limbeck-ops",
            "limbeck-report",
            "limbeck-text",
            "limbeck-train",
        ],
    ),
];

const WITHOUT_TENSORS: [&str; 3] = ["limbeck-text", "limbeck-report", "limbeck-attack"];

const LONGEST_DOCUMENT: usize = 150;

#[test]
fn crates_depend_only_on_those_below() {
    let allowed = BTreeMap::from(MAY_DEPEND_ON);
    for (name, dependencies) in crates() {
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is missing from MAY_DEPEND_ON"));
        for dependency in dependencies.iter().filter(|d| d.starts_with("limbeck")) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} depends on {dependency}"
            );
        }
    }
}

#[test]
fn crates_without_models_hold_no_tensors() {
    let crates = crates();
    for name in WITHOUT_TENSORS {
        for dependency in &crates[name] {
            assert!(
                !dependency.starts_with("candle"),
                "{name} depends on {dependency}"
            );
        }
    }
}

#[test]
fn the_architecture_names_each_crate() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in crates().keys() {
        assert!(
            text.contains(&format!("`{name}`")),
            "ARCHITECTURE.md does not name `{name}`"
        );
    }
}

#[test]
fn documents_are_short() {
    let of_folder = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    let documents = of_folder(root()).chain(of_folder(root().join("docs")));
    let documents: Vec<PathBuf> = documents
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    assert!(documents.len() > 5, "{documents:?}");
    for document in documents {
        let lines = fs::read_to_string(&document).unwrap().lines().count();
        assert!(
            lines < LONGEST_DOCUMENT,
            "{} has {lines} lines; keep it below {LONGEST_DOCUMENT}",
            document.display()
        );
    }
}

/// The workspace's crates and what each needs to build, tests left out.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--locked",
            "--offline",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| (text(&package["name"]), dependencies(package)))
        .collect()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap();
    let built = all.iter().filter(|dependency| dependency["kind"] != "dev");
    built.map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
