//! Examples as a model reads them, and the order in which it sees them.

use std::borrow::Cow;

use limbeck_model::{Batch, Encoding, TextTokenizer, generator};
use limbeck_text::{Example, Label, Text};
use rand::seq::SliceRandom;

use crate::TrainError;
use crate::stored_set::StoredSet;

/// Examples cut into tokens by one tokenizer, in memory or on disk.
#[derive(Debug, Clone)]
pub struct EncodedSet {
    rows: Rows,
}

#[derive(Debug, Clone)]
enum Rows {
    Memory {
        encodings: Vec<Encoding>,
        ids: Vec<u64>,
        labels: Vec<Option<Label>>,
    },
    Stored(StoredSet),
}

impl From<StoredSet> for EncodedSet {
    fn from(set: StoredSet) -> Self {
        Self {
            rows: Rows::Stored(set),
        }
    }
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
        Ok(Self::from_parts(
            tokenizer.encode_batch(&texts, max_tokens)?,
            examples.iter().map(|example| example.id).collect(),
            examples.iter().map(|example| example.label).collect(),
        ))
    }

    /// From sentences that are token ids already.
    pub fn from_parts(encodings: Vec<Encoding>, ids: Vec<u64>, labels: Vec<Option<Label>>) -> Self {
        Self {
            rows: Rows::Memory {
                encodings,
                ids,
                labels,
            },
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Memory { encodings, .. } => encodings.len(),
            Rows::Stored(set) => set.len(),
        }
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of each sentence in tokens.
    pub fn lengths(&self) -> Vec<usize> {
        (0..self.len()).map(|row| self.length(row)).collect()
    }

    /// Length of one sentence in tokens.
    pub fn length(&self, row: usize) -> usize {
        match &self.rows {
            Rows::Memory { encodings, .. } => encodings[row].ids.len(),
            Rows::Stored(set) => set.length(row),
        }
    }

    /// An example's id.
    pub fn id(&self, row: usize) -> u64 {
        match &self.rows {
            Rows::Memory { ids, .. } => ids[row],
            Rows::Stored(set) => set.id(row),
        }
    }

    /// An example's gold label.
    pub fn label(&self, row: usize) -> Option<Label> {
        match &self.rows {
            Rows::Memory { labels, .. } => labels[row],
            Rows::Stored(set) => set.label(row),
        }
    }

    /// Ids of all examples; of a set on disk they are read for it.
    pub fn ids(&self) -> Cow<'_, [u64]> {
        match &self.rows {
            Rows::Memory { ids, .. } => ids.into(),
            Rows::Stored(set) => (0..set.len()).map(|row| set.id(row)).collect(),
        }
    }

    /// Gold labels of all examples; of a set on disk they are read for it.
    pub fn labels(&self) -> Cow<'_, [Option<Label>]> {
        match &self.rows {
            Rows::Memory { labels, .. } => labels.into(),
            Rows::Stored(set) => (0..set.len()).map(|row| set.label(row)).collect(),
        }
    }

    /// Fails at the first example that `teacher`, the same examples as a teacher reads them, cuts into other tokens.
    pub fn check_same_tokens(&self, teacher: &Self) -> Result<(), TrainError> {
        let ids = |set: &Self, row| set.batch(&[row]).ids;
        let rows = 0..self.len().min(teacher.len());
        let Some(row) = rows
            .into_iter()
            .find(|&row| ids(self, row) != ids(teacher, row))
        else {
            return Ok(());
        };
        let (own, other) = (ids(self, row), ids(teacher, row));
        let place = own.iter().zip(&*other).position(|(a, b)| a != b);
        Err(TrainError::OtherTokens {
            id: self.id(row),
            student: own.len(),
            teacher: other.len(),
            place: place.unwrap_or(own.len().min(other.len())) + 1,
        })
    }

    /// The examples at `rows`, packed.
    pub fn batch(&self, rows: &[usize]) -> Batch {
        match &self.rows {
            Rows::Memory { encodings, ids, .. } => {
                Batch::new(rows.iter().map(|&row| (ids[row], &encodings[row])))
            }
            Rows::Stored(set) => {
                let read = |&row: &usize| (set.id(row), set.encoding(row));
                let read: Vec<(u64, Encoding)> = rows.iter().map(read).collect();
                Batch::new(read.iter().map(|(id, encoding)| (*id, encoding)))
            }
        }
    }
}

/// The order of one epoch: a permutation that depends on seed and epoch alone.
pub fn epoch_order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut generator(seed, &format!("order of epoch {epoch}")));
    order
}
