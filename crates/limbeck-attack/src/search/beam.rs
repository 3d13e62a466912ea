use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::search::{Neighbourhood, SearchMethod};
use crate::{AttackError, Oracle, Scored};

/// Beam search: every edit of every text in the beam is tried, and the best stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BeamConfig {
    /// Texts that stay after a step, 1 or more; 1 is greedy search.
    pub width: usize,
}

impl Default for BeamConfig {
    fn default() -> Self {
        Self { width: 1 }
    }
}

impl SearchMethod for BeamConfig {
    /// The best of the last step stands for the result, even where an earlier step had a better one, as in `TextAttack`.
    fn search(
        &self,
        start: Scored,
        space: &Neighbourhood<'_>,
        oracle: &mut Oracle<'_>,
        rng: &mut dyn RngCore,
    ) -> Result<Scored, AttackError> {
        let mut beam = vec![start.text.clone()];
        let mut best = start;
        while !best.reached {
            let mut candidates = Vec::new();
            for text in &beam {
                candidates.extend(space.candidates(text, None, rng)?);
            }
            if candidates.is_empty() {
                break;
            }
            let mut scored = oracle.query(candidates)?;
            // Stable, so of equal scores the first in code points stays first.
            scored.sort_by(|a, b| b.score.total_cmp(&a.score));
            let Some(first) = scored.first() else {
                break;
            };
            best = first.clone();
            if oracle.exhausted().is_some() {
                break;
            }
            scored.truncate(self.width.max(1));
            beam = scored.into_iter().map(|scored| scored.text).collect();
        }
        Ok(best)
    }
}
