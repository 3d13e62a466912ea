//! Neighbours that someone else has computed.

use std::collections::HashMap;
use std::path::Path;

use limbeck_text::lexicon::WordNeighbours;

use super::{file_error, shortened};
use crate::ModelError;

/// A ready-made list of neighbours without vectors: cosines and distances are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NeighbourList {
    neighbours: HashMap<String, Vec<String>>,
}

impl NeighbourList {
    /// Reads `.json`, an object from word to a list of words, or text, `word<TAB>neighbour neighbour ..` per line.
    ///
    /// The nearest stands first. A word itself and repetitions among its neighbours are left out.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let bytes = fs_err::read(path).map_err(|source| ModelError::Read { source })?;
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let lists: HashMap<String, Vec<String>> =
                serde_json::from_slice(&bytes).map_err(|error| {
                    file_error(
                        path,
                        &format!("not an object from word to a list of words: {error}"),
                    )
                })?;
            return Ok(Self::new(lists));
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|error| file_error(path, &error.to_string()))?;
        let mut lists = HashMap::new();
        for (line, row) in (1..).zip(text.lines()) {
            if row.is_empty() {
                continue;
            }
            let failed = |problem: String| ModelError::LexiconLine {
                path: path.to_owned(),
                line,
                problem,
            };
            let Some((word, neighbours)) = row.split_once('\t') else {
                return Err(failed(format!(
                    "no tab after `{}`, expected a word, a tab, and its neighbours",
                    shortened(row)
                )));
            };
            let neighbours = neighbours.split_whitespace().map(str::to_owned).collect();
            if lists.insert(word.to_owned(), neighbours).is_some() {
                return Err(failed(format!(
                    "`{}` for the second time; leave one line of it",
                    shortened(word)
                )));
            }
        }
        Ok(Self::new(lists))
    }

    /// Lists of neighbours, nearest first.
    pub fn new(lists: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let clean = |(word, list): (String, Vec<String>)| {
            let mut kept: Vec<String> = Vec::with_capacity(list.len());
            for near in list {
                if near != word && !kept.contains(&near) {
                    kept.push(near);
                }
            }
            (word, kept)
        };
        Self {
            neighbours: lists.into_iter().map(clean).collect(),
        }
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.neighbours.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.neighbours.is_empty()
    }

    /// Whether a word is in the list, with or without neighbours.
    pub fn contains(&self, word: &str) -> bool {
        self.neighbours.contains_key(word)
    }
}

impl WordNeighbours for NeighbourList {
    fn neighbours(&self, word: &str, count: usize) -> Vec<&str> {
        let list = self.neighbours.get(word).map_or(&[][..], Vec::as_slice);
        list.iter().take(count).map(String::as_str).collect()
    }

    fn cosine(&self, _: &str, _: &str) -> Option<f32> {
        None
    }

    fn squared_distance(&self, _: &str, _: &str) -> Option<f32> {
        None
    }
}
