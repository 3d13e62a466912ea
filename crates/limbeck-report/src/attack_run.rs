use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

use crate::files::{CONFIG, LOG, METRICS, PROVENANCE, config_text, read_json, write_json};
use crate::run_state::remove_leftovers;
use crate::settings::{check_inputs, check_settings};
use crate::{
    AttackMetrics, AttackRecord, Provenance, ReportError, Result, RunDir, RunState, atomic_write,
    attack_csv,
};

pub(crate) const RECORDS: &str = "attack.jsonl";
const CSV: &str = "attack.csv";
const PAGE: &str = "index.html";

/// The folder of an attack while it is being written: results stand in it the moment they are known.
///
/// ```text
/// config.toml       the settings with every default; given back, they repeat the attack
/// provenance.json   version, command, seed, device, SHA-256 of each input
/// attack.jsonl      one example per line; in the end sorted by id
/// attack.csv        the same as TextAttack logs it
/// index.html        the same to read
/// metrics.json      written last: a folder that has it is complete
/// ```
#[derive(Debug)]
pub struct AttackRun {
    /// Holds the folder's lock, and knows how to begin and to continue.
    run: RunDir,
    records: fs::File,
    known: BTreeMap<u64, AttackRecord>,
}

impl AttackRun {
    /// Begins an attack in a new folder, or continues the interrupted one there, provided that its settings and inputs are
    /// those of now.
    pub fn open(
        path: impl AsRef<Path>,
        config: &impl Serialize,
        provenance: &Provenance,
    ) -> Result<Self> {
        let path = path.as_ref();
        let run = match RunState::of(path)? {
            RunState::Unfinished => RunDir::open_unfinished(path, config, provenance)?,
            _ => RunDir::create(path, config, provenance)?,
        };
        let records_path = path.join(RECORDS);
        let mut known = BTreeMap::new();
        if records_path.is_file() {
            let (records, end) = parse(&records_path)?;
            known = records
                .into_iter()
                .map(|record| (record.id, record))
                .collect();
            // A killed process may have torn the last line.
            let file = fs::OpenOptions::new().write(true).open(&records_path);
            let cut = file.and_then(|file| file.set_len(end as u64));
            cut.map_err(ReportError::write(&records_path))?;
        }
        let records = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&records_path);
        let records = records.map_err(ReportError::write(&records_path))?;
        Ok(Self {
            run,
            records,
            known,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.run.path()
    }

    /// Results so far, by id.
    pub fn known(&self) -> &BTreeMap<u64, AttackRecord> {
        &self.known
    }

    /// Adds a result; it outlives the process from here on.
    pub fn append(&mut self, record: AttackRecord) -> Result<()> {
        let path = self.path().join(RECORDS);
        let line = line(&path, &record)?;
        // One write per line, so that a killed process tears no more than the last.
        self.records
            .write_all(&line)
            .map_err(ReportError::write(&path))?;
        self.known.insert(record.id, record);
        Ok(())
    }

    /// Completes the run with the results of the examples `included`: sorts them by id, writes the CSV and the page, and
    /// `metrics.json` last.
    pub fn finish(
        mut self,
        included: &BTreeSet<u64>,
        page: impl FnOnce(&[AttackRecord]) -> String,
        metrics: impl FnOnce(&[AttackRecord]) -> AttackMetrics,
    ) -> Result<FinishedAttack> {
        self.known.retain(|id, _| included.contains(id));
        let records: Vec<AttackRecord> = std::mem::take(&mut self.known).into_values().collect();
        let path = self.path().to_owned();
        let mut sorted = Vec::new();
        for record in &records {
            sorted.extend(line(&path.join(RECORDS), record)?);
        }
        atomic_write(path.join(RECORDS), &sorted)?;
        atomic_write(path.join(CSV), attack_csv(&records).as_bytes())?;
        atomic_write(path.join(PAGE), page(&records).as_bytes())?;
        let metrics = metrics(&records);
        // An attack has no training log.
        let _ = fs::remove_file(path.join(LOG));
        write_json(&path.join(METRICS), &metrics)?;
        remove_leftovers(&path);
        Ok(FinishedAttack {
            path,
            metrics,
            records,
        })
    }
}

/// A complete attack.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedAttack {
    /// Its folder.
    pub path: PathBuf,
    /// Its numbers.
    pub metrics: AttackMetrics,
    /// Its examples, by id.
    pub records: Vec<AttackRecord>,
}

impl FinishedAttack {
    /// Reads a complete attack.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        if !path.join(METRICS).is_file() {
            return Err(ReportError::NotFinished { path });
        }
        Ok(Self {
            metrics: read_json(&path.join(METRICS), "attack's metrics file")?,
            records: read_records(&path.join(RECORDS))?,
            path,
        })
    }

    /// Fails, and names the first difference, unless the attack had these settings and inputs.
    pub fn check_same(&self, config: &impl Serialize, provenance: &Provenance) -> Result<()> {
        check_settings(&self.path.join(CONFIG), &config_text(&self.path, config)?)?;
        let path = self.path.join(PROVENANCE);
        check_inputs(&path, &read_json(&path, "provenance record")?, provenance)
    }

    /// Removes what a process killed between its last result and its end left behind.
    pub fn tidy(&self) {
        remove_leftovers(&self.path);
    }
}

/// Reads `attack.jsonl`; a torn last line is left out.
pub(crate) fn read_records(path: &Path) -> Result<Vec<AttackRecord>> {
    Ok(parse(path)?.0)
}

/// The records, and the byte after the last whole one.
fn parse(path: &Path) -> Result<(Vec<AttackRecord>, usize)> {
    let text = fs::read(path).map_err(ReportError::read(path))?;
    let mut records = Vec::new();
    let mut end = 0;
    for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let is_torn = !line.ends_with(b"\n");
        match serde_json::from_slice(line) {
            Ok(record) if !is_torn => records.push(record),
            _ if is_torn => break,
            Ok(_) => {}
            Err(error) => {
                return Err(ReportError::Malformed {
                    path: path.to_owned(),
                    line: index + 1,
                    expected: "attacked example",
                    source: error.into(),
                });
            }
        }
        end += line.len();
    }
    Ok((records, end))
}

fn line(path: &Path, record: &AttackRecord) -> Result<Vec<u8>> {
    let mut line = crate::files::json_text(path, record, serde_json::to_vec)?;
    line.push(b'\n');
    Ok(line)
}
