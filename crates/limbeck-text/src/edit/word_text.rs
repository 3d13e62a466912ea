use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::word_spans;
use crate::Text;
use crate::transform::EditKind;

/// Between the columns of a text; white space, so no word crosses it.
const JOINT: char = '\n';

/// A text as a sequence of words, and what has been done to it.
///
/// Edits return a new value and keep every byte outside the edited words, except the one space that goes with a deleted word.
/// A text may have several columns (a premise and a hypothesis); words are counted through all of them. Two values are equal
/// when their texts are.
#[derive(Clone)]
pub struct WordText {
    /// The columns, joined by [`JOINT`].
    text: String,
    columns: Arc<[String]>,
    /// Byte in `text` at which each column ends.
    column_ends: Vec<usize>,
    spans: OnceLock<Vec<Range<usize>>>,
    original_indices: Vec<Option<u32>>,
    modified: Vec<u32>,
    newly_modified: Vec<u32>,
    /// How alike the last sentence-similarity constraint found this text and its reference; used to choose among successes.
    pub similarity: Option<f32>,
    /// What kind of edit made this text of the one before; set by transformations, `None` in an original.
    pub last_edit: Option<EditKind>,
}

impl WordText {
    /// A text of one column, named `text`.
    pub fn new(text: &str) -> Self {
        Self::from_columns(&[("text", text)])
    }

    /// A text of several columns: `(name, text)` each, in the order in which a model reads them.
    pub fn from_columns(columns: &[(&str, &str)]) -> Self {
        let mut joined = String::new();
        let mut ends = Vec::with_capacity(columns.len());
        for (index, (_, text)) in columns.iter().enumerate() {
            if index > 0 {
                joined.push(JOINT);
            }
            joined.push_str(text);
            ends.push(joined.len());
        }
        let spans = word_spans(&joined);
        Self {
            original_indices: (0..spans.len() as u32).map(Some).collect(),
            text: joined,
            columns: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
            column_ends: ends,
            spans: OnceLock::from(spans),
            modified: Vec::new(),
            newly_modified: Vec::new(),
            similarity: None,
            last_edit: None,
        }
    }

    /// A sentence, or the two sentences of a pair as columns of these names.
    pub fn from_text(text: &Text, pair_columns: (&str, &str)) -> Self {
        match &text.second {
            None => Self::new(&text.first),
            Some(second) => {
                Self::from_columns(&[(pair_columns.0, &text.first), (pair_columns.1, second)])
            }
        }
    }

    /// What a classifier reads: the first column, and the second where there is one.
    pub fn to_text(&self) -> Text {
        let mut columns = self.columns().map(|(_, text)| text.to_owned());
        Text {
            first: columns.next().unwrap_or_default(),
            second: columns.next(),
        }
    }

    /// The whole text, columns joined by a line break.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns: name and text.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &str)> {
        let starts = std::iter::once(0).chain(self.column_ends.iter().map(|end| end + 1));
        self.columns
            .iter()
            .zip(starts.zip(&self.column_ends))
            .map(|(name, (start, &end))| (name.as_str(), &self.text[start..end]))
    }

    /// The names of the columns.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// The column in which word `index` stands, counted from 0.
    pub fn column_of(&self, index: usize) -> usize {
        let start = self.spans()[index].start;
        self.column_ends.partition_point(|&end| end <= start)
    }

    /// How many words there are.
    pub fn word_count(&self) -> usize {
        self.spans().len()
    }

    /// Word `index`, counted from 0.
    pub fn word(&self, index: usize) -> &str {
        &self.text[self.spans()[index].clone()]
    }

    /// The words in order.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.spans().iter().map(|span| &self.text[span.clone()])
    }

    /// The byte range of word `index` in [`text`](Self::text).
    pub fn span(&self, index: usize) -> Range<usize> {
        self.spans()[index].clone()
    }

    /// The words changed since the original, ascending.
    pub fn modified(&self) -> &[u32] {
        &self.modified
    }

    /// The words changed by the last edit, ascending; none in an original.
    pub fn newly_modified(&self) -> &[u32] {
        &self.newly_modified
    }

    /// For each word of the original where it stands now; `None` where it was deleted.
    pub fn original_indices(&self) -> &[Option<u32>] {
        &self.original_indices
    }

    /// This text with word `index` replaced by `new`, which may hold no word or several.
    #[must_use]
    pub fn replace(&self, index: usize, new: &str) -> Self {
        self.replace_all(&[(index, new)])
    }

    /// This text without word `index`, and without the space before it (after it, for the first word).
    #[must_use]
    pub fn delete(&self, index: usize) -> Self {
        self.replace(index, "")
    }

    /// This text with `new` and a space before word `index`.
    #[must_use]
    pub fn insert_before(&self, index: usize, new: &str) -> Self {
        self.replace(index, &format!("{new} {}", self.word(index)))
    }

    /// This text with a space and `new` after word `index`.
    #[must_use]
    pub fn insert_after(&self, index: usize, new: &str) -> Self {
        self.replace(index, &format!("{} {new}", self.word(index)))
    }

    /// This text with several words replaced at once; indices are ascending and count words before the edit.
    #[must_use]
    pub fn replace_all(&self, edits: &[(usize, &str)]) -> Self {
        debug_assert!(edits.is_sorted_by(|a, b| a.0 < b.0), "edits are ascending");
        let mut edited = Editing {
            text: String::with_capacity(self.text.len() + 16),
            column_ends: self.column_ends.clone(),
            original_indices: self.original_indices.clone(),
            modified: self.modified.clone(),
            newly_modified: Vec::new(),
        };
        let mut copied = 0;
        let mut shift = 0_i64;
        for &(index, new) in edits {
            let span = self.span(index);
            edited.text.push_str(&self.text[copied..span.start]);
            copied = span.end;
            let old = &self.text[span];
            let new_spans = word_spans(new);
            let difference = new_spans.len() as i64 - 1;
            let first_is_old = new_spans
                .first()
                .is_some_and(|first| &new[first.clone()] == old);
            if difference != 0 {
                edited.shift_indices(index as u32, difference, first_is_old);
            }
            if new != old {
                let start = (index as i64 + shift) as u32;
                edited
                    .newly_modified
                    .extend(start..start + new_spans.len() as u32);
            }
            shift += difference;
            let mut removed = 0;
            if new_spans.is_empty() && copied < self.text.len() {
                if index == 0 {
                    if self.text[copied..].starts_with(' ') {
                        copied += 1;
                        removed = 1;
                    }
                } else if edited.text.ends_with(' ') {
                    edited.text.pop();
                    removed = 1;
                }
            }
            edited.text.push_str(new);
            let growth = new.len() as i64 - old.len() as i64 - removed;
            for (end, &old_end) in edited.column_ends.iter_mut().zip(&self.column_ends) {
                if old_end >= self.span(index).end {
                    *end = (*end as i64 + growth) as usize;
                }
            }
        }
        edited.text.push_str(&self.text[copied..]);
        edited.modified.extend(&edited.newly_modified);
        edited.modified.sort_unstable();
        edited.modified.dedup();
        Self {
            text: edited.text,
            columns: Arc::clone(&self.columns),
            column_ends: edited.column_ends,
            spans: OnceLock::new(),
            original_indices: edited.original_indices,
            modified: edited.modified,
            newly_modified: edited.newly_modified,
            similarity: None,
            last_edit: None,
        }
    }

    /// The `size` words around word `index`, from the first byte of the first to the last byte of the last.
    ///
    /// At the ends of the text the window is moved, or shortened where the text is shorter.
    pub fn window(&self, index: usize, size: usize) -> &str {
        let last = self.word_count() - 1;
        let before = size / 2; // ⌈(size − 1) / 2⌉
        let after = size.saturating_sub(1) / 2;
        let (first, last) = if 2 * index < size.saturating_sub(1) {
            (0, last.min(size - 1))
        } else if 2 * index + size > 2 * last + 2 {
            ((last + 1).saturating_sub(size), last)
        } else {
            (index - before, index + after)
        };
        &self.text[self.span(first).start..self.span(last).end]
    }

    /// The positions at which this text and `other` have different words, over their common length.
    pub fn differing_words<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let pairs = self.words().zip(other.words()).enumerate();
        pairs
            .filter(|(_, (mine, theirs))| mine != theirs)
            .map(|(index, _)| index)
    }

    fn spans(&self) -> &[Range<usize>] {
        self.spans.get_or_init(|| word_spans(&self.text))
    }
}

struct Editing {
    text: String,
    column_ends: Vec<usize>,
    original_indices: Vec<Option<u32>>,
    modified: Vec<u32>,
    newly_modified: Vec<u32>,
}

impl Editing {
    /// Moves what is known of the words from `index` on by `difference` places.
    fn shift_indices(&mut self, index: u32, difference: i64, first_is_old: bool) {
        let moved = |at: u32| (i64::from(at) + difference) as u32;
        self.modified.retain(|&at| at != index);
        for at in self.modified.iter_mut().filter(|at| **at > index) {
            *at = moved(*at);
        }
        for entry in &mut self.original_indices {
            *entry = match *entry {
                Some(at) if at == index && difference == -1 => None,
                Some(at) if at == index && difference > 0 && !first_is_old => Some(moved(at)),
                Some(at) if at > index => Some(moved(at)),
                other => other,
            };
        }
    }
}

impl PartialEq for WordText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for WordText {}

impl Hash for WordText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for WordText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WordText({:?})", self.text)
    }
}
