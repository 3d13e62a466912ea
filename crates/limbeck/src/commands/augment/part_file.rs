//! An output file that grows row by row and is taken up again after a kill.

use std::io::{BufWriter, Seek, SeekFrom, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;
use limbeck_report::{Provenance, atomic_write};
use limbeck_text::{Example, Text};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::settings::BadSettings;

/// A digest of rows, one after another: tells whether standard input begins with the rows that it began with before.
#[derive(Debug, Clone, Default)]
pub(super) struct RowDigest(Sha256);

impl RowDigest {
    pub(super) fn add(&mut self, row: &Example) {
        let Text { first, second } = &row.text;
        for text in [Some(first), second.as_ref()].into_iter().flatten() {
            self.0.update((text.len() as u64).to_le_bytes());
            self.0.update(text);
        }
        self.0.update(format!("{:?}", row.label));
    }

    fn value(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// Where the rows go.
pub(super) enum Sink {
    Standard(BufWriter<std::io::Stdout>),
    Part(PartFile),
}

/// `.NAME.part` with the rows so far, and `.NAME.state` with what they are; in the end `NAME`, and `NAME.provenance.json`.
pub(super) struct PartFile {
    out: PathBuf,
    part: PathBuf,
    state_path: PathBuf,
    state: State,
    file: fs::File,
    provenance: Vec<u8>,
}

/// What the part holds; written after its rows, so a longer part is cut back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// All settings and the hashes of all inputs.
    made_by: String,
    rows: u64,
    /// Digest of those rows of the input.
    digest: [u8; 32],
    new_rows: u64,
    bytes: u64,
}

impl Sink {
    /// Begins, or goes on where the same settings stopped.
    pub(super) fn open(
        out: Option<&Path>,
        made_by: &str,
        provenance: &Provenance,
    ) -> anyhow::Result<Self> {
        let Some(out) = out else {
            return Ok(Self::Standard(BufWriter::new(stdout())));
        };
        Ok(Self::Part(PartFile::open(out, made_by, provenance)?))
    }

    /// Input rows that are done.
    pub(super) fn rows_done(&self) -> u64 {
        match self {
            Self::Standard(_) => 0,
            Self::Part(part) => part.state.rows,
        }
    }

    /// Fails unless the input rows that are done are those that `digest` has seen.
    pub(super) fn check_rows(&self, digest: &RowDigest) -> anyhow::Result<()> {
        match self {
            Self::Part(part) if part.state.digest != digest.value() => {
                let (part, state, rows) = (
                    part.part.display(),
                    part.state_path.display(),
                    part.state.rows,
                );
                Err(BadSettings::new(format!(
                    "{part}: its first {rows} rows were other ones than those read now; choose another `--out`, or remove it and {state}"
                ))
                .into())
            }
            Self::Standard(_) | Self::Part(_) => Ok(()),
        }
    }

    /// Whether nothing has been written, not even a header.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Standard(_) => true,
            Self::Part(part) => part.state.bytes == 0,
        }
    }

    /// New rows among what was written by earlier sessions.
    pub(super) fn new_rows(&self) -> u64 {
        match self {
            Self::Standard(_) => 0,
            Self::Part(part) => part.state.new_rows,
        }
    }

    /// Adds the output of `rows` input rows; `digest` has seen all rows up to these.
    pub(super) fn append(
        &mut self,
        text: &str,
        rows: u64,
        new_rows: u64,
        digest: &RowDigest,
    ) -> anyhow::Result<()> {
        match self {
            Self::Standard(out) => {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            Self::Part(part) => part.append(text, rows, new_rows, digest)?,
        }
        Ok(())
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Standard(mut out) => Ok(out.flush()?),
            Self::Part(part) => part.finish(),
        }
    }
}

impl PartFile {
    fn open(out: &Path, made_by: &str, provenance: &Provenance) -> anyhow::Result<Self> {
        if out.exists() {
            return Err(BadSettings::new(format!(
                "{}: there already; choose another `--out`, or remove it",
                out.display()
            ))
            .into());
        }
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let part = out.with_file_name(format!(".{name}.part"));
        let state_path = out.with_file_name(format!(".{name}.state"));
        let begun = State {
            made_by: made_by.to_owned(),
            rows: 0,
            digest: RowDigest::default().value(),
            new_rows: 0,
            bytes: 0,
        };
        let mut state = begun.clone();
        if part.exists() && state_path.exists() {
            let text = fs::read_to_string(&state_path)?;
            let stored = serde_json::from_str(&text);
            state = stored.with_context(|| {
                let path = state_path.display();
                format!("{path}: not what this version writes; remove it to begin anew")
            })?;
            if state.made_by != begun.made_by {
                let (part, state) = (part.display(), state_path.display());
                return Err(BadSettings::new(format!(
                    "{part}: begun with other settings or inputs; choose another `--out`, or remove it and {state}"
                ))
                .into());
            }
        }
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&part)?;
        let length = file.metadata()?.len();
        if length < state.bytes {
            state = begun;
        }
        file.set_len(state.bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            out: out.to_owned(),
            part,
            state_path,
            state,
            file,
            provenance: serde_json::to_vec_pretty(provenance)?,
        })
    }

    fn append(
        &mut self,
        text: &str,
        rows: u64,
        new_rows: u64,
        digest: &RowDigest,
    ) -> anyhow::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.state.rows += rows;
        self.state.digest = digest.value();
        self.state.new_rows += new_rows;
        self.state.bytes += text.len() as u64;
        Ok(atomic_write(
            &self.state_path,
            &serde_json::to_vec(&self.state)?,
        )?)
    }

    fn finish(self) -> anyhow::Result<()> {
        self.file.sync_all()?;
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        let beside = self.out.with_file_name(format!("{name}.provenance.json"));
        atomic_write(&beside, &self.provenance)?;
        fs::rename(&self.part, &self.out)?;
        // What is left is only a note; a run that ends here is complete.
        let _ = fs::remove_file(&self.state_path);
        Ok(())
    }
}
