use serde::{Deserialize, Serialize};

use crate::Text;
use crate::edit::WordText;

/// The columns of a pair, as constraints on columns name them.
const PAIR: (&str, &str) = ("text", "text-pair");

/// A new text, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// The text.
    pub text: Text,
    /// What was done to the words of the one it was made of, in the order of the words.
    pub changes: Vec<WordChange>,
}

/// What was done to a word: `[7, "journey", "travel"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordChange(
    /// The word, counted from 0 through both texts of a pair: in the old text; for a word that came in, in the new one.
    pub u32,
    /// The old word; empty for one that came in.
    pub String,
    /// The new word; empty for one that went.
    pub String,
);

impl Augmentation {
    /// `new`, which was made of `original` by edits.
    pub fn of_words(original: &WordText, new: &WordText) -> Self {
        let mut changes = Vec::new();
        let mut is_old = vec![false; new.word_count()];
        for (index, old) in original.words().enumerate() {
            let now = new.original_indices()[index].map(|at| at as usize);
            match now.filter(|&at| at < new.word_count()) {
                Some(at) => {
                    is_old[at] = true;
                    if new.word(at) != old {
                        let change = WordChange(index as u32, old.into(), new.word(at).into());
                        changes.push(change);
                    }
                }
                None => changes.push(WordChange(index as u32, old.into(), String::new())),
            }
        }
        let came_in = (0..new.word_count()).filter(|&at| !is_old[at]);
        changes.extend(came_in.map(|at| WordChange(at as u32, String::new(), new.word(at).into())));
        changes.sort_by_key(|change| change.0);
        Self {
            text: new.to_text(),
            changes,
        }
    }
}

/// A text as augmenters read it; a pair has the columns `text` and `text-pair`.
pub(super) fn words_of(text: &Text) -> WordText {
    WordText::from_text(text, PAIR)
}
