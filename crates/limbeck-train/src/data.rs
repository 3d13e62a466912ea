//! Examples as a model reads them, and the order in which it sees them.

use limbeck_model::{Batch, Encoding, TextTokenizer, generator};
use limbeck_text::{Example, Label, Text};
use rand::seq::SliceRandom;

use crate::TrainError;

/// Examples cut into tokens by one tokenizer.
#[derive(Debug, Clone)]
pub struct EncodedSet {
    encodings: Vec<Encoding>,
    ids: Vec<u64>,
    labels: Vec<Option<Label>>,
}

impl EncodedSet {
    /// Cuts every text into at most `max_tokens` tokens.
    pub fn new(
        examples: &[Example],
        tokenizer: &TextTokenizer,
        max_tokens: usize,
    ) -> Result<Self, TrainError> {
        let texts: Vec<Text> = examples
            .iter()
            .map(|example| example.text.clone())
            .collect();
        Ok(Self {
            encodings: tokenizer.encode_batch(&texts, max_tokens)?,
            ids: examples.iter().map(|example| example.id).collect(),
            labels: examples.iter().map(|example| example.label).collect(),
        })
    }

    /// From sentences that are token ids already.
    pub fn from_parts(encodings: Vec<Encoding>, ids: Vec<u64>, labels: Vec<Option<Label>>) -> Self {
        Self {
            encodings,
            ids,
            labels,
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.encodings.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.encodings.is_empty()
    }

    /// Length of each sentence in tokens.
    pub fn lengths(&self) -> Vec<usize> {
        self.encodings
            .iter()
            .map(|encoding| encoding.ids.len())
            .collect()
    }

    /// Length of one sentence in tokens.
    pub fn length(&self, row: usize) -> usize {
        self.encodings[row].ids.len()
    }

    /// Ids of the examples.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Gold labels.
    pub fn labels(&self) -> &[Option<Label>] {
        &self.labels
    }

    /// Fails at the first example that `teacher`, the same examples as a teacher reads them, cuts into other tokens.
    pub fn check_same_tokens(&self, teacher: &Self) -> Result<(), TrainError> {
        let pairs = self.encodings.iter().zip(&teacher.encodings);
        let Some(row) = pairs.clone().position(|(own, other)| own.ids != other.ids) else {
            return Ok(());
        };
        let (own, other) = (&self.encodings[row].ids, &teacher.encodings[row].ids);
        let place = own.iter().zip(other).position(|(a, b)| a != b);
        Err(TrainError::OtherTokens {
            id: self.ids[row],
            student: own.len(),
            teacher: other.len(),
            place: place.unwrap_or(own.len().min(other.len())) + 1,
        })
    }

    /// The examples at `rows`, packed.
    pub fn batch(&self, rows: &[usize]) -> Batch {
        Batch::new(
            rows.iter()
                .map(|&row| (self.ids[row], &self.encodings[row])),
        )
    }
}

/// The order of one epoch: a permutation that depends on seed and epoch alone.
pub fn epoch_order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut generator(seed, &format!("order of epoch {epoch}")));
    order
}
