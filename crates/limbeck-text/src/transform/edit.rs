use crate::edit::{WordText, is_one_word};

/// What an edit did to the words it touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// One word for another.
    Swap,
    /// A word came in.
    Insertion,
    /// A word went.
    Deletion,
    /// Two words became one.
    Merge,
    /// Two words of the text exchanged their places.
    Exchange,
}

/// An edit that has not been carried out; indices count words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `new` for a word.
    Replace {
        /// The word.
        index: usize,
        /// What comes in its place.
        new: String,
    },
    /// `new` and a space before a word.
    InsertBefore {
        /// The word.
        index: usize,
        /// What comes before it.
        new: String,
    },
    /// A space and `new` after a word.
    InsertAfter {
        /// The word.
        index: usize,
        /// What comes after it.
        new: String,
    },
    /// `new`, which is several words, for a word.
    Expand {
        /// The word.
        index: usize,
        /// What comes in its place.
        new: String,
    },
    /// A word goes.
    Delete {
        /// The word.
        index: usize,
    },
    /// `new` for a word and the one after it.
    Merge {
        /// The first of the two words.
        index: usize,
        /// What comes in their place.
        new: String,
    },
    /// Two words change places.
    Exchange {
        /// The first in the text.
        first: usize,
        /// The second in the text.
        second: usize,
    },
    /// Nothing changes: a try at an insertion that found nothing to insert.
    Keep,
}

impl Edit {
    /// What kind of edit it is.
    pub fn kind(&self) -> EditKind {
        match self {
            Self::Replace { .. } => EditKind::Swap,
            Self::InsertBefore { .. }
            | Self::InsertAfter { .. }
            | Self::Expand { .. }
            | Self::Keep => EditKind::Insertion,
            Self::Delete { .. } => EditKind::Deletion,
            Self::Merge { .. } => EditKind::Merge,
            Self::Exchange { .. } => EditKind::Exchange,
        }
    }

    /// `text` after the edit, with [`WordText::last_edit`] set.
    pub fn apply(&self, text: &WordText) -> WordText {
        let mut edited = match self {
            Self::Replace { index, new } | Self::Expand { index, new } => text.replace(*index, new),
            Self::InsertBefore { index, new } => text.insert_before(*index, new),
            Self::InsertAfter { index, new } => text.insert_after(*index, new),
            Self::Delete { index } => text.delete(*index),
            Self::Merge { index, new } => text.replace_all(&[(*index, new), (index + 1, "")]),
            Self::Exchange { first, second } => {
                let (first_word, second_word) = (text.word(*first), text.word(*second));
                text.replace_all(&[(*first, second_word), (*second, first_word)])
            }
            Self::Keep => text.replace_all(&[]),
        };
        edited.last_edit = Some(self.kind());
        edited
    }

    /// Whether this edit and `other` make the same text of `text`.
    pub(crate) fn gives_same_text(&self, other: &Self, text: &WordText) -> bool {
        if self == other {
            return true;
        }
        let (
            Self::Replace { index, new },
            Self::Replace {
                index: at,
                new: other_new,
            },
        ) = (self, other)
        else {
            return self.apply(text) == other.apply(text);
        };
        let growth = |index: usize, new: &str| new.len() as i64 - text.span(index).len() as i64;
        // A replacement without a word takes a space with it, so lengths and slices would mislead.
        let has_word =
            |new: &str| new.bytes().any(|byte| byte.is_ascii_alphanumeric()) || is_one_word(new);
        if !has_word(new) || !has_word(other_new) {
            return self.apply(text) == other.apply(text);
        }
        if growth(*index, new) != growth(*at, other_new) {
            return false;
        }
        let (first, second) = if index <= at {
            (self, other)
        } else {
            (other, self)
        };
        let (
            Self::Replace {
                index: first,
                new: first_new,
            },
            Self::Replace {
                index: second,
                new: second_new,
            },
        ) = (first, second)
        else {
            return false;
        };
        if first == second {
            return first_new == second_new;
        }
        let (first, second) = (text.span(*first), text.span(*second));
        let whole = text.text();
        let with_first = first_new
            .bytes()
            .chain(whole[first.end..second.end].bytes());
        let with_second = whole[first.start..second.start]
            .bytes()
            .chain(second_new.bytes());
        with_first.eq(with_second)
    }
}
