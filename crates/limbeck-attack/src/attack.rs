use std::time::{Duration, Instant};

use limbeck_text::EditSpace;
use limbeck_text::edit::WordText;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::{AttackError, Goal, Limits, Neighbourhood, Oracle, Scored, SearchMethod, Victim};

/// A way to attack one text: what is wanted, which edits are allowed, how they are searched, and for how long.
pub struct Attack {
    /// What counts as success.
    pub goal: Goal,
    /// Which texts may follow a text.
    pub space: EditSpace,
    /// In which order they are tried.
    pub search: Box<dyn SearchMethod>,
    /// Most questions to the victim for one example, the first look included; `None`: no limit.
    pub query_budget: Option<u64>,
    /// Longest time for one example; `None`: no limit. A limit makes results depend on the machine's speed.
    pub time_limit: Option<Duration>,
}

/// How the attack of one example ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The goal was reached.
    Succeeded,
    /// It was not.
    Failed,
    /// The goal was reached before any edit (the victim errs by itself), so nothing was attacked.
    Skipped,
}

/// Why a search ended before its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The query budget was used up.
    QueryBudget,
    /// The time limit had passed.
    TimeLimit,
}

/// What the attack of one example found.
#[derive(Clone, Debug)]
pub struct AttackResult {
    /// How it ended.
    pub outcome: Outcome,
    /// The text before any edit.
    pub original: Scored,
    /// The text in the end; after a failure partly edited, or the original.
    pub perturbed: Scored,
    /// Questions asked, repeated ones included.
    pub query_count: u64,
    /// The limit that was met, if one was; also a success may have used up the budget.
    pub stopped_by: Option<StopReason>,
}

impl Attack {
    /// Attacks one text whose true label is `gold`. All randomness comes from `rng`.
    pub fn run(
        &self,
        victim: &dyn Victim,
        text: &WordText,
        gold: u32,
        rng: &mut dyn RngCore,
    ) -> Result<AttackResult, AttackError> {
        let limits = Limits {
            // The first look is always taken: without it there is no result.
            query_budget: self.query_budget.map(|budget| budget.max(1)),
            deadline: None,
        };
        let deadline = self.time_limit.map(|limit| Instant::now() + limit);
        let mut oracle = Oracle::new(victim, self.goal, gold, limits);
        let first = oracle.query(vec![text.clone()])?.pop();
        let original = first.expect("a budget of one allows one question");
        if original.reached {
            return Ok(AttackResult {
                outcome: Outcome::Skipped,
                perturbed: original.clone(),
                original,
                query_count: oracle.query_count(),
                stopped_by: None,
            });
        }
        oracle.set_deadline(deadline);
        let space = Neighbourhood::new(&self.space, &original.text);
        let perturbed = self
            .search
            .search(original.clone(), &space, &mut oracle, rng)?;
        Ok(AttackResult {
            outcome: if perturbed.reached {
                Outcome::Succeeded
            } else {
                Outcome::Failed
            },
            original,
            perturbed,
            query_count: oracle.query_count(),
            stopped_by: oracle.exhausted(),
        })
    }
}

impl AttackResult {
    /// The words of the original that are gone or changed, and the words of the perturbed text that have no equal partner;
    /// ascending.
    pub fn changed_words(&self) -> (Vec<usize>, Vec<usize>) {
        let (old, new) = (&self.original.text, &self.perturbed.text);
        let mut is_kept = vec![false; new.word_count()];
        let mut gone = Vec::new();
        for (index, place) in new.original_indices().iter().enumerate() {
            let place = place.map(|place| place as usize);
            match place.filter(|&place| place < is_kept.len()) {
                Some(place) if new.word(place) == old.word(index) => is_kept[place] = true,
                _ => gone.push(index),
            }
        }
        let come = (0..is_kept.len()).filter(|&place| !is_kept[place]);
        (gone, come.collect())
    }

    /// How many words differ, place by place over the common length.
    pub fn words_changed(&self) -> usize {
        self.perturbed
            .text
            .differing_words(&self.original.text)
            .count()
    }
}
