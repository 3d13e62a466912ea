use std::collections::HashMap;
use std::f64::consts::PI;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Constraint, Reference};
use crate::edit::WordText;
use crate::{BoxError, SentenceEmbedder};

/// The sentence, or a window round the change, keeps its meaning as a sentence encoder sees it.
///
/// The similarity is noted in [`WordText::similarity`]. Thresholds belong to an encoder and do not carry over to another.
#[derive(Clone)]
pub struct SentenceSimilarity {
    /// Makes vectors of sentences.
    pub encoder: Arc<dyn SentenceEmbedder>,
    /// The least similarity.
    pub threshold: f32,
    /// How two vectors are compared.
    pub metric: SimilarityMetric,
    /// What of a text is compared.
    pub scope: SimilarityScope,
    /// What is compared with.
    pub reference: Reference,
}

/// How alike two vectors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SimilarityMetric {
    /// Their cosine, in `[-1, 1]`.
    #[default]
    Cosine,
    /// `1 − arccos(cosine) / π`, in `[0, 1]`.
    Angular,
}

/// What of a text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimilarityScope {
    /// The whole text.
    Text,
    /// So many words round the first changed word.
    Window {
        /// How many words.
        size: usize,
        /// Whether a candidate of fewer words passes, with similarity 1.
        passes_short_texts: bool,
    },
}

impl Constraint for SentenceSimilarity {
    fn reference(&self) -> Reference {
        self.reference
    }

    fn allows(
        &self,
        reference: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError> {
        let similarities = self.similarities(reference, candidates)?;
        for (candidate, similarity) in candidates.iter_mut().zip(&similarities) {
            candidate.similarity = Some(*similarity);
        }
        let is_alike = |similarity: &f32| *similarity >= self.threshold;
        Ok(similarities.iter().map(is_alike).collect())
    }
}

impl SentenceSimilarity {
    /// All windows in one call, each once.
    fn similarities(
        &self,
        reference: &WordText,
        candidates: &[WordText],
    ) -> Result<Vec<f32>, BoxError> {
        let mut sentences = Vec::new();
        let mut numbers = HashMap::new();
        let mut number = |sentence| {
            *numbers.entry(sentence).or_insert_with(|| {
                sentences.push(sentence);
                sentences.len() - 1
            })
        };
        let mut pairs = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let pair = match self.scope {
                SimilarityScope::Text => Some((reference.text(), candidate.text())),
                SimilarityScope::Window {
                    size,
                    passes_short_texts,
                } if passes_short_texts && candidate.word_count() < size => None,
                SimilarityScope::Window { size, .. } => Some(windows(reference, candidate, size)),
            };
            pairs.push(pair.map(|(old, new)| (number(old), number(new))));
        }
        let vectors = if sentences.is_empty() {
            Vec::new()
        } else {
            self.encoder.embed(&sentences)?
        };
        if vectors.len() != sentences.len() {
            return Err(format!(
                "sentence encoder `{}`: {} vectors for {} sentences",
                self.encoder.name(),
                vectors.len(),
                sentences.len()
            )
            .into());
        }
        let compare = |(old, new): (usize, usize)| self.metric.of(&vectors[old], &vectors[new]);
        Ok(pairs
            .into_iter()
            .map(|pair| pair.map_or(1.0, compare))
            .collect())
    }
}

/// The windows of `size` words round the first word changed by the last edit; whole texts where none was, or it lies at the end of one.
fn windows<'a>(old: &'a WordText, new: &'a WordText, size: usize) -> (&'a str, &'a str) {
    let first = new.newly_modified().first().map(|&at| at as usize);
    match first {
        Some(index) if index < old.word_count() && index < new.word_count() => {
            (old.window(index, size), new.window(index, size))
        }
        _ => (old.text(), new.text()),
    }
}

impl SimilarityMetric {
    fn of(self, first: &[f32], second: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum()
        };
        let norms = (dot(first, first) * dot(second, second)).sqrt();
        let cosine = dot(first, second) / norms.max(f64::MIN_POSITIVE);
        match self {
            Self::Cosine => cosine as f32,
            Self::Angular => (1.0 - cosine.clamp(-1.0, 1.0).acos() / PI) as f32,
        }
    }
}
