//! Word vectors: read from others' formats, kept in a mapped store, searched for neighbours, fitted to constraints, judged.

mod binary;
mod constraints;
mod counter_fit;
mod export;
mod judge;
mod nearest;
mod neighbour_list;
mod neighbour_table;
mod npy;
mod store;
mod store_file;
mod text;
mod word_list;

pub use constraints::{Constraints, read_word_pairs};
pub use counter_fit::{CounterFitConfig, CounterFitStep, CounterFitSummary, counter_fit};
pub use export::export_vectors;
pub use judge::{
    AntonymShare, RatedPair, RatingAgreement, antonyms_among_neighbours, rating_agreement,
    read_rated_pairs,
};
pub use nearest::Ranking;
pub use neighbour_list::NeighbourList;
pub use store::VectorStore;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use limbeck_ops::mix64;

use crate::{ModelError, stream_key};
use binary::read_binary;
use npy::read_npy;
use text::read_text;

/// Words without a vector are drawn from `U(-0.25, 0.25)` (Kim 2014, §3).
const UNKNOWN_RANGE: f32 = 0.25;

/// Longest line of text and longest word of a binary file, in bytes: beyond, the format is another.
const LINE_LIMIT: u64 = 1 << 20;
const DIMENSION_LIMIT: usize = 1 << 16;

/// Vectors of known words, each word once.
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectors {
    words: Vec<String>,
    dimensions: usize,
    values: Vec<f32>,
    rows: HashMap<String, usize>,
}

/// Which words of a file are kept in memory.
#[derive(Debug, Clone, Copy)]
pub enum Keep<'a> {
    /// All.
    All,
    /// The first ones: the most frequent in the files of GloVe and word2vec.
    First(usize),
    /// Those that occur, such as the transfer set's.
    These(&'a HashSet<String>),
    /// The first ones, and these wherever they stand.
    FirstAnd(usize, &'a HashSet<String>),
}

impl Keep<'_> {
    /// Whether to keep the word at `place`, 0-based, of the file.
    fn keeps(self, place: u64, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::First(count) => place < count as u64,
            Self::These(words) => words.contains(word),
            Self::FirstAnd(count, words) => place < count as u64 || words.contains(word),
        }
    }

    /// Whether nothing from `place` on is wanted.
    fn ends_at(self, place: u64) -> bool {
        matches!(self, Self::First(count) if place >= count as u64)
    }
}

/// Initial word embeddings of a vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingTable {
    /// `[words, dimensions]`.
    pub values: Vec<f32>,
    /// Length of a row.
    pub dimensions: usize,
    /// Number of words that had a vector; the others are random.
    pub known_count: usize,
}

impl WordVectors {
    /// Vectors `[words, dimensions]` held by the caller. Of a repeated word the first vector stays.
    ///
    /// Fails where the numbers are not `dimensions` for each word, or not finite.
    pub fn from_rows(
        words: &[String],
        dimensions: usize,
        values: &[f32],
    ) -> Result<Self, ModelError> {
        let wrong = |problem: String| ModelError::Vectors { problem };
        if !(1..=DIMENSION_LIMIT).contains(&dimensions) {
            return Err(wrong(format!(
                "found {dimensions} dimensions, expected 1 to {DIMENSION_LIMIT}"
            )));
        }
        if values.len() != words.len() * dimensions {
            return Err(wrong(format!(
                "found {} numbers, expected {dimensions} for each of {} words",
                values.len(),
                words.len()
            )));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(wrong(format!(
                "found `{}` in the vector of `{}`, expected a number",
                values[place],
                shortened(&words[place / dimensions])
            )));
        }
        let mut vectors = Self::new(dimensions);
        for (word, vector) in words.iter().zip(values.chunks_exact(dimensions)) {
            vectors.add(word, vector.iter().copied());
        }
        Ok(vectors)
    }

    /// Reads vectors by the file's name: `.npy` with its list of words, `.bin` as word2vec's binary format, all else as text.
    pub fn open(path: &Path, words: Option<&Path>, keep: Keep<'_>) -> Result<Self, ModelError> {
        match (
            path.extension().and_then(|extension| extension.to_str()),
            words,
        ) {
            (Some("npy"), Some(words)) => Self::open_npy(path, words, keep),
            (Some("npy"), None) => Err(file_error(
                path,
                "an array has no words; give the list of words beside it",
            )),
            (Some("bin"), _) => Self::open_binary(path, keep),
            _ => Self::open_text(path, keep),
        }
    }

    /// Reads text: a word and its numbers per line (GloVe), below a line of counts where there is one (word2vec).
    pub fn open_text(path: &Path, keep: Keep<'_>) -> Result<Self, ModelError> {
        read_text(open(path)?, path, keep)
    }

    /// Reads word2vec's binary format.
    pub fn open_binary(path: &Path, keep: Keep<'_>) -> Result<Self, ModelError> {
        read_binary(open(path)?, path, keep)
    }

    /// Reads an `npy` array `[words, dimensions]` of `float32` or `float64` and the words of its rows:
    /// one per line, or a JSON array, or a JSON object from word to row, or the one text column of a parquet file.
    pub fn open_npy(path: &Path, words: &Path, keep: Keep<'_>) -> Result<Self, ModelError> {
        let list = word_list::open(words)?;
        read_npy(open(path)?, path, &list, keep)
    }

    /// The words, in the file's order.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Length of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// All vectors, `[words, dimensions]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One word's vector.
    pub fn vector(&self, word: &str) -> Option<&[f32]> {
        let row = *self.rows.get(word)?;
        Some(&self.values[row * self.dimensions..][..self.dimensions])
    }

    /// Divides each vector by its length; one of zeros stays.
    pub fn normalise(&mut self) {
        for vector in self.values.chunks_exact_mut(self.dimensions) {
            let square: f64 = vector.iter().map(|&v| f64::from(v).powi(2)).sum();
            if square > 0.0 {
                let length = square.sqrt();
                for value in vector {
                    *value = (f64::from(*value) / length) as f32;
                }
            }
        }
    }

    /// A row per word of a vocabulary, random where the word has no vector.
    ///
    /// A word's random row depends on the word and the seed alone, not on the vocabulary.
    pub fn embedding_table(&self, vocabulary: &[String], seed: u64) -> EmbeddingTable {
        let mut values = Vec::with_capacity(vocabulary.len() * self.dimensions);
        let mut known_count = 0;
        for word in vocabulary {
            if let Some(vector) = self.vector(word) {
                values.extend_from_slice(vector);
                known_count += 1;
            } else {
                values.extend(random_vector(word, self.dimensions, seed));
            }
        }
        EmbeddingTable {
            values,
            dimensions: self.dimensions,
            known_count,
        }
    }

    fn new(dimensions: usize) -> Self {
        Self {
            words: Vec::new(),
            dimensions,
            values: Vec::new(),
            rows: HashMap::new(),
        }
    }

    /// Adds a word; of a repeated one the first vector stays, as GloVe's most frequent spelling comes first.
    fn add(&mut self, word: &str, vector: impl IntoIterator<Item = f32>) {
        if !self.rows.contains_key(word) {
            self.rows.insert(word.to_owned(), self.words.len());
            self.words.push(word.to_owned());
            self.values.extend(vector);
        }
    }
}

fn random_vector(word: &str, dimensions: usize, seed: u64) -> impl Iterator<Item = f32> {
    let key = mix64(stream_key(seed, "word vector") ^ stream_key(0, word));
    (0..dimensions as u64).map(move |place| {
        let unit = (mix64(key.wrapping_add(place)) >> 40) as f32 / (1 << 24) as f32;
        (2.0 * unit - 1.0) * UNKNOWN_RANGE
    })
}

/// `400000 300`: word2vec's first line.
fn counts(line: &str) -> Option<(u64, usize)> {
    let (words, dimensions) = line.split_once(' ')?;
    Some((words.parse().ok()?, dimensions.parse().ok()?))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers
        .iter()
        .map(|&number| f32::from_le_bytes(number))
        .collect()
}

fn finite(
    values: Vec<f32>,
    path: &Path,
    row: impl std::fmt::Display,
) -> Result<Vec<f32>, ModelError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(file_error(
            path,
            &format!("word {row}: `{value}` in its vector"),
        )),
        None => Ok(values),
    }
}

fn open(path: &Path) -> Result<impl BufRead, ModelError> {
    let file = fs_err::File::open(path).map_err(|source| ModelError::Read { source })?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn file_error(path: &Path, problem: &str) -> ModelError {
    ModelError::WordVectorFile {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

/// The beginning of something that a message quotes.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
