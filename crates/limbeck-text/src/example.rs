use serde::{Deserialize, Serialize};

/// One sentence with its gold label.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// 0-based row in its data set, counted after blank and bad rows were left out.
    pub id: u64,
    /// What the model reads.
    pub text: Text,
    /// The gold label; `None` in an unlabelled set, such as a GLUE test file.
    pub label: Option<Label>,
}

/// A sentence, or a pair of sentences that is judged together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text {
    /// The only sentence, or the first of a pair.
    pub first: String,
    /// The second of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
}

impl Text {
    /// A single sentence.
    pub fn single(first: impl Into<String>) -> Self {
        Self {
            first: first.into(),
            second: None,
        }
    }

    /// A pair of sentences.
    pub fn pair(first: impl Into<String>, second: impl Into<String>) -> Self {
        Self {
            first: first.into(),
            second: Some(second.into()),
        }
    }
}

/// What is to be predicted, or was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// An index into the task's label names.
    Class(u32),
    /// A number, in a regression task.
    Score(f32),
}

impl Label {
    /// The class index, if this is one.
    pub fn class(self) -> Option<u32> {
        match self {
            Self::Class(class) => Some(class),
            Self::Score(_) => None,
        }
    }

    /// The score, if this is one.
    pub fn score(self) -> Option<f32> {
        match self {
            Self::Class(_) => None,
            Self::Score(score) => Some(score),
        }
    }
}
