use rand::RngCore;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::search::{Neighbourhood, WordGradients};
use crate::{AttackError, Oracle, Scored};

/// How the importance of a word is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// The goal's score with the word replaced by `[UNK]`: one question per word.
    #[default]
    Unk,
    /// The goal's score without the word: one question per word.
    Delete,
    /// The softmax over words of the `unk` scores, times the best score that a swap of the word alone reaches (PWWS, Ren et
    /// al. 2019): one question per word and one per candidate.
    WeightedSaliency,
    /// The gradient at the word; see [`WordGradients`]. No question.
    Gradient,
    /// Chance. No question.
    Random,
}

/// Which words are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WirScope {
    /// Those that may be edited.
    #[default]
    Editable,
    /// All, as `TextAttack` did up to 0.3.5: stop words cost questions too, so counts compare with published ones.
    All,
}

/// What stands for a word that is hidden from the victim.
const UNKNOWN: &str = "[UNK]";

/// The words in the order in which to try them: descending importance, of equals the first.
pub(super) fn ranking(
    importance: Importance,
    scope: WirScope,
    gradients: Option<&dyn WordGradients>,
    start: &Scored,
    space: &Neighbourhood<'_>,
    oracle: &mut Oracle<'_>,
    rng: &mut dyn RngCore,
) -> Result<Vec<usize>, AttackError> {
    let text = &start.text;
    let mut indices = match scope {
        WirScope::Editable => space.editable(text),
        WirScope::All => (0..text.word_count()).collect(),
    };
    let scores = match importance {
        Importance::Unk => {
            let hidden = indices.iter().map(|&index| text.replace(index, UNKNOWN));
            scores(oracle.query(hidden.collect())?)
        }
        Importance::Delete => {
            let without = indices.iter().map(|&index| text.delete(index));
            scores(oracle.query(without.collect())?)
        }
        Importance::WeightedSaliency => weighted_saliency(&indices, start, space, oracle, rng)?,
        Importance::Gradient => {
            let gradients = gradients.ok_or(AttackError::NoGradients)?;
            let all = gradients
                .word_gradients(text)
                .map_err(AttackError::Gradient)?;
            indices
                .iter()
                .map(|&index| all.get(index).copied().unwrap_or(0.0))
                .collect()
        }
        Importance::Random => {
            indices.shuffle(rng);
            return Ok(indices);
        }
    };
    Ok(descending(&indices, &scores))
}

fn scores(scored: Vec<Scored>) -> Vec<f64> {
    scored.into_iter().map(|scored| scored.score).collect()
}

/// `softmax(unk scores)_i · max over candidates c of word i of score(c)`, the softmax in single precision as the peer's.
fn weighted_saliency(
    indices: &[usize],
    start: &Scored,
    space: &Neighbourhood<'_>,
    oracle: &mut Oracle<'_>,
    rng: &mut dyn RngCore,
) -> Result<Vec<f64>, AttackError> {
    let text = &start.text;
    let hidden = indices.iter().map(|&index| text.replace(index, UNKNOWN));
    let saliency = scores(oracle.query(hidden.collect())?);
    let mut best_scores = Vec::with_capacity(indices.len());
    for &index in indices {
        if oracle.exhausted().is_some() {
            break;
        }
        let candidates = space.candidates(text, Some(&[index]), rng)?;
        let scored = if candidates.is_empty() {
            Vec::new()
        } else {
            oracle.query(candidates)?
        };
        let best = scored.iter().map(|scored| scored.score).reduce(f64::max);
        best_scores.push(best.unwrap_or(0.0));
    }
    best_scores.resize(indices.len(), 0.0);
    let weights = softmax(&saliency);
    Ok(best_scores
        .iter()
        .enumerate()
        .map(|(index, best)| {
            weights
                .get(index)
                .map_or(0.0, |&weight| f64::from(weight) * best)
        })
        .collect())
}

fn softmax(values: &[f64]) -> Vec<f32> {
    let max = values
        .iter()
        .map(|&v| v as f32)
        .fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = values.iter().map(|&v| (v as f32 - max).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// `indices` by falling score; stable, so words of equal importance keep reading order. Words without a score come last.
fn descending(indices: &[usize], scores: &[f64]) -> Vec<usize> {
    let score = |position: usize| scores.get(position).copied().unwrap_or(f64::NEG_INFINITY);
    let mut order: Vec<usize> = (0..indices.len()).collect();
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    order
        .into_iter()
        .map(|position| indices[position])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_keep_reading_order() {
        assert_eq!(
            descending(&[2, 5, 7, 9], &[0.5, 0.7, 0.5, 0.7]),
            [5, 9, 2, 7]
        );
        assert_eq!(descending(&[2, 5, 7], &[0.5]), [2, 5, 7]);
    }
}
