use std::collections::HashSet;
use std::path::Path;

use crate::TextError;

const NLTK: &str = include_str!("lists/nltk-english.txt");
const TEXT_FOOLER: &str = include_str!("lists/text-fooler.txt");

/// Words that are not to be changed, compared as they are written: `The` is not `the`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopWords(HashSet<Box<str>>);

impl StopWords {
    /// NLTK's English list, 179 words.
    pub fn nltk() -> Self {
        Self::from_lines(NLTK)
    }

    /// The list of `TextFooler` (Jin et al. 2019) as its code has it, 266 words.
    pub fn text_fooler() -> Self {
        Self::from_lines(TEXT_FOOLER)
    }

    /// A list of one's own: one word per line; white space around it and empty lines do not count.
    pub fn from_file(path: &Path) -> Result<Self, TextError> {
        Ok(Self::from_lines(&super::text_file(path)?))
    }

    /// Whether `word` is in the list, in this spelling and case.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// How many words the list has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list has no word.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn from_lines(text: &str) -> Self {
        text.lines()
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect()
    }
}

impl<W: Into<Box<str>>> FromIterator<W> for StopWords {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}
