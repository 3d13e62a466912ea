//! A training set cut into tokens, kept on disk and read through memory maps: training needs memory for a batch only.
//!
//! A folder: `header.json` says what the set is of, `tokens.u32` holds all sentences' token ids end to end (the top
//! bit is the segment), `rows.bin` a record per example: where its tokens end, its id and its label. All
//! little-endian. The files grow in row order while they are made; what is whole is kept when the making is interrupted.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use limbeck_model::{Encoding, TextTokenizer};
use limbeck_text::{Example, Label, Text, TextError};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::TrainError;
use crate::survey::{Survey, hex};

/// Rows cut and written together: the unit that an interruption may lose.
const CHUNK: usize = 8192;
const TOKENS: &str = "tokens.u32";
const ROWS: &str = "rows.bin";
/// Bytes of a row's record: end (8), id (8), kind of label (4), label (4).
const RECORD: usize = 24;
const SECOND_SEGMENT: u32 = 1 << 31;

/// What a stored set is of; a set with another header is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetHeader {
    /// Layout of the files.
    pub version: u32,
    /// Digest of the tokenizer.
    pub tokenizer: String,
    /// Digest of the texts and their order.
    pub texts: String,
    /// Digest of the labels.
    pub labels: String,
    /// Longest sentence in tokens; longer ones were cut.
    pub max_tokens: usize,
    /// Number of examples.
    pub examples: usize,
}

impl SetHeader {
    /// For the examples that `survey` saw, as a tokenizer with this fingerprint cuts them.
    pub fn new(survey: &Survey, tokenizer: &str, max_tokens: usize) -> Self {
        Self {
            version: 1,
            tokenizer: tokenizer.to_owned(),
            texts: survey.texts.clone(),
            labels: survey.labels.clone(),
            max_tokens,
            examples: survey.rows,
        }
    }

    /// A name that differs whenever anything in the header does.
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(self).expect("a header of strings and numbers serialises");
        hex(&Sha256::digest(text))
    }

    fn first_difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let length = |header: &Self| header.max_tokens.to_string();
        let pairs = [
            ("tokenizer", self.tokenizer.clone(), other.tokenizer.clone()),
            ("texts", self.texts.clone(), other.texts.clone()),
            ("labels", self.labels.clone(), other.labels.clone()),
            ("max-tokens", length(self), length(other)),
            ("layout", format!("{self:?}"), format!("{other:?}")),
        ];
        pairs.into_iter().find(|(_, a, b)| a != b)
    }
}

/// A set on disk.
#[derive(Debug, Clone)]
pub struct StoredSet {
    tokens: Arc<Mmap>,
    rows: Arc<Mmap>,
    count: usize,
}

/// One row's record.
struct Record {
    /// Tokens up to the row's last, in all rows.
    end: u64,
    id: u64,
    label: Option<Label>,
}

impl StoredSet {
    /// Opens the set in `folder`, cutting first the rows that are missing.
    ///
    /// `examples` are all of them from the first; memory holds a chunk of them at a time. `go_on` is told how many are
    /// done after each chunk, and may stop the making by returning `false`; what was made stays.
    pub fn open_or_make(
        folder: &Path,
        header: &SetHeader,
        examples: &mut dyn Iterator<Item = Result<Example, TextError>>,
        tokenizer: &TextTokenizer,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Self, TrainError> {
        let _lock = crate::store::claim(folder, header, |found: &SetHeader| {
            let (what, found, expected) = found.first_difference(header)?;
            Some(TrainError::SetMismatch {
                path: folder.to_owned(),
                what,
                found,
                expected,
            })
        })?;
        let tokens = make(folder, header, examples, tokenizer, go_on)?;
        let map = |name: &str, bytes: usize| {
            let map = crate::store::map(&folder.join(name), bytes)?;
            // Rows are read in random order: a page is read alone. Where the system cannot be told, it reads more.
            let _ = map.advise(memmap2::Advice::Random);
            Ok::<_, TrainError>(Arc::new(map))
        };
        Ok(Self {
            tokens: map(TOKENS, tokens as usize * 4)?,
            rows: map(ROWS, header.examples * RECORD)?,
            count: header.examples,
        })
    }

    /// Number of examples.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn length(&self, row: usize) -> usize {
        (self.record(row).end - self.start(row)) as usize
    }

    pub(crate) fn id(&self, row: usize) -> u64 {
        self.record(row).id
    }

    pub(crate) fn label(&self, row: usize) -> Option<Label> {
        self.record(row).label
    }

    pub(crate) fn encoding(&self, row: usize) -> Encoding {
        let (start, end) = (self.start(row) as usize, self.record(row).end as usize);
        let words = self.tokens[start * 4..end * 4].chunks_exact(4);
        let words = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (ids, segments) = words
            .map(|word| (word & !SECOND_SEGMENT, word >> 31))
            .unzip();
        Encoding { ids, segments }
    }

    fn start(&self, row: usize) -> u64 {
        row.checked_sub(1)
            .map_or(0, |before| self.record(before).end)
    }

    fn record(&self, row: usize) -> Record {
        Record::read(&self.rows[row * RECORD..][..RECORD])
    }
}

impl Record {
    fn read(bytes: &[u8]) -> Self {
        let wide = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        Self {
            end: wide(0),
            id: wide(8),
            label: match word(16) {
                1 => Some(Label::Class(word(20))),
                2 => Some(Label::Score(f32::from_bits(word(20)))),
                _ => None,
            },
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, bits) = match self.label {
            None => (0, 0),
            Some(Label::Class(class)) => (1, class),
            Some(Label::Score(score)) => (2, score.to_bits()),
        };
        out.extend(self.end.to_le_bytes());
        out.extend(self.id.to_le_bytes());
        out.extend(u32::to_le_bytes(kind));
        out.extend(u32::to_le_bytes(bits));
    }
}

/// Cuts what is missing, chunk by chunk; returns the number of tokens in all.
fn make(
    folder: &Path,
    header: &SetHeader,
    examples: &mut dyn Iterator<Item = Result<Example, TextError>>,
    tokenizer: &TextTokenizer,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<u64, TrainError> {
    let open = |name: &str| {
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true).open(folder.join(name))
    };
    let (mut tokens, mut rows) = (open(TOKENS)?, open(ROWS)?);
    let (mut done, mut end) = whole_rows(folder, header.examples, tokens.metadata()?.len())?;
    rows.set_len((done * RECORD) as u64)?;
    tokens.set_len(end * 4)?;
    if done == header.examples {
        return Ok(end);
    }
    for example in Iterator::take(&mut *examples, done) {
        example?;
    }
    while done < header.examples {
        let chunk: Vec<Example> =
            Iterator::take(&mut *examples, CHUNK).collect::<Result<_, _>>()?;
        if chunk.is_empty() || done + chunk.len() > header.examples {
            let problem = format!(
                "the data has not the {} examples that it had; its files changed meanwhile",
                header.examples
            );
            return Err(TrainError::damaged(&folder.join(ROWS), &problem));
        }
        let texts: Vec<Text> = chunk.iter().map(|example| example.text.clone()).collect();
        let (mut words, mut records) = (Vec::new(), Vec::new());
        let encodings = tokenizer.encode_batch(&texts, header.max_tokens)?;
        for (example, encoding) in chunk.iter().zip(&encodings) {
            for (&id, &segment) in encoding.ids.iter().zip(&encoding.segments) {
                debug_assert!(id < SECOND_SEGMENT && segment < 2);
                words.extend((id | (segment << 31)).to_le_bytes());
            }
            end += encoding.ids.len() as u64;
            let (id, label) = (example.id, example.label);
            Record { end, id, label }.write(&mut records);
        }
        // Tokens first: a record then tells that its tokens are there.
        tokens.write_all(&words)?;
        tokens.sync_data()?;
        rows.write_all(&records)?;
        rows.sync_data()?;
        done += chunk.len();
        if !go_on(done) {
            return Err(TrainError::Interrupted { step: 0 });
        }
    }
    Ok(end)
}

/// Rows whose record and tokens are both whole, and where their tokens end.
fn whole_rows(
    folder: &Path,
    examples: usize,
    token_bytes: u64,
) -> Result<(usize, u64), TrainError> {
    let path = folder.join(ROWS);
    let mut count = (fs::metadata(&path)?.len() as usize / RECORD).min(examples);
    if count == 0 {
        return Ok((0, 0));
    }
    let file = fs::File::open(&path)?;
    let map = crate::store::map_all(&file)?;
    while count > 0 {
        let end = Record::read(&map[(count - 1) * RECORD..][..RECORD]).end;
        if end * 4 <= token_bytes {
            return Ok((count, end));
        }
        count -= 1;
    }
    Ok((0, 0))
}
