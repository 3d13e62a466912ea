//! The binary format of word2vec.

use std::io::{BufRead, Read};
use std::path::Path;

use super::{DIMENSION_LIMIT, Keep, LINE_LIMIT, WordVectors, counts, file_error, finite, floats};
use crate::ModelError;

pub(super) fn read_binary(
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
    for index in (0..words).take_while(|&index| !keep.ends_at(index)) {
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
        if keep.keeps(index, &word) {
            vectors.add(&word, finite(floats(&bytes), path, index)?);
        }
    }
    Ok(vectors)
}
