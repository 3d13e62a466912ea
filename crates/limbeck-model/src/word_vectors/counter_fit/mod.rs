//! Counter-fitting: word vectors moved so that synonyms are near and antonyms far (Mrkšić et al. 2016).

mod gradient;
mod relations;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::WordVectors;
use super::constraints::Constraints;
use crate::ModelError;
use gradient::word_gradient;
use relations::Relations;

/// Words computed by one thread at a time.
const WORD_BLOCK: usize = 1024;

/// Settings of counter-fitting; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CounterFitConfig {
    /// `k₁`, the weight of pushing antonyms apart; at least 0.
    pub antonym_weight: f32,
    /// `k₂`, the weight of bringing synonyms together; at least 0.
    pub synonym_weight: f32,
    /// `k₃`, the weight of keeping near words near; at least 0.
    pub preservation_weight: f32,
    /// `δ`, the cosine distance from which antonyms are far enough, in `[0, 2]`.
    pub antonym_distance: f32,
    /// `γ`, the cosine distance up to which synonyms are near enough, in `[0, 2]`.
    pub synonym_distance: f32,
    /// `ρ`, the cosine distance below which words count as near in the original space, in `[0, 2]`.
    pub radius: f32,
    /// Passes over all terms.
    pub epochs: usize,
}

impl Default for CounterFitConfig {
    fn default() -> Self {
        Self {
            antonym_weight: 0.1,
            synonym_weight: 0.1,
            preservation_weight: 0.1,
            antonym_distance: 1.0,
            synonym_distance: 0.0,
            radius: 0.2,
            epochs: 20,
        }
    }
}

impl CounterFitConfig {
    /// Refuses values outside their ranges.
    pub fn check(&self) -> Result<(), ModelError> {
        let weights = [
            ("antonym-weight", self.antonym_weight, f32::MAX),
            ("synonym-weight", self.synonym_weight, f32::MAX),
            ("preservation-weight", self.preservation_weight, f32::MAX),
            ("antonym-distance", self.antonym_distance, 2.0),
            ("synonym-distance", self.synonym_distance, 2.0),
            ("radius", self.radius, 2.0),
        ];
        for (name, value, highest) in weights {
            if !(0.0..=highest).contains(&value) {
                let expected = if highest == f32::MAX {
                    "0 or more"
                } else {
                    "0 to 2"
                };
                return Err(ModelError::Vectors {
                    problem: format!("`{name}`: found {value}, expected {expected}"),
                });
            }
        }
        Ok(())
    }
}

/// What counter-fitting is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CounterFitStep {
    /// Finds the pairs that are near in the original space: words finished, of all.
    Search {
        /// Words whose near words are known.
        done: usize,
        /// All words.
        total: usize,
    },
    /// Has finished an epoch.
    Epoch {
        /// 1-based.
        epoch: usize,
        /// The objective before the epoch's update.
        loss: f64,
    },
}

/// What was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CounterFitSummary {
    /// Words whose vectors were fitted.
    pub words: usize,
    /// Pairs of synonyms with two known, different words that are not antonyms as well, each counted once.
    pub synonym_pairs: usize,
    /// Pairs of antonyms with two known, different words.
    pub antonym_pairs: usize,
    /// Pairs of words that were near in the original space and are not antonyms.
    pub preserved_pairs: usize,
    /// The objective before the first epoch, before the second, .. and after the last.
    pub losses: Vec<f64>,
}

/// Counter-fits vectors; the result has the same words and vectors of length 1.
///
/// With the cosine distance `d(u, v) = 1 - cos(u, v)`, `τ(x) = max(0, x)`, and sums over unordered pairs, it lowers
///
/// `C = k₁ Σ_antonyms τ(δ - d(u, v)) + k₂ Σ_synonyms τ(d(u, v) - γ) + k₃ Σ_near τ(d(u, v) - d⁰(u, v))`,
///
/// where near words are those with `d⁰ < ρ` in the original space. In an epoch every word takes one step of length 1 against
/// the mean, over its active terms, of their gradients at the epoch's beginning, and is brought back to length 1.
///
/// The step is that of the authors' program, from which this differs in three ways. There only one word of a near pair is held
/// by the other, which one depending on the order of a hash table; here both are, as in the paper's equation 3. There a length
/// is `√(|v|² + 10⁻⁶)`, so that the distances of words at rest grow by 10⁻⁶ and become active; here vectors have length 1,
/// and words without an active term rest. There a pair that is both near and antonymous stops the program; here it counts as
/// antonymous alone, as is said to be meant.
///
/// The result does not depend on the number of threads nor on the order of the constraints. A vector of zeros stays.
pub fn counter_fit(
    vectors: &WordVectors,
    constraints: &Constraints,
    config: &CounterFitConfig,
    progress: &mut (dyn FnMut(CounterFitStep) + Send),
) -> Result<(WordVectors, CounterFitSummary), ModelError> {
    config.check()?;
    let mut fitted = vectors.clone();
    fitted.normalise();
    let relations = Relations::find(&fitted, constraints, config, progress)?;
    let mut losses = Vec::with_capacity(config.epochs + 1);
    let mut values = std::mem::take(&mut fitted.values);
    let mut updated = values.clone();
    for epoch in 1..=config.epochs {
        let loss = step(&values, &mut updated, &relations, config);
        std::mem::swap(&mut values, &mut updated);
        losses.push(loss);
        progress(CounterFitStep::Epoch { epoch, loss });
    }
    losses.push(step(&values, &mut updated, &relations, config));
    fitted.values = values;
    let summary = CounterFitSummary {
        words: fitted.words.len(),
        synonym_pairs: relations.synonyms.pairs(),
        antonym_pairs: relations.antonyms.pairs(),
        preserved_pairs: relations.near.pairs(),
        losses,
    };
    Ok((fitted, summary))
}

/// One epoch from `old` to `new`; returns the objective at `old`.
fn step(old: &[f32], new: &mut [f32], relations: &Relations, config: &CounterFitConfig) -> f64 {
    let dimensions = relations.dimensions;
    let losses: Vec<f64> = new
        .par_chunks_mut(WORD_BLOCK * dimensions)
        .enumerate()
        .map(|(block, new)| {
            let mut gradient = vec![0f32; dimensions];
            let mut loss = 0.0;
            for (place, new) in new.chunks_exact_mut(dimensions).enumerate() {
                let word = block * WORD_BLOCK + place;
                let active = word_gradient(old, word, relations, config, &mut gradient, &mut loss);
                new.copy_from_slice(&old[word * dimensions..][..dimensions]);
                if active > 0 {
                    for (value, slope) in new.iter_mut().zip(&gradient) {
                        *value -= slope / active as f32;
                    }
                    normalise(new);
                }
            }
            loss
        })
        .collect();
    // Each pair was met from both sides.
    losses.iter().sum::<f64>() / 2.0
}

fn normalise(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|&value| f64::from(value).powi(2)).sum();
    if square > 0.0 {
        let length = square.sqrt();
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}
