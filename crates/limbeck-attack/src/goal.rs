use serde::{Deserialize, Serialize};

use crate::{AttackError, Distribution};

/// What an attack wants of the victim, and how near a text is to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Goal {
    /// Any label but the gold one; the score is `1 − p[gold]`.
    Untargeted {
        /// Where given, success is `p[gold] < target-max-score` instead, in `(0, 1]`.
        #[serde(
            default,
            rename = "target-max-score",
            skip_serializing_if = "Option::is_none"
        )]
        target_max_score: Option<f64>,
    },
    /// One label; the score is `p[label]`. Texts that have it already, by the data or by the victim, are skipped.
    Targeted {
        /// The label, counted from 0.
        label: u32,
    },
}

impl Default for Goal {
    fn default() -> Self {
        Self::Untargeted {
            target_max_score: None,
        }
    }
}

impl Goal {
    /// How near the answer is to the goal, in `[0, 1]`.
    pub fn score(&self, answer: &Distribution, gold: u32) -> f64 {
        match *self {
            Self::Untargeted { .. } => answer.complement(gold),
            Self::Targeted { label } => answer.probabilities()[label as usize],
        }
    }

    /// Whether the goal is reached.
    pub fn reached(&self, answer: &Distribution, gold: u32) -> bool {
        match *self {
            Self::Untargeted {
                target_max_score: Some(bound),
            } => answer.is_below(gold, bound),
            Self::Untargeted {
                target_max_score: None,
            } => answer.label() != gold,
            Self::Targeted { label } => answer.label() == label || gold == label,
        }
    }

    /// Fails where the answer lacks a label that the goal speaks of.
    pub(crate) fn check(&self, answer: &Distribution, gold: u32) -> Result<(), AttackError> {
        let labels = answer.probabilities().len();
        let target = match *self {
            Self::Untargeted { .. } => gold,
            Self::Targeted { label } => label.max(gold),
        };
        if (target as usize) < labels {
            return Ok(());
        }
        Err(AttackError::LabelRange {
            labels,
            label: target,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_what_the_goal_says() {
        let answer = Distribution::double(vec![0.25, 0.5, 0.25]);
        let bounded = |bound| Goal::Untargeted {
            target_max_score: Some(bound),
        };
        for (goal, gold, score, reached) in [
            (Goal::default(), 1, 0.5, false),
            (Goal::default(), 0, 0.75, true),
            (bounded(0.5), 1, 0.5, false),
            (bounded(0.6), 1, 0.5, true),
            (Goal::Targeted { label: 1 }, 0, 0.5, true),
            (Goal::Targeted { label: 2 }, 0, 0.25, false),
            (Goal::Targeted { label: 2 }, 2, 0.25, true),
        ] {
            assert_eq!(goal.score(&answer, gold), score, "{goal:?}");
            assert_eq!(goal.reached(&answer, gold), reached, "{goal:?}");
        }
        assert!(Goal::Targeted { label: 3 }.check(&answer, 0).is_err());
        assert!(Goal::default().check(&answer, 3).is_err());
    }

    #[test]
    fn a_single_precision_score_is_rounded_as_a_tensor_rounds_it() {
        let p = 0.1_f32;
        let answer = Distribution::single(&[p, 1.0 - p]);
        assert_eq!(Goal::default().score(&answer, 0), f64::from(1.0 - p));
    }
}
