//! Which words act on which.

use std::collections::HashMap;

use rayon::prelude::*;

use super::super::WordVectors;
use super::super::constraints::Constraints;
use super::super::nearest::{Matrix, dot};
use super::{CounterFitConfig, CounterFitStep};
use crate::ModelError;

/// Queries of one product.
const QUERY_BLOCK: usize = 128;
/// Blocks of queries between two notes of progress.
const ROUND: usize = 64;
/// What a product in single precision may lack of the sum that decides.
const ROUNDING: f32 = 1e-4;

/// For each word the others it is related to, in rising order.
#[derive(Debug)]
pub(super) struct Related {
    starts: Vec<usize>,
    others: Vec<u32>,
}

impl Related {
    /// From pairs; each counts once, in both directions.
    fn from_pairs(words: usize, pairs: &[(u32, u32)]) -> Self {
        let mut directed: Vec<(u32, u32)> =
            pairs.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect();
        directed.sort_unstable();
        directed.dedup();
        let starts = (0..=words)
            .map(|word| directed.partition_point(|&(first, _)| (first as usize) < word))
            .collect();
        Self {
            starts,
            others: directed.into_iter().map(|(_, other)| other).collect(),
        }
    }

    pub(super) fn of(&self, word: usize) -> &[u32] {
        &self.others[self.starts[word]..self.starts[word + 1]]
    }

    /// Number of unordered pairs.
    pub(super) fn pairs(&self) -> usize {
        self.others.len() / 2
    }
}

/// All terms of the objective.
#[derive(Debug)]
pub(super) struct Relations {
    pub(super) dimensions: usize,
    pub(super) antonyms: Related,
    pub(super) synonyms: Related,
    /// Words that are near in the original space.
    pub(super) near: Related,
    /// The original distances, in the order of `near`.
    distances: Vec<f32>,
}

impl Relations {
    /// Looks up constraints and searches for near words; the vectors have length 1.
    pub(super) fn find(
        vectors: &WordVectors,
        constraints: &Constraints,
        config: &CounterFitConfig,
        progress: &mut (dyn FnMut(CounterFitStep) + Send),
    ) -> Result<Self, ModelError> {
        let words = vectors.words.len();
        let antonyms = Related::from_pairs(words, &known(&constraints.antonyms, &vectors.rows));
        let mut pairs = known(&constraints.synonyms, &vectors.rows);
        pairs.retain(|&(a, b)| antonyms.of(a as usize).binary_search(&b).is_err());
        let synonyms = Related::from_pairs(words, &pairs);
        if antonyms.others.is_empty() && synonyms.others.is_empty() {
            return Err(ModelError::Vectors {
                problem: format!(
                    "none of {} constraints has two words among the {words} vectors; are both of the same language, and lower-cased?",
                    constraints.synonyms.len() + constraints.antonyms.len()
                ),
            });
        }
        let matrix = Matrix {
            values: &vectors.values,
            dimensions: vectors.dimensions,
        };
        let mut relations = Self {
            dimensions: vectors.dimensions,
            antonyms,
            synonyms,
            near: Related {
                starts: vec![0],
                others: Vec::new(),
            },
            distances: Vec::new(),
        };
        if config.preservation_weight == 0.0 {
            relations.near.starts = vec![0; words + 1];
            return Ok(relations);
        }
        let queries: Vec<u32> = (0..words as u32).collect();
        for round in queries.chunks(ROUND * QUERY_BLOCK) {
            let found: Vec<Vec<Vec<(u32, f32)>>> = round
                .par_chunks(QUERY_BLOCK)
                .map(|queries| near_words(matrix, queries, &relations.antonyms, config.radius))
                .collect();
            for near in found.into_iter().flatten() {
                for (other, distance) in near {
                    relations.near.others.push(other);
                    relations.distances.push(distance);
                }
                relations.near.starts.push(relations.near.others.len());
            }
            progress(CounterFitStep::Search {
                done: round.last().map_or(words, |&word| word as usize + 1),
                total: words,
            });
        }
        Ok(relations)
    }

    /// The original distances from a word to those near it.
    pub(super) fn original(&self, word: usize) -> &[f32] {
        &self.distances[self.near.starts[word]..self.near.starts[word + 1]]
    }
}

/// The pairs of two known, different words.
fn known(pairs: &[(String, String)], rows: &HashMap<String, usize>) -> Vec<(u32, u32)> {
    let known = pairs.iter().filter_map(|(first, second)| {
        let (first, second) = (*rows.get(first)?, *rows.get(second)?);
        (first != second).then_some((first as u32, second as u32))
    });
    known.collect()
}

/// For each query the words nearer than the radius that are not its antonyms, and their distances.
fn near_words(
    matrix: Matrix<'_>,
    queries: &[u32],
    antonyms: &Related,
    radius: f32,
) -> Vec<Vec<(u32, f32)>> {
    let mut near = vec![Vec::new(); queries.len()];
    let lowest = 1.0 - radius - ROUNDING;
    matrix.products(queries, |place, first, cosines| {
        let word = queries[place];
        for (chunk, cosines) in cosines.chunks(32).enumerate() {
            let high: u32 = cosines
                .iter()
                .map(|&cosine| u32::from(cosine >= lowest))
                .sum();
            if high == 0 {
                continue;
            }
            for (index, &cosine) in cosines.iter().enumerate() {
                let other = (first + chunk * 32 + index) as u32;
                if cosine < lowest || other == word {
                    continue;
                }
                // The same sum as in every epoch, so that words at rest stay exactly as far as they were.
                let distance = 1.0 - dot(matrix.row(word as usize), matrix.row(other as usize));
                let is_antonym = || antonyms.of(word as usize).binary_search(&other).is_ok();
                if distance < radius && !is_antonym() {
                    near[place].push((other, distance));
                }
            }
        }
    });
    near
}
