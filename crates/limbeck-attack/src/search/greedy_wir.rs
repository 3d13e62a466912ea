use std::sync::Arc;

use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::search::importance::ranking;
use crate::search::{Importance, Neighbourhood, SearchMethod, WirScope, WordGradients};
use crate::{AttackError, Oracle, Scored};

/// Greedy search by word importance: words once each, the most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WirConfig {
    /// How importance is measured.
    pub importance: Importance,
    /// Which words are ranked.
    pub wir_scope: WirScope,
}

impl WirConfig {
    pub(super) fn build(
        self,
        gradients: Option<Arc<dyn WordGradients>>,
    ) -> Result<GreedyWordSwapWir, AttackError> {
        if self.importance == Importance::Gradient && gradients.is_none() {
            return Err(AttackError::NoGradients);
        }
        Ok(GreedyWordSwapWir {
            config: self,
            gradients,
        })
    }
}

/// The search that [`WirConfig`] describes.
pub(super) struct GreedyWordSwapWir {
    config: WirConfig,
    gradients: Option<Arc<dyn WordGradients>>,
}

impl SearchMethod for GreedyWordSwapWir {
    fn search(
        &self,
        start: Scored,
        space: &Neighbourhood<'_>,
        oracle: &mut Oracle<'_>,
        rng: &mut dyn RngCore,
    ) -> Result<Scored, AttackError> {
        let WirConfig {
            importance,
            wir_scope,
        } = self.config;
        let gradients = self.gradients.as_deref();
        let order = ranking(importance, wir_scope, gradients, &start, space, oracle, rng)?;
        let mut current = start;
        for index in order {
            if oracle.exhausted().is_some() {
                break;
            }
            let Some(place) = space.place(&current.text, index) else {
                continue;
            };
            let candidates = space.candidates(&current.text, Some(&[place]), rng)?;
            if candidates.is_empty() {
                continue;
            }
            let mut scored = oracle.query(candidates)?;
            scored.sort_by(|a, b| b.score.total_cmp(&a.score));
            match scored.first() {
                Some(best) if best.score > current.score => current = best.clone(),
                _ => continue,
            }
            if current.reached {
                return Ok(most_similar(scored));
            }
        }
        Ok(current)
    }
}

/// Of the leading successes the one most like the original; the first one where a similarity is not known.
fn most_similar(scored: Vec<Scored>) -> Scored {
    let mut best = 0;
    let mut best_similarity = f32::NEG_INFINITY;
    for (index, scored) in scored.iter().enumerate() {
        let Some(similarity) = scored.text.similarity.filter(|_| scored.reached) else {
            break;
        };
        if similarity > best_similarity {
            (best, best_similarity) = (index, similarity);
        }
    }
    let mut scored = scored;
    scored.swap_remove(best)
}
