//! Word vectors in a mapped file, searched for neighbours.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use limbeck_text::lexicon::WordNeighbours;
use sha2::{Digest, Sha256};

use super::nearest::{Matrix, Ranking, RowIndex, nearest, nearest_of_all, squared_distance};
use super::neighbour_table::NeighbourTable;
use super::store_file::{Header, Kind, MappedFile};
use super::{Keep, WordVectors, file_error, shortened};
use crate::ModelError;

/// Files of a store's folder.
const VECTORS_FILE: &str = "vectors.lbv";
const NEIGHBOURS_FILE: &str = "neighbours.lbn";

const NORMALISED: u32 = 1;
const EUCLIDEAN: u32 = 2;
/// A length that differs less from 1 counts as 1.
const LENGTH_TOLERANCE: f64 = 1e-5;
/// Products of shorter (but not zero) or longer vectors leave the range of single precision.
const LENGTHS: RangeInclusive<f64> = 1e-15..=1e18;

/// Vectors of words in a folder: `vectors.lbv`, and `neighbours.lbn` with the nearest words of each once they are computed.
///
/// Both files are read through a memory map: opening costs a pass over their checksums, and the pages are shared by all
/// processes that use them. Neighbours are exact. They come from the table as far as it reaches; beyond, they are searched for.
#[derive(Debug)]
pub struct VectorStore {
    folder: Option<PathBuf>,
    file: MappedFile,
    table: Option<NeighbourTable>,
    index: OnceLock<RowIndex>,
}

impl VectorStore {
    /// Writes vectors to a folder, which is made where it is missing; a table of neighbours that was there is deleted.
    pub fn create(
        folder: &Path,
        vectors: &WordVectors,
        ranking: Ranking,
    ) -> Result<Self, ModelError> {
        let failed = |source| ModelError::Write { source };
        let sections = Sections::of(vectors, ranking)?;
        fs_err::create_dir_all(folder).map_err(failed)?;
        let neighbours = folder.join(NEIGHBOURS_FILE);
        if neighbours.exists() {
            fs_err::remove_file(neighbours).map_err(failed)?;
        }
        let path = folder.join(VECTORS_FILE);
        let file = MappedFile::create(&path, &sections.header, &sections.bytes(vectors))?;
        Ok(Self::new(Some(folder.to_owned()), file))
    }

    /// The same in memory alone.
    pub fn in_memory(vectors: &WordVectors, ranking: Ranking) -> Result<Self, ModelError> {
        let sections = Sections::of(vectors, ranking)?;
        let file = MappedFile::in_memory(&sections.header, &sections.bytes(vectors))?;
        Ok(Self::new(None, file))
    }

    /// Whether a folder holds a store.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(VECTORS_FILE).is_file()
    }

    /// Opens a folder. A file that is cut short or damaged is refused, and a table that was made from other vectors.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(VECTORS_FILE);
        let mut store = Self::new(
            Some(folder.to_owned()),
            MappedFile::open(&path, Kind::Vectors)?,
        );
        store.check(&path)?;
        let neighbours = folder.join(NEIGHBOURS_FILE);
        if neighbours.exists() {
            let table = NeighbourTable::open(&neighbours, store.file.header.digest, store.len())?;
            store.table = Some(table);
        }
        Ok(store)
    }

    /// Computes the `count` nearest words of every word and keeps them beside the vectors.
    ///
    /// `progress` is told the number of words just finished, from any thread.
    pub fn compute_neighbours(
        &mut self,
        count: usize,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), ModelError> {
        let queries: Vec<u32> = (0..self.len() as u32).collect();
        let ids = nearest_of_all(self.matrix(), self.index(), &queries, count, progress);
        let path = self
            .folder
            .as_ref()
            .map(|folder| folder.join(NEIGHBOURS_FILE));
        let digest = self.file.header.digest;
        self.table = Some(NeighbourTable::create(
            path.as_deref(),
            digest,
            self.len(),
            &ids,
        )?);
        Ok(())
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.file.header.rows as usize
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of a vector.
    pub fn dimensions(&self) -> usize {
        self.file.header.columns as usize
    }

    /// What "near" means here.
    pub fn ranking(&self) -> Ranking {
        if self.file.header.flags & EUCLIDEAN != 0 {
            Ranking::Euclidean
        } else {
            Ranking::Cosine
        }
    }

    /// Whether every vector has length 1.
    pub fn is_normalised(&self) -> bool {
        self.file.header.flags & NORMALISED != 0
    }

    /// SHA-256 of words and vectors, in hexadecimal.
    pub fn digest(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for byte in self.file.header.digest {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Neighbours per word in the table; 0 without one.
    pub fn stored_neighbours(&self) -> usize {
        self.table.as_ref().map_or(0, NeighbourTable::count)
    }

    /// All words, in the order of their vectors.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.word(row))
    }

    /// One word's vector.
    pub fn vector(&self, word: &str) -> Option<&[f32]> {
        Some(self.matrix().row(self.row(word)?))
    }

    /// Copies words and vectors into memory.
    pub fn to_vectors(&self, keep: Keep<'_>) -> Result<WordVectors, ModelError> {
        let kept = |&row: &usize| keep.keeps(row as u64, self.word(row));
        let rows: Vec<usize> = (0..self.len()).filter(kept).collect();
        let words = rows.iter().map(|&row| self.word(row).to_owned()).collect();
        let values = rows.iter().flat_map(|&row| self.matrix().row(row));
        WordVectors::from_rows(words, self.dimensions(), values.copied().collect())
    }

    /// The `count` nearest words with their cosines, nearest first; none for an unknown word.
    pub fn nearest(&self, word: &str, count: usize) -> Vec<(&str, f32)> {
        let Some(row) = self.row(word) else {
            return Vec::new();
        };
        self.nearest_rows(row, count)
            .into_iter()
            .map(|near| {
                (
                    self.word(near as usize),
                    self.cosine_of_rows(row, near as usize),
                )
            })
            .collect()
    }

    /// The `count` nearest words of several; as [`nearest`](Self::nearest) one by one, and far faster.
    pub(super) fn nearest_of(&self, rows: &[u32], count: usize) -> Vec<u32> {
        if self.stored_neighbours() >= count.min(self.len().saturating_sub(1)) {
            let near = |&row: &u32| self.nearest_rows(row as usize, count);
            return rows.iter().flat_map(near).collect();
        }
        nearest_of_all(self.matrix(), self.index(), rows, count, &|_| {})
    }

    /// The row of a word.
    pub(super) fn row(&self, word: &str) -> Option<usize> {
        let order = self.alphabetic();
        let place = order
            .binary_search_by(|&row| self.word(row as usize).cmp(word))
            .ok()?;
        Some(order[place] as usize)
    }

    fn nearest_rows(&self, row: usize, count: usize) -> Vec<u32> {
        let reachable = count.min(self.len() - 1);
        match &self.table {
            Some(table) if table.count() >= reachable => table.row(row)[..reachable].to_vec(),
            _ => nearest(self.matrix(), self.index(), row, count),
        }
    }

    fn cosine_of_rows(&self, first: usize, second: usize) -> f32 {
        let (a, b) = (self.matrix().row(first), self.matrix().row(second));
        let length = |v: &[f32]| super::nearest::dot_f64(v, v).sqrt();
        let lengths = length(a) * length(b);
        if lengths == 0.0 {
            return 0.0;
        }
        (super::nearest::dot_f64(a, b) / lengths).clamp(-1.0, 1.0) as f32
    }

    fn new(folder: Option<PathBuf>, file: MappedFile) -> Self {
        Self {
            folder,
            file,
            table: None,
            index: OnceLock::new(),
        }
    }

    fn index(&self) -> &RowIndex {
        self.index
            .get_or_init(|| RowIndex::new(self.matrix().values, self.dimensions(), self.ranking()))
    }

    fn matrix(&self) -> Matrix<'_> {
        let bytes = &self.file.body()[..4 * self.len() * self.dimensions()];
        Matrix {
            values: bytemuck::cast_slice(bytes),
            dimensions: self.dimensions(),
        }
    }

    /// Where the text of each word ends.
    fn ends(&self) -> &[u32] {
        let start = 4 * self.len() * self.dimensions();
        bytemuck::cast_slice(&self.file.body()[start..][..4 * self.len()])
    }

    /// Rows in the order of their words.
    fn alphabetic(&self) -> &[u32] {
        let start = 4 * self.len() * (self.dimensions() + 1);
        bytemuck::cast_slice(&self.file.body()[start..][..4 * self.len()])
    }

    fn text(&self) -> &[u8] {
        &self.file.body()[4 * self.len() * (self.dimensions() + 2)..]
    }

    fn word(&self, row: usize) -> &str {
        let ends = self.ends();
        let start = row.checked_sub(1).map_or(0, |before| ends[before]) as usize;
        std::str::from_utf8(&self.text()[start..ends[row] as usize]).unwrap_or_default()
    }

    /// Refuses what the checksum cannot tell: a file that agrees with itself but not with its format.
    fn check(&self, path: &Path) -> Result<(), ModelError> {
        let text = std::str::from_utf8(self.text()).ok();
        let ends = self.ends();
        let is_whole = text.is_some_and(|text| {
            ends.is_sorted()
                && ends.iter().all(|&end| text.is_char_boundary(end as usize))
                && ends.last().copied().unwrap_or(0) as usize == text.len()
        });
        let rows = self.len();
        if !is_whole
            || self.dimensions() == 0
            || rows == 0
            || self.alphabetic().iter().any(|&row| row as usize >= rows)
        {
            return Err(file_error(
                path,
                "not what this version writes; make it again",
            ));
        }
        Ok(())
    }
}

impl WordNeighbours for VectorStore {
    fn neighbours(&self, word: &str, count: usize) -> Vec<&str> {
        let Some(row) = self.row(word) else {
            return Vec::new();
        };
        let near = self.nearest_rows(row, count).into_iter();
        near.map(|row| self.word(row as usize)).collect()
    }

    fn cosine(&self, first: &str, second: &str) -> Option<f32> {
        Some(self.cosine_of_rows(self.row(first)?, self.row(second)?))
    }

    fn squared_distance(&self, first: &str, second: &str) -> Option<f32> {
        Some(squared_distance(self.vector(first)?, self.vector(second)?) as f32)
    }
}

/// A file's contents beside the vectors themselves.
struct Sections {
    header: Header,
    ends: Vec<u32>,
    alphabetic: Vec<u32>,
    text: String,
}

impl Sections {
    fn of(vectors: &WordVectors, ranking: Ranking) -> Result<Self, ModelError> {
        let wrong = |problem: String| ModelError::Vectors { problem };
        let words = vectors.words();
        let text = words.concat();
        if words.is_empty() {
            return Err(wrong(
                "found no word to store, expected one or more".to_owned(),
            ));
        }
        if text.len() > u32::MAX as usize || words.len() > u32::MAX as usize {
            return Err(wrong(format!(
                "{} words of {} bytes together, expected less than 4 GiB; keep fewer words",
                words.len(),
                text.len()
            )));
        }
        let mut end = 0;
        let ends = words.iter().map(|word| {
            end += word.len() as u32;
            end
        });
        let ends: Vec<u32> = ends.collect();
        let mut alphabetic: Vec<u32> = (0..words.len() as u32).collect();
        alphabetic.sort_unstable_by(|&a, &b| words[a as usize].cmp(&words[b as usize]));
        let mut flags = match ranking {
            Ranking::Cosine => NORMALISED,
            Ranking::Euclidean => NORMALISED | EUCLIDEAN,
        };
        for (word, vector) in words
            .iter()
            .zip(vectors.values().chunks_exact(vectors.dimensions()))
        {
            let length = super::nearest::dot_f64(vector, vector).sqrt();
            if length > 0.0 && !LENGTHS.contains(&length) {
                return Err(wrong(format!(
                    "the vector of `{}` has length {length:e}, expected {:e} to {:e}; normalise the vectors",
                    shortened(word),
                    LENGTHS.start(),
                    LENGTHS.end()
                )));
            }
            if (length - 1.0).abs() > LENGTH_TOLERANCE {
                flags &= !NORMALISED;
            }
        }
        let mut digest = Sha256::new();
        digest.update((words.len() as u64).to_le_bytes());
        digest.update((vectors.dimensions() as u64).to_le_bytes());
        digest.update([flags as u8]);
        digest.update(bytemuck::cast_slice(&ends));
        digest.update(&text);
        digest.update(bytemuck::cast_slice(vectors.values()));
        Ok(Self {
            header: Header {
                kind: Kind::Vectors,
                rows: words.len() as u64,
                columns: vectors.dimensions() as u32,
                flags,
                text_len: text.len() as u64,
                digest: digest.finalize().into(),
            },
            ends,
            alphabetic,
            text,
        })
    }

    fn bytes<'a>(&'a self, vectors: &'a WordVectors) -> [&'a [u8]; 4] {
        [
            bytemuck::cast_slice(vectors.values()),
            bytemuck::cast_slice(&self.ends),
            bytemuck::cast_slice(&self.alphabetic),
            self.text.as_bytes(),
        ]
    }
}
