//! Pairs of words that are to be near or far.

use std::collections::HashSet;
use std::path::Path;

use super::shortened;
use crate::ModelError;

/// Begins the words of English in constraint files of several languages.
const LANGUAGE_PREFIX: &str = "en_";

/// What counter-fitting injects: pairs of synonyms and pairs of antonyms. Order within a pair has no meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Pairs to bring together.
    pub synonyms: Vec<(String, String)>,
    /// Pairs to push apart.
    pub antonyms: Vec<(String, String)>,
}

impl Constraints {
    /// All words that occur.
    pub fn words(&self) -> HashSet<String> {
        let pairs = self.synonyms.iter().chain(&self.antonyms);
        pairs
            .flat_map(|(first, second)| [first.clone(), second.clone()])
            .collect()
    }
}

/// Reads pairs, two words per line with spaces or a tab between; a prefix `en_` of both words is left out.
pub fn read_word_pairs(path: &Path) -> Result<Vec<(String, String)>, ModelError> {
    let text = fs_err::read_to_string(path).map_err(|source| ModelError::Read { source })?;
    let mut pairs = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let (first, second) = match words[..] {
            [] => continue,
            [first, second] => (first, second),
            _ => {
                return Err(ModelError::LexiconLine {
                    path: path.to_owned(),
                    line,
                    problem: format!(
                        "{} words in `{}`, expected the two of a pair",
                        words.len(),
                        shortened(row)
                    ),
                });
            }
        };
        let bare = first
            .strip_prefix(LANGUAGE_PREFIX)
            .zip(second.strip_prefix(LANGUAGE_PREFIX));
        let (first, second) = bare.unwrap_or((first, second));
        pairs.push((first.to_owned(), second.to_owned()));
    }
    Ok(pairs)
}
