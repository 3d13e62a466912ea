//! Words in a text, and edits that leave every other byte as it was.

mod case;
mod word_text;
mod words;

pub use case::recover_case;
pub use word_text::WordText;
pub use words::{is_one_word, word_spans};
