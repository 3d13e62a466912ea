use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{Outcome, example_rng};

/// Which examples of a data set are attacked, and when it is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Worklist {
    /// How many examples; `None`: all.
    pub num_examples: Option<u64>,
    /// Examples at the beginning of the set that are left out.
    pub offset: u64,
    /// Go on until so many attacks have succeeded, whatever `num-examples` says.
    pub num_successful: Option<u64>,
    /// Count only examples that were really attacked: each skipped one is replaced by a further one.
    pub attack_n: bool,
    /// Take the examples in random order.
    pub shuffle: bool,
}

/// The stream of the order, apart from those of the examples.
const ORDER_STREAM: u64 = u64::MAX;

impl Worklist {
    /// The positions of all examples that may be attacked in a set of `count`, in order. Where the list ends early says
    /// [`is_enough`](Self::is_enough).
    pub fn order(&self, count: usize, seed: u64) -> Vec<usize> {
        let mut order: Vec<usize> =
            (usize::try_from(self.offset).unwrap_or(usize::MAX)..count).collect();
        if self.shuffle {
            order.shuffle(&mut example_rng(seed, ORDER_STREAM));
        }
        order
    }

    /// How many examples of a set of `count` are attacked at most.
    pub fn at_most(&self, count: usize) -> usize {
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let there = count.saturating_sub(number(self.offset));
        let plain = self.num_successful.is_none() && !self.attack_n;
        let wanted = self.num_examples.filter(|_| plain).map(number);
        wanted.map_or(there, |wanted| there.min(wanted))
    }

    /// Whether the first examples of the order, ended as `outcomes` tells, are all there is to do.
    pub fn is_enough(&self, outcomes: &Counts) -> bool {
        if let Some(wanted) = self.num_successful {
            return outcomes.succeeded >= wanted;
        }
        let done = if self.attack_n {
            outcomes.succeeded + outcomes.failed
        } else {
            outcomes.succeeded + outcomes.failed + outcomes.skipped + outcomes.broken
        };
        self.num_examples.is_some_and(|wanted| done >= wanted)
    }
}

/// How many attacks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Succeeded.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Skipped.
    pub skipped: u64,
    /// Ended by an error.
    pub broken: u64,
}

impl Counts {
    /// Counts one more; `None` is an attack ended by an error.
    pub fn add(&mut self, outcome: Option<Outcome>) {
        *match outcome {
            Some(Outcome::Succeeded) => &mut self.succeeded,
            Some(Outcome::Failed) => &mut self.failed,
            Some(Outcome::Skipped) => &mut self.skipped,
            None => &mut self.broken,
        } += 1;
    }
}
