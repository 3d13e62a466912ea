//! Word vectors of others: GloVe, word2vec, and `npy` arrays.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use limbeck_ops::mix64;
use serde_json::Value;

use crate::{ModelError, stream_key};

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
    /// Those that occur, such as the transfer set's.
    These(&'a HashSet<String>),
}

impl Keep<'_> {
    fn keeps(self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(words) => words.contains(word),
        }
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
    /// one per line, or a JSON array, or a JSON object from word to row.
    pub fn open_npy(path: &Path, words: &Path, keep: Keep<'_>) -> Result<Self, ModelError> {
        let bytes = fs_err::read(words).map_err(|source| ModelError::Read { source })?;
        let list = word_list(&bytes, words)?;
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

fn read_text(
    mut reader: impl BufRead,
    path: &Path,
    keep: Keep<'_>,
) -> Result<WordVectors, ModelError> {
    let mut vectors: Option<WordVectors> = None;
    let mut promised = None;
    let mut count = 0u64;
    let mut bytes = Vec::new();
    for line in 1.. {
        let failed = |problem: String| ModelError::WordVectorLine {
            path: path.to_owned(),
            line,
            problem,
        };
        bytes.clear();
        reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| ModelError::Read { source })?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 == LINE_LIMIT {
            return Err(failed(
                "a line of more than 1 MiB; binary files end in `.bin` or `.npy`".to_owned(),
            ));
        }
        // A word that is not UTF-8 is not in any vocabulary; its line need not stop the reading.
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\r', '\n', ' ', '\t']);
        if line == 1
            && let Some((words, dimensions)) = counts(text)
        {
            if dimensions == 0 || dimensions > DIMENSION_LIMIT {
                return Err(failed(format!(
                    "{dimensions} dimensions, wanted 1 to {DIMENSION_LIMIT}"
                )));
            }
            promised = Some(words);
            vectors = Some(WordVectors::new(dimensions));
            continue;
        }
        if text.is_empty() {
            continue;
        }
        let found = text.split([' ', '\t']).count() - 1;
        let vectors = vectors.get_or_insert_with(|| WordVectors::new(found));
        let dimensions = vectors.dimensions;
        if found < dimensions || dimensions == 0 {
            return Err(failed(format!(
                "{found} of {} numbers after the word",
                dimensions.max(1)
            )));
        }
        // Words of GloVe's web crawl hold spaces: the numbers are the last fields.
        let mut fields = text.rsplitn(dimensions + 1, [' ', '\t']);
        let numbers: Vec<&str> = fields.by_ref().take(dimensions).collect();
        let word = fields.next().unwrap_or_default();
        if found > dimensions && word.rsplit([' ', '\t']).next().is_some_and(is_number) {
            return Err(failed(format!(
                "more than {dimensions} numbers after the word"
            )));
        }
        count += 1;
        if keep.keeps(word) {
            let mut vector = Vec::with_capacity(dimensions);
            for number in numbers.into_iter().rev() {
                let value = number.parse().ok().filter(|value: &f32| value.is_finite());
                vector.push(
                    value.ok_or_else(|| {
                        failed(format!("`{}` is not a number", shortened(number)))
                    })?,
                );
            }
            vectors.add(word, vector);
        }
    }
    if let Some(promised) = promised.filter(|&promised| promised != count) {
        return Err(file_error(
            path,
            &format!(
                "holds {count} of the {promised} words that its first line promises; fetch the file again"
            ),
        ));
    }
    vectors.ok_or_else(|| file_error(path, "empty, wanted a word and its numbers per line"))
}

fn read_binary(
    mut reader: impl BufRead,
    path: &Path,
    keep: Keep<'_>,
) -> Result<WordVectors, ModelError> {
    let read = |source| ModelError::Read { source };
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(64)
        .read_until(b'\n', &mut bytes)
        .map_err(read)?;
    let header = String::from_utf8_lossy(&bytes);
    let counts = counts(header.trim_end())
        .filter(|&(_, dimensions)| (1..=DIMENSION_LIMIT).contains(&dimensions));
    let Some((words, dimensions)) = counts else {
        return Err(file_error(
            path,
            "does not begin with the numbers of words and of dimensions, as word2vec's binary files do",
        ));
    };
    let mut vectors = WordVectors::new(dimensions);
    for index in 0..words {
        let cut = || {
            file_error(
                path,
                &format!("ends at word {index} of {words}; fetch the file again"),
            )
        };
        bytes.clear();
        reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b' ', &mut bytes)
            .map_err(read)?;
        if bytes.pop() != Some(b' ') {
            return Err(cut());
        }
        let word = String::from_utf8_lossy(&bytes)
            .trim_start_matches('\n')
            .to_owned();
        bytes.clear();
        reader
            .by_ref()
            .take(4 * dimensions as u64)
            .read_to_end(&mut bytes)
            .map_err(read)?;
        if bytes.len() < 4 * dimensions {
            return Err(cut());
        }
        if keep.keeps(&word) {
            vectors.add(&word, finite(floats(&bytes), path, index)?);
        }
    }
    Ok(vectors)
}

/// The text at the head of an `npy` file, read as far as vectors need it.
struct Array {
    rows: usize,
    dimensions: usize,
    bytes_per_number: usize,
}

fn read_npy(
    mut reader: impl BufRead,
    path: &Path,
    words: &[Option<String>],
    keep: Keep<'_>,
) -> Result<WordVectors, ModelError> {
    let array = npy_header(&mut reader, path)?;
    if array.rows != words.len() {
        return Err(file_error(
            path,
            &format!(
                "{} rows, but the list of words has {}",
                array.rows,
                words.len()
            ),
        ));
    }
    let mut vectors = WordVectors::new(array.dimensions);
    let row_len = array.dimensions * array.bytes_per_number;
    let mut bytes = Vec::new();
    for (row, word) in words.iter().enumerate() {
        bytes.clear();
        reader
            .by_ref()
            .take(row_len as u64)
            .read_to_end(&mut bytes)
            .map_err(|source| ModelError::Read { source })?;
        if bytes.len() < row_len {
            return Err(file_error(
                path,
                &format!("ends at row {row} of {}; fetch the file again", array.rows),
            ));
        }
        let Some(word) = word.as_deref().filter(|word| keep.keeps(word)) else {
            continue;
        };
        let values = if array.bytes_per_number == 8 {
            doubles(&bytes)
        } else {
            floats(&bytes)
        };
        vectors.add(word, finite(values, path, row)?);
    }
    Ok(vectors)
}

/// The `npy` format 1.0 to 3.0: magic, version, length of the text, a Python dictionary.
fn npy_header(reader: &mut impl BufRead, path: &Path) -> Result<Array, ModelError> {
    let failed = |problem: &str| file_error(path, problem);
    let mut read = |count: u64| -> Result<Vec<u8>, ModelError> {
        let mut bytes = Vec::new();
        reader
            .by_ref()
            .take(count)
            .read_to_end(&mut bytes)
            .map_err(|source| ModelError::Read { source })?;
        if bytes.len() as u64 == count {
            Ok(bytes)
        } else {
            Err(failed("not a NumPy array: it ends in its header"))
        }
    };
    let start = read(8)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err(failed("not a NumPy array"));
    }
    let length = match start[6] {
        1 => read(2)?
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        2 | 3 => read(4)?
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        version => return Err(failed(&format!("NumPy's format {version}, wanted 1 to 3"))),
    };
    if length > LINE_LIMIT {
        return Err(failed("not a NumPy array: a header of more than 1 MiB"));
    }
    let text = String::from_utf8_lossy(&read(length)?).into_owned();
    let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let bytes_per_number = match value("descr").and_then(|rest| rest.split('\'').nth(1)) {
        Some("<f4") => 4,
        Some("<f8") => 8,
        found => {
            return Err(failed(&format!(
                "numbers of type {}, wanted `<f4` or `<f8`",
                shortened(found.unwrap_or("?"))
            )));
        }
    };
    if !value("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
        return Err(failed(
            "stored column by column; save it again from `numpy.ascontiguousarray`",
        ));
    }
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let sizes = shape.and_then(|(sizes, _)| {
        let sizes: Result<Vec<usize>, _> = sizes
            .trim_end_matches([',', ' '])
            .split(',')
            .map(|size| size.trim().parse())
            .collect();
        <[usize; 2]>::try_from(sizes.ok()?).ok()
    });
    match sizes {
        Some([rows, dimensions]) if (1..=DIMENSION_LIMIT).contains(&dimensions) => Ok(Array {
            rows,
            dimensions,
            bytes_per_number,
        }),
        _ => Err(failed(&format!(
            "its shape is not (words, dimensions) with 1 to {DIMENSION_LIMIT} dimensions"
        ))),
    }
}

/// The word of each row; a row that a JSON object leaves out has none.
fn word_list(bytes: &[u8], path: &Path) -> Result<Vec<Option<String>>, ModelError> {
    let wrong = |problem: &str| file_error(path, problem);
    if path.extension().is_none_or(|extension| extension != "json") {
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(&error.to_string()))?;
        return Ok(text.lines().map(|word| Some(word.to_owned())).collect());
    }
    match serde_json::from_slice(bytes).map_err(|error| wrong(&error.to_string()))? {
        Value::Array(words) => {
            let word = |word: Value| word.as_str().map(|word| Some(word.to_owned()));
            let words: Option<Vec<Option<String>>> = words.into_iter().map(word).collect();
            words.ok_or_else(|| wrong("wanted a list of strings, found something else in it"))
        }
        Value::Object(rows) => {
            let mut words = vec![None; rows.len()];
            for (word, row) in rows {
                let row = row.as_u64().and_then(|row| words.get_mut(row as usize));
                let Some(row) = row.filter(|row| row.is_none()) else {
                    return Err(wrong(&format!(
                        "the row of `{}` is not a number of its own below the number of words",
                        shortened(&word)
                    )));
                };
                *row = Some(word);
            }
            Ok(words)
        }
        _ => Err(wrong(
            "wanted a list of words, or an object from word to row",
        )),
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f32>().is_ok()
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

fn doubles(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers
        .iter()
        .map(|&number| f64::from_le_bytes(number) as f32)
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
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "vectors";

    fn text(contents: &str) -> Result<WordVectors, ModelError> {
        read_text(contents.as_bytes(), Path::new(PATH), Keep::All)
    }

    fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn array(bytes: &[u8], words: &str) -> Result<WordVectors, ModelError> {
        let words = word_list(words.as_bytes(), Path::new("words.txt"))?;
        read_npy(bytes, Path::new(PATH), &words, Keep::All)
    }

    fn binary(vectors: &WordVectors) -> Vec<u8> {
        let mut bytes = format!("{} {}\n", vectors.words.len(), vectors.dimensions).into_bytes();
        for (word, values) in vectors
            .words
            .iter()
            .zip(vectors.values.chunks(vectors.dimensions))
        {
            bytes.extend(format!("{word} ").as_bytes());
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            bytes.push(b'\n');
        }
        bytes
    }

    #[test]
    fn all_formats_hold_the_same_vectors() {
        let glove = text("the 0.5 -1 2e-3\n. . . 1 2 3\nthe 9 9 9\r\n").unwrap();
        assert_eq!(glove.words(), ["the", ". . ."]);
        assert_eq!(glove.values(), [0.5, -1.0, 2e-3, 1.0, 2.0, 3.0]);
        assert_eq!(glove.vector(". . ."), Some(&[1.0, 2.0, 3.0][..]));
        let glove = text("the 0.5 -1 2e-3\na 1 2 3\n").unwrap();
        assert_eq!(text("2 3\nthe 0.5 -1 2e-3 \na 1 2 3").unwrap(), glove);
        assert_eq!(
            read_binary(&*binary(&glove), Path::new(PATH), Keep::All).unwrap(),
            glove
        );
        let floats: Vec<u8> = glove
            .values()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let doubles: Vec<u8> = glove
            .values()
            .iter()
            .flat_map(|&value| f64::from(value).to_le_bytes())
            .collect();
        assert_eq!(
            array(&npy("<f4", "False", "(2, 3)", &floats), "the\na\n").unwrap(),
            glove
        );
        assert_eq!(
            array(&npy("<f8", "False", "(2, 3)", &doubles), "the\na").unwrap(),
            glove
        );
    }

    #[test]
    fn files_are_read_by_their_names_and_only_wanted_words_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let vectors = text("the 0.5 -1\na 1 2\nan 3 4\n").unwrap();
        let floats: Vec<u8> = vectors
            .values()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        fs_err::write(at("glove.txt"), "the 0.5 -1\na 1 2\nan 3 4\n").unwrap();
        fs_err::write(at("vectors.bin"), binary(&vectors)).unwrap();
        fs_err::write(at("vectors.npy"), npy("<f4", "False", "(3, 2)", &floats)).unwrap();
        fs_err::write(at("words.json"), r#"["the", "a", "an"]"#).unwrap();
        fs_err::write(at("rows.json"), r#"{"an": 2, "the": 0, "a": 1}"#).unwrap();
        let wanted = HashSet::from(["an".to_owned(), "none".to_owned()]);
        for (name, words) in [
            ("glove.txt", None),
            ("vectors.bin", None),
            ("vectors.npy", Some("words.json")),
            ("vectors.npy", Some("rows.json")),
        ] {
            let words = words.map(at);
            let open = |keep| WordVectors::open(&at(name), words.as_deref(), keep).unwrap();
            assert_eq!(open(Keep::All), vectors, "{name}");
            let kept = open(Keep::These(&wanted));
            assert_eq!(
                (kept.words(), kept.values()),
                (&["an".to_owned()][..], &[3.0, 4.0][..]),
                "{name}"
            );
        }
        assert!(WordVectors::open(&at("vectors.npy"), None, Keep::All).is_err());
        assert!(
            WordVectors::open(&at("none.txt"), None, Keep::All)
                .unwrap_err()
                .to_string()
                .contains("none.txt")
        );
    }

    #[test]
    fn a_random_row_depends_on_word_and_seed_alone() {
        let vectors = text("the 0.5 -1 2\n").unwrap();
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        let table = vectors.embedding_table(&words(&["the", "xyz", "abc"]), 7);
        assert_eq!((table.known_count, table.dimensions), (1, 3));
        assert_eq!(table.values[..3], [0.5, -1.0, 2.0]);
        let other = vectors.embedding_table(&words(&["abc", "xyz"]), 7);
        assert_eq!(table.values[3..6], other.values[3..]);
        assert_eq!(table.values[6..], other.values[..3]);
        assert_ne!(
            other.values,
            vectors.embedding_table(&words(&["abc", "xyz"]), 8).values
        );

        let many: Vec<String> = (0..4000).map(|i| format!("word{i}")).collect();
        let values = vectors.embedding_table(&many, 1).values;
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / count;
        assert!(values.iter().all(|v| (-0.25..0.25).contains(v)));
        assert!(
            mean.abs() < 0.005 && (variance - 0.25f32.powi(2) / 3.0).abs() < 5e-4,
            "{mean} {variance}"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let explain = |result: Result<WordVectors, ModelError>| result.unwrap_err().to_string();
        insta::assert_snapshot!(explain(text("")), @"vectors: empty, wanted a word and its numbers per line");
        insta::assert_snapshot!(explain(text("the 1 2\na 1\n")), @"vectors:2: 1 of 2 numbers after the word");
        insta::assert_snapshot!(explain(text("the 1 2\na 1 two\n")), @"vectors:2: `two` is not a number");
        insta::assert_snapshot!(explain(text("the 1 2\na 1 2 3\n")), @"vectors:2: more than 2 numbers after the word");
        insta::assert_snapshot!(explain(text("the 1 NaN\n")), @"vectors:1: `NaN` is not a number");
        insta::assert_snapshot!(explain(text("3 2\nthe 1 2\n")), @"vectors: holds 1 of the 3 words that its first line promises; fetch the file again");
        insta::assert_snapshot!(explain(text("the\n")), @"vectors:1: 0 of 1 numbers after the word");
        let bin = |bytes: &[u8]| explain(read_binary(bytes, Path::new(PATH), Keep::All));
        insta::assert_snapshot!(bin(b"the 1 2\n"), @"vectors: does not begin with the numbers of words and of dimensions, as word2vec's binary files do");
        insta::assert_snapshot!(bin(b"2 1\na \0\0\0\0\nb \0\0"), @"vectors: ends at word 1 of 2; fetch the file again");
        insta::assert_snapshot!(explain(array(b"PK\x03\x04 and more", "a")), @"vectors: not a NumPy array");
        insta::assert_snapshot!(explain(array(&npy("<i8", "False", "(1, 1)", &[]), "a")), @"vectors: numbers of type <i8, wanted `<f4` or `<f8`");
        insta::assert_snapshot!(explain(array(&npy("<f4", "True", "(1, 1)", &[]), "a")), @"vectors: stored column by column; save it again from `numpy.ascontiguousarray`");
        insta::assert_snapshot!(explain(array(&npy("<f4", "False", "(4,)", &[]), "a")), @"vectors: its shape is not (words, dimensions) with 1 to 65536 dimensions");
        insta::assert_snapshot!(explain(array(&npy("<f4", "False", "(2, 1)", &[0; 8]), "a")), @"vectors: 2 rows, but the list of words has 1");
        insta::assert_snapshot!(explain(array(&npy("<f4", "False", "(2, 1)", &[0; 6]), "a\nb")), @"vectors: ends at row 1 of 2; fetch the file again");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400), head in 0usize..6) {
            let path = Path::new(PATH);
            let heads: [&[u8]; 6] = [b"", b"2 2\n", b"a 1 2\n", b"9999999999 60000\n", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00\x40\0\0\0{'descr': '<f4',"];
            let bytes = [heads[head], &bytes].concat();
            for result in [
                read_text(&*bytes, path, Keep::All),
                read_binary(&*bytes, path, Keep::All),
                array(&bytes, "a\nb"),
            ].into_iter().flatten() {
                prop_assert_eq!(result.values.len(), result.words.len() * result.dimensions);
                prop_assert!(result.values.iter().all(|value| value.is_finite()));
            }
            let _ = word_list(&bytes, Path::new("words.json"));
        }

        #[test]
        fn text_like_lines_are_read_or_refused(lines in "([a-z0-9.\u{e9}-]{0,3}[ \t]{0,2}){0,4}(\n([a-z0-9.-]{0,3}[ \t]{0,2}){0,4}){0,4}") {
            if let Ok(result) = text(&lines) {
                prop_assert_eq!(result.values.len(), result.words.len() * result.dimensions);
            }
        }

        #[test]
        fn vectors_survive_being_written_as_text(rows in vec(("[a-z]{1,6}", vec(-9.0f32..9.0, 3)), 1..20)) {
            let lines: Vec<String> = rows.iter().map(|(word, v)| format!("{word} {} {} {}", v[0], v[1], v[2])).collect();
            let read = text(&lines.join("\n")).unwrap();
            for (word, vector) in rows.iter().rev() {
                let first = rows.iter().find(|(other, _)| other == word).map(|(_, vector)| vector);
                prop_assert_eq!(read.vector(word), first.map(Vec::as_slice), "{:?}", vector);
            }
            prop_assert_eq!(read_binary(&*binary(&read), Path::new(PATH), Keep::All).unwrap(), read);
        }
    }
}
