//! What encoders are asked for and what they give.

mod bi_lstm;
mod embeddings;
mod transformer;

use candle_core::Tensor;
use limbeck_ops::AttentionMaps;

pub(crate) use bi_lstm::BI_LSTM;
pub use bi_lstm::{BiLstm, BiLstmConfig};
pub use embeddings::EmbeddingMode;
pub(crate) use embeddings::frozen_name;
pub use transformer::Transformer;
pub(crate) use transformer::{build_norm, first_rows};

/// What a forward pass starts from.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The batch's token ids.
    Ids,
    /// Word embeddings given from outside, such as mixtures over the vocabulary: `[N, H]`, or as wide
    /// as the copies together where embeddings are reduced or a BiLSTM's. Positions and segments are
    /// added, then norm and dropout, as always.
    Words(&'a Tensor),
    /// The whole embedding sum given from outside, `[N, H]`, before norm and dropout.
    Embeddings(&'a Tensor),
}

/// Which hidden states to return, the embedding output first and the last layer last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HiddenStates {
    /// None.
    #[default]
    None,
    /// The first token's, `[B, H]` each.
    First,
    /// All tokens', `[N, H]` each.
    All,
}

/// What a forward pass should return beside its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Hidden states of every layer.
    pub hidden: HiddenStates,
    /// Attention scores and probabilities of every layer.
    pub attention: bool,
}

impl Needs {
    /// Nothing beside the result.
    pub const NOTHING: Self = Self {
        hidden: HiddenStates::None,
        attention: false,
    };

    /// What either needs.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let hidden = match (self.hidden, other.hidden) {
            (HiddenStates::All, _) | (_, HiddenStates::All) => HiddenStates::All,
            (HiddenStates::First, _) | (_, HiddenStates::First) => HiddenStates::First,
            (HiddenStates::None, HiddenStates::None) => HiddenStates::None,
        };
        Self {
            hidden,
            attention: self.attention || other.attention,
        }
    }

    /// Whether any of it belongs to tokens other than the first.
    pub fn of_all_tokens(self) -> bool {
        self.attention || self.hidden == HiddenStates::All
    }

    /// Whether all of `self` is in `provided`.
    pub fn is_met_by(self, provided: Self) -> bool {
        let hidden = match self.hidden {
            HiddenStates::None => true,
            HiddenStates::First => provided.hidden != HiddenStates::None,
            HiddenStates::All => provided.hidden == HiddenStates::All,
        };
        hidden && (provided.attention || !self.attention)
    }
}

/// The last layer's output, as far as it was asked for.
#[derive(Debug, Clone)]
pub enum Last {
    /// Every token, `[N, H]`.
    All(Tensor),
    /// The first token of each sentence, `[B, H]`.
    First(Tensor),
}

/// An encoder's results.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The last layer's output.
    pub last: Last,
    /// Embedding output and each layer's output, if asked for.
    pub hidden: Vec<Tensor>,
    /// Each layer's attention, if asked for.
    pub attention: Vec<AttentionMaps>,
}
