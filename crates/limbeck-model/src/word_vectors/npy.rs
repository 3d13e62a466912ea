//! Arrays of NumPy, whose words stand in a list beside them.

use std::io::{BufRead, Read};
use std::path::Path;

use super::{
    DIMENSION_LIMIT, Keep, LINE_LIMIT, WordVectors, file_error, finite, floats, shortened,
};
use crate::ModelError;

pub(super) fn read_npy(
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
        if keep.ends_at(row as u64) {
            break;
        }
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
        let Some(word) = word.as_deref().filter(|word| keep.keeps(row as u64, word)) else {
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

/// The text at the head of an `npy` file, read as far as vectors need it.
struct Array {
    rows: usize,
    dimensions: usize,
    bytes_per_number: usize,
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

fn doubles(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers
        .iter()
        .map(|&number| f64::from_le_bytes(number) as f32)
        .collect()
}
