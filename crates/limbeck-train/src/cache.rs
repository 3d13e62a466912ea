//! Teacher outputs stored on disk and read through a memory map.
//!
//! A folder: `header.json` says what they are of, `logits.f32` holds `[examples, outputs]` and, if
//! asked for, `first.f32` holds the first token's hidden states, `[examples, layers + 1, width]`,
//! and `hidden.f32` those of all tokens, sentence after sentence. All little-endian single precision,
//! so that a stored teacher equals a live one. The files grow in row order while they are made;
//! what is whole is kept when the making is interrupted.

use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fs_err as fs;
use limbeck_model::{HiddenStates, Needs, SentenceClassifier, batches_by_tokens};
use limbeck_ops::Pass;
use limbeck_text::Example;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::TrainError;
use crate::data::EncodedSet;
use crate::evaluate::{Predictions, TOKEN_BUDGET, predict_rows};
use crate::store::{claim, map};
use crate::survey::{Survey, hex};
use crate::teacher::{Signal, Teacher};

/// Rows computed and written together: the unit that an interruption may lose.
const CHUNK: usize = 512;

const LOGITS: &str = "logits.f32";

/// What stored outputs belong to; outputs with another header are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHeader {
    /// Layout of the files.
    pub version: u32,
    /// Digest of the teacher's weights and configuration.
    pub model: String,
    /// Digest of the teacher's tokenizer.
    pub tokenizer: String,
    /// Digest of the texts and their order.
    pub data: String,
    /// Label names in the order of the logits; empty for a regression.
    pub labels: Vec<String>,
    /// Longest sentence in tokens; longer ones were cut.
    pub max_tokens: usize,
    /// Number of examples.
    pub examples: usize,
    /// Logits per example.
    pub outputs: usize,
    /// Hidden states stored: `none`, `first` or `all`.
    pub hidden: String,
    /// Hidden states per token (layers and the embedding output).
    pub states: usize,
    /// Width of a hidden state.
    pub width: usize,
    /// Number format of all files.
    pub dtype: String,
}

impl CacheHeader {
    /// For a teacher, its tokenizer's fingerprint and a set of examples.
    pub fn new(
        model: &SentenceClassifier,
        tokenizer: &str,
        examples: &[Example],
        max_tokens: usize,
        needs: Needs,
    ) -> Result<Self, TrainError> {
        let survey = Survey::of(examples.iter().map(|e| Ok::<_, TrainError>(e.clone())))?;
        Self::of(model, tokenizer, &survey, max_tokens, needs)
    }

    /// For a teacher, its tokenizer's fingerprint and the examples that `survey` saw.
    pub fn of(
        model: &SentenceClassifier,
        tokenizer: &str,
        survey: &Survey,
        max_tokens: usize,
        needs: Needs,
    ) -> Result<Self, TrainError> {
        let (states, width) = if needs.hidden == HiddenStates::None {
            (0, 0)
        } else {
            let encoder = model.encoder().ok_or_else(|| TrainError::TeacherLacks {
                objective: "teacher cache",
                needs: format!("{needs:?}"),
                provides: format!("{:?}", model.provides()),
            })?;
            (
                encoder.config().layer_count + 1,
                encoder.config().hidden_size,
            )
        };
        Ok(Self {
            version: 2,
            model: model_digest(model)?,
            tokenizer: tokenizer.to_owned(),
            data: survey.texts.clone(),
            labels: match model.target() {
                limbeck_model::Target::Labels(labels) => labels.clone(),
                limbeck_model::Target::Regression => Vec::new(),
            },
            max_tokens,
            examples: survey.rows,
            outputs: model.target().outputs(),
            hidden: match needs.hidden {
                HiddenStates::None => "none",
                HiddenStates::First => "first",
                HiddenStates::All => "all",
            }
            .into(),
            states,
            width,
            dtype: "f32".into(),
        })
    }

    /// A name that differs whenever anything in the header does.
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(self).expect("a header of strings and numbers serialises");
        hex(&Sha256::digest(text))
    }

    /// Whether `folder` holds all outputs that a header of this name belongs to.
    pub fn is_whole(&self, folder: &Path) -> bool {
        let bytes = self.examples * self.outputs * 4;
        fs::metadata(folder.join(LOGITS)).is_ok_and(|file| file.len() == bytes as u64)
    }

    fn mismatch(&self, found: &Self, folder: &Path) -> Option<TrainError> {
        let (what, found, expected) = found.first_difference(self)?;
        Some(TrainError::CacheMismatch {
            path: folder.to_owned(),
            what,
            found,
            expected,
        })
    }

    fn first_difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let pairs = [
            ("model", self.model.clone(), other.model.clone()),
            ("tokenizer", self.tokenizer.clone(), other.tokenizer.clone()),
            (
                "labels",
                format!("{:?}", self.labels),
                format!("{:?}", other.labels),
            ),
            ("data", self.data.clone(), other.data.clone()),
            (
                "max-tokens",
                self.max_tokens.to_string(),
                other.max_tokens.to_string(),
            ),
            ("hidden states", self.hidden.clone(), other.hidden.clone()),
            ("layout", format!("{self:?}"), format!("{other:?}")),
        ];
        pairs.into_iter().find(|(_, a, b)| a != b)
    }
}

fn model_digest(model: &SentenceClassifier) -> Result<String, TrainError> {
    let mut digest = Sha256::new();
    // Head, activation and the like decide what the same weights answer.
    digest.update(model.config().to_json(model.target()).to_string());
    for (name, tensor) in model.tensors()? {
        digest.update(name.as_bytes());
        for value in tensor
            .to_device(&Device::Cpu)?
            .flatten_all()?
            .to_vec1::<f32>()?
        {
            digest.update(value.to_le_bytes());
        }
    }
    Ok(hex(&digest.finalize()))
}

/// Stored teacher outputs.
#[derive(Debug)]
pub struct StoredTeacher {
    header: CacheHeader,
    logits: Mmap,
    hidden: Option<Mmap>,
    /// First token of each sentence in `hidden.f32`, counted in tokens.
    starts: Vec<usize>,
    /// The set, where states of all tokens are stored.
    set: Option<EncodedSet>,
    folder: PathBuf,
}

impl StoredTeacher {
    /// Opens the outputs in `folder`, computing those that are missing first.
    ///
    /// `set` is the set of examples as the teacher's tokenizer cuts it. `go_on` is told how many
    /// examples are done after each chunk, and may stop the making by returning `false`; what was
    /// made stays. Fails when the folder holds outputs of something else.
    pub fn open_or_make(
        folder: &Path,
        header: CacheHeader,
        model: &SentenceClassifier,
        set: &EncodedSet,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Self, TrainError> {
        {
            let _lock = claim(folder, &header, |found| header.mismatch(found, folder))?;
            make(folder, &header, model, set, go_on)?;
        }
        Self::open(folder, header, set)
    }

    /// Stores logits that were computed already, unless they are there. Fails when the folder holds outputs of something else.
    ///
    /// # Panics
    ///
    /// If the header asks for hidden states, or for another number of logits.
    pub fn keep(
        folder: &Path,
        header: &CacheHeader,
        predictions: &Predictions,
    ) -> Result<(), TrainError> {
        assert_eq!(
            (header.states, header.examples, header.outputs),
            (0, predictions.len(), predictions.outputs),
            "logits of all examples, and nothing else"
        );
        let _lock = claim(folder, header, |found| header.mismatch(found, folder))?;
        if !header.is_whole(folder) {
            limbeck_text::atomic_write(folder.join(LOGITS), &bytes(&predictions.logits))?;
        }
        Ok(())
    }

    fn open(folder: &Path, header: CacheHeader, set: &EncodedSet) -> Result<Self, TrainError> {
        // Where sentences begin matters only where all their tokens are stored.
        let mut starts = vec![0];
        if header.hidden == "all" {
            let mut end = 0;
            starts.extend((0..set.len()).map(|row| {
                end += set.length(row);
                end
            }));
        }
        let logits = header.examples * header.outputs * 4;
        let logits = map(&folder.join(LOGITS), logits)?;
        let tokens = match header.hidden.as_str() {
            "all" => starts[set.len()],
            _ => header.examples,
        };
        let hidden = match header.hidden.as_str() {
            "none" => None,
            kind => Some(map(
                &folder.join(hidden_file(kind)),
                tokens * header.states * header.width * 4,
            )?),
        };
        Ok(Self {
            set: (header.hidden == "all").then(|| set.clone()),
            header,
            logits,
            hidden,
            starts,
            folder: folder.to_owned(),
        })
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One example's logits.
    pub fn logits(&self, row: usize) -> Vec<f32> {
        read(&self.logits, row * self.header.outputs, self.header.outputs)
    }

    /// All examples' logits.
    pub fn predictions(&self) -> Predictions {
        let CacheHeader {
            examples, outputs, ..
        } = self.header;
        Predictions {
            logits: read(&self.logits, 0, examples * outputs),
            outputs,
        }
    }
}

impl Teacher for StoredTeacher {
    fn provides(&self) -> Needs {
        let hidden = match self.header.hidden.as_str() {
            "all" => HiddenStates::All,
            "first" => HiddenStates::First,
            _ => HiddenStates::None,
        };
        Needs {
            hidden,
            attention: false,
        }
    }

    fn signal(&self, rows: &[usize], needs: Needs) -> Result<Signal, TrainError> {
        let logits: Vec<f32> = rows.iter().flat_map(|&row| self.logits(row)).collect();
        let logits = Tensor::from_vec(logits, (rows.len(), self.header.outputs), &Device::Cpu)?;
        let mut hidden = Vec::new();
        if let (Some(stored), true) = (&self.hidden, needs.hidden != HiddenStates::None) {
            let CacheHeader { states, width, .. } = self.header;
            // Files keep a token's states together; a signal has one tensor per state.
            let whole = self.header.hidden == "all" && needs.hidden == HiddenStates::All;
            let tokens: Vec<usize> = rows
                .iter()
                .flat_map(|&row| match (self.header.hidden.as_str(), whole) {
                    ("all", true) => self.starts[row]..self.starts[row + 1],
                    ("all", false) => self.starts[row]..self.starts[row] + 1,
                    _ => row..row + 1,
                })
                .collect();
            for state in 0..states {
                let values: Vec<f32> = tokens
                    .iter()
                    .flat_map(|&token| read(stored, (token * states + state) * width, width))
                    .collect();
                hidden.push(Tensor::from_vec(
                    values,
                    (tokens.len(), width),
                    &Device::Cpu,
                )?);
            }
        }
        Ok(Signal {
            logits,
            hidden,
            attention: Vec::new(),
        })
    }

    fn reads(&self) -> Option<&EncodedSet> {
        self.set.as_ref()
    }
}

fn hidden_file(kind: &str) -> String {
    format!("{}.f32", if kind == "all" { "hidden" } else { "first" })
}

fn read(map: &Mmap, first: usize, count: usize) -> Vec<f32> {
    let bytes = &map[first * 4..(first + count) * 4];
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// Computes what is missing, chunk by chunk.
fn make(
    folder: &Path,
    header: &CacheHeader,
    model: &SentenceClassifier,
    set: &EncodedSet,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<(), TrainError> {
    let needs = match header.hidden.as_str() {
        "all" => HiddenStates::All,
        "first" => HiddenStates::First,
        _ => HiddenStates::None,
    };
    // Bytes up to the end of each chunk, in both files.
    let state_bytes = header.states * header.width * 4;
    let tokens_of = |row: usize| {
        if needs == HiddenStates::All {
            set.length(row)
        } else {
            1
        }
    };
    let mut logits_file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(LOGITS))?;
    let mut hidden_out = match needs {
        HiddenStates::None => None,
        _ => Some(
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(hidden_file(&header.hidden)))?,
        ),
    };
    let logits_len = logits_file.metadata()?.len() as usize;
    let hidden_len = match &hidden_out {
        Some(file) => file.metadata()?.len() as usize,
        None => 0,
    };
    let (mut rows_done, mut logits_done, mut hidden_done) = (0, 0, 0);
    while rows_done < header.examples {
        let next = (rows_done + CHUNK).min(header.examples);
        let logits_end = next * header.outputs * 4;
        let hidden_end =
            hidden_done + (rows_done..next).map(tokens_of).sum::<usize>() * state_bytes;
        if logits_end > logits_len || (hidden_out.is_some() && hidden_end > hidden_len) {
            break;
        }
        (rows_done, logits_done, hidden_done) = (next, logits_end, hidden_end);
    }
    // A chunk that was cut short is made again.
    logits_file.set_len(logits_done as u64)?;
    if let Some(file) = &mut hidden_out {
        file.set_len(hidden_done as u64)?;
    }
    while rows_done < header.examples {
        let rows: Vec<usize> = (rows_done..(rows_done + CHUNK).min(header.examples)).collect();
        let (logits, hidden) = compute(model, set, &rows, needs, header)?;
        // Hidden states first: the logits' length then tells that the chunk is whole.
        if let Some(file) = &mut hidden_out {
            file.write_all(&bytes(&hidden))?;
            file.sync_data()?;
        }
        logits_file.write_all(&bytes(&logits))?;
        logits_file.sync_data()?;
        rows_done += rows.len();
        if !go_on(rows_done) {
            return Err(TrainError::Interrupted { step: 0 });
        }
    }
    Ok(())
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Logits and hidden states of some rows, in their order.
fn compute(
    model: &SentenceClassifier,
    set: &EncodedSet,
    rows: &[usize],
    hidden: HiddenStates,
    header: &CacheHeader,
) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
    if hidden == HiddenStates::None {
        return Ok((predict_rows(model, set, rows, |_| {})?.logits, Vec::new()));
    }
    let lengths: Vec<usize> = rows.iter().map(|&row| set.length(row)).collect();
    let CacheHeader {
        outputs,
        states,
        width,
        ..
    } = *header;
    let tokens_of = |index: usize| {
        if hidden == HiddenStates::All {
            lengths[index]
        } else {
            1
        }
    };
    let mut starts = vec![0];
    for index in 0..rows.len() {
        starts.push(starts[index] + tokens_of(index));
    }
    let mut logits = vec![0.0; rows.len() * outputs];
    let mut stored = vec![0.0; starts[rows.len()] * states * width];
    for indices in batches_by_tokens(&lengths, TOKEN_BUDGET) {
        let chosen: Vec<usize> = indices.iter().map(|&i| rows[i]).collect();
        let needs = Needs {
            hidden,
            attention: false,
        };
        let output = model.forward(&set.batch(&chosen), needs, &Pass::EVALUATE)?;
        let values = output
            .logits
            .to_device(&Device::Cpu)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        for (&index, values) in indices.iter().zip(values.chunks_exact(outputs)) {
            logits[index * outputs..][..outputs].copy_from_slice(values);
        }
        for (state, tensor) in output.hidden.iter().enumerate() {
            let values = tensor
                .to_device(&Device::Cpu)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let mut from = 0;
            for &index in &indices {
                for token in 0..tokens_of(index) {
                    let to = ((starts[index] + token) * states + state) * width;
                    stored[to..to + width].copy_from_slice(&values[from..from + width]);
                    from += width;
                }
            }
        }
    }
    Ok((logits, stored))
}
