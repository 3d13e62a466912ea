//! The order in which edits are tried.

mod beam;
mod greedy_wir;
mod importance;

use std::sync::Arc;

use limbeck_text::edit::WordText;
use limbeck_text::transform::EditKind;
use limbeck_text::{BoxError, EditSpace};
use rand::RngCore;
use serde::{Deserialize, Serialize};

pub use beam::BeamConfig;
pub use greedy_wir::WirConfig;
pub use importance::{Importance, WirScope};

use crate::{AttackError, Oracle, Scored};

/// Looks for a text that reaches the goal.
pub trait SearchMethod: Send + Sync {
    /// The best text found from `start`, which has not reached the goal. Ends when the oracle is exhausted.
    fn search(
        &self,
        start: Scored,
        space: &Neighbourhood<'_>,
        oracle: &mut Oracle<'_>,
        rng: &mut dyn RngCore,
    ) -> Result<Scored, AttackError>;
}

/// The choice of a search: `search = { greedy-word-swap-wir = { importance = "delete" } }` in a run file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SearchConfig {
    /// Words once each, the most important first; the best candidate of each stays (Jin et al. 2019, algorithm 1).
    GreedyWordSwapWir(WirConfig),
    /// All words at every step; the best candidates stay. A beam of 1 is greedy search.
    Beam(BeamConfig),
}

impl SearchConfig {
    /// The search. `gradients` are needed for importance by gradient only.
    pub fn build(
        &self,
        gradients: Option<Arc<dyn WordGradients>>,
    ) -> Result<Box<dyn SearchMethod>, AttackError> {
        Ok(match *self {
            Self::GreedyWordSwapWir(config) => Box::new(config.build(gradients)?),
            Self::Beam(config) => Box::new(config),
        })
    }
}

/// What a white-box victim tells of its words.
pub trait WordGradients: Send + Sync {
    /// For each word `‖mean over its pieces of ∂loss/∂embedding‖₁`, 0 where no piece of it was read.
    ///
    /// The loss is the cross-entropy of the label that the victim gives.
    fn word_gradients(&self, text: &WordText) -> Result<Vec<f64>, BoxError>;
}

/// The texts around one original.
pub struct Neighbourhood<'a> {
    space: &'a EditSpace,
    original: &'a WordText,
}

impl<'a> Neighbourhood<'a> {
    /// The texts that `space` allows around `original`.
    pub fn new(space: &'a EditSpace, original: &'a WordText) -> Self {
        Self { space, original }
    }

    /// The words of `current` that may be edited, ascending.
    pub fn editable(&self, current: &WordText) -> Vec<usize> {
        self.space.editable(current)
    }

    /// Where in `current` the word stands that was word `index` of the original; `None` where it is gone.
    ///
    /// A search whose edits only swap words counts on, as `TextAttack`, even where a typing error cut a word in two.
    pub fn place(&self, current: &WordText, index: usize) -> Option<usize> {
        if self.space.transformation.kind() == Some(EditKind::Swap) {
            return Some(index);
        }
        let place = current.original_indices().get(index).copied().flatten();
        place.map(|place| place as usize)
    }

    /// The allowed texts one edit away at the words `indices` (`None`: at all), sorted by text in code points.
    ///
    /// The order decides between candidates of equal score.
    pub fn candidates(
        &self,
        current: &WordText,
        indices: Option<&[usize]>,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, AttackError> {
        let candidates = self.space.candidates(current, self.original, indices, rng);
        let mut candidates = candidates.map_err(AttackError::Candidates)?;
        // UTF-8 orders as code points do; stable, as equal texts may differ in what made them.
        candidates.sort_by(|a, b| a.text().cmp(b.text()));
        Ok(candidates)
    }
}
