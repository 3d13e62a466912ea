//! Packed batches: sentences laid end to end, without padding.

use std::sync::Arc;

use limbeck_ops::{DropoutKey, Pass, Starts, mix64};

use crate::head::sentence_pass;
use crate::tokenizer::Encoding;

/// Sentences as one model reads them. `N` is the sum of their true lengths, `B` their number.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Token ids, `[N]`.
    pub ids: Arc<[u32]>,
    /// Segments (0 first sentence, 1 second), `[N]`.
    pub segments: Arc<[u32]>,
    /// 0-based place of each token in its sentence, `[N]`.
    pub places: Arc<[u32]>,
    /// Where sentences begin.
    pub starts: Starts,
    /// What tells each token's dropout from every other's, `[N]`.
    rows: Arc<Vec<u64>>,
}

impl Batch {
    /// Packs encoded sentences; `example_ids` name them, so that dropout does not depend on order.
    pub fn new<'a>(sentences: impl IntoIterator<Item = (u64, &'a Encoding)>) -> Self {
        let (mut ids, mut segments, mut places, mut rows) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut lengths = Vec::new();
        for (example, sentence) in sentences {
            ids.extend_from_slice(&sentence.ids);
            segments.extend_from_slice(&sentence.segments);
            let example = mix64(example);
            for place in 0..sentence.ids.len() as u32 {
                places.push(place);
                rows.push(example.wrapping_add(u64::from(place)));
            }
            lengths.push(sentence.ids.len());
        }
        Self {
            ids: ids.into(),
            segments: segments.into(),
            places: places.into(),
            starts: Starts::from_lengths(lengths),
            rows: Arc::new(rows),
        }
    }

    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.starts.sentences()
    }

    /// Whether there are no sentences.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number for each token that depends on example and place alone, to key its randomness with.
    pub fn token_keys(&self) -> &[u64] {
        &self.rows
    }

    /// The same pass over one vector per sentence: with dropout rows of the sentences instead of the tokens.
    pub fn by_sentence(&self, pass: &Pass) -> Pass {
        sentence_pass(self, pass)
    }

    /// Dropout for this batch under a key that changes with every step.
    pub fn dropout(&self, key: u64) -> DropoutKey {
        DropoutKey::new(key, Arc::clone(&self.rows))
    }
}

/// Cuts sentences into batches of similar length holding at most `token_budget` tokens each.
///
/// Returns indices, longest sentences first; every batch has at least one sentence. Since results do
/// not depend on batch composition, the order is free to be the fastest.
pub fn batches_by_tokens(lengths: &[usize], token_budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for index in order {
        match batches.last_mut() {
            Some(batch) if tokens + lengths[index] <= token_budget => batch.push(index),
            _ => {
                batches.push(vec![index]);
                tokens = 0;
            }
        }
        tokens += lengths[index];
    }
    batches
}
