//! Text: a word and its numbers per line.

use std::io::{BufRead, Read};
use std::path::Path;

use super::{DIMENSION_LIMIT, Keep, LINE_LIMIT, WordVectors, counts, file_error, shortened};
use crate::ModelError;

pub(super) fn read_text(
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
        if keep.keeps(count, word) {
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
        count += 1;
        if keep.ends_at(count) {
            promised = None;
            break;
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

fn is_number(text: &str) -> bool {
    text.parse::<f32>().is_ok()
}
