use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use limbeck_text::atomic_write;
use limbeck_text::lexicon::WordNeighbours;

use super::VectorStore;
use crate::ModelError;

/// Writes a store for other programs: `vectors.npy` `[words, dimensions]`, `words.txt` with a word per line, and `neighbours.npy`
/// `[words, count]`, the rows of each word's nearest, nearest first; `count` is at most what the store keeps.
pub fn export_vectors(store: &VectorStore, folder: &Path, count: usize) -> Result<(), ModelError> {
    fs_err::create_dir_all(folder).map_err(|source| ModelError::Write { source })?;
    let words: Vec<&str> = store.words().collect();
    let rows: HashMap<&str, i32> = (0..).zip(&words).map(|(row, word)| (*word, row)).collect();
    let mut text = String::new();
    let mut vectors = Vec::with_capacity(words.len() * store.dimensions() * 4);
    let mut nearest = Vec::with_capacity(words.len() * count * 4);
    for (row, word) in (0..).zip(&words) {
        let _ = writeln!(text, "{word}");
        let vector = store.vector(word).unwrap_or(&[]);
        vectors.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
        let found = store.neighbours(word, count);
        // A word with fewer neighbours is followed by itself.
        let ids = found
            .iter()
            .map(|word| rows[word])
            .chain(std::iter::repeat(row))
            .take(count);
        nearest.extend(ids.flat_map(i32::to_le_bytes));
    }
    let files = [
        (
            "vectors.npy",
            npy("<f4", (words.len(), store.dimensions()), &vectors),
        ),
        ("neighbours.npy", npy("<i4", (words.len(), count), &nearest)),
        ("words.txt", text.into_bytes()),
    ];
    for (name, bytes) in files {
        atomic_write(folder.join(name), &bytes).map_err(|source| ModelError::Write { source })?;
    }
    Ok(())
}

/// A matrix in NumPy's format, version 1.0, row by row.
fn npy(kind: &str, (rows, columns): (usize, usize), values: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, version, length and header together fill whole blocks of 64 bytes, the last byte a line break.
    let filled = (10 + header.len() + 1).next_multiple_of(64) - 11;
    header = format!("{header:filled$}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keep, Ranking, WordVectors};

    #[test]
    fn what_is_exported_reads_back() {
        let words = ["one", "two", "three"].map(str::to_owned).to_vec();
        let values = [1.0, 0.0, 0.6, 0.8, 0.0, 1.0];
        let vectors = WordVectors::from_rows(&words, 2, &values).unwrap();
        let store = VectorStore::in_memory(&vectors, Ranking::Cosine).unwrap();
        let folder = tempfile::tempdir().unwrap();
        export_vectors(&store, folder.path(), 2).unwrap();
        let path = |name: &str| folder.path().join(name);
        let read =
            WordVectors::open_npy(&path("vectors.npy"), &path("words.txt"), Keep::All).unwrap();
        assert_eq!((read.words(), read.values()), (&words[..], &values[..]));
        let bytes = fs_err::read(path("neighbours.npy")).unwrap();
        assert_eq!(
            (bytes.len() - 24) % 64,
            0,
            "the values begin at a multiple of 64"
        );
        let ids: Vec<i32> = bytes[bytes.len() - 24..]
            .chunks_exact(4)
            .map(|id| i32::from_le_bytes(id.try_into().unwrap()))
            .collect();
        assert_eq!(ids, [1, 2, 2, 0, 1, 0]);
    }
}
