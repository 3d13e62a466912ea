use std::collections::{HashMap, HashSet};
use std::time::Instant;

use limbeck_text::Text;
use limbeck_text::edit::WordText;

use crate::{AttackError, Distribution, Goal, StopReason, Victim};

/// The victim as one example's attack sees it; the only way to ask, so that every question is counted.
pub struct Oracle<'a> {
    victim: &'a dyn Victim,
    goal: Goal,
    gold: u32,
    limits: Limits,
    query_count: u64,
    /// Answers by text: the victim is asked only once.
    answers: HashMap<Text, Distribution>,
}

/// What an attack of one example may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most questions; `None`: no limit.
    pub query_budget: Option<u64>,
    /// When to stop; makes results depend on the machine's speed.
    pub deadline: Option<Instant>,
}

/// A text with the victim's answer.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The text.
    pub text: WordText,
    /// The victim's answer.
    pub answer: Distribution,
    /// How near it is to the goal; see [`Goal::score`].
    pub score: f64,
    /// Whether the goal is reached.
    pub reached: bool,
}

impl<'a> Oracle<'a> {
    /// An oracle for one example.
    pub fn new(victim: &'a dyn Victim, goal: Goal, gold: u32, limits: Limits) -> Self {
        Self {
            victim,
            goal,
            gold,
            limits,
            query_count: 0,
            answers: HashMap::new(),
        }
    }

    /// Asks for all `texts`, or for the first ones where the budget allows no more.
    ///
    /// Each text counts as one question, also where it repeats or is known from before.
    pub fn query(&mut self, mut texts: Vec<WordText>) -> Result<Vec<Scored>, AttackError> {
        if self.is_late() {
            return Ok(Vec::new());
        }
        if let Some(budget) = self.limits.query_budget {
            texts.truncate(usize::try_from(budget - self.query_count).unwrap_or(usize::MAX));
        }
        self.query_count += texts.len() as u64;
        let keys: Vec<Text> = texts.iter().map(WordText::to_text).collect();
        self.ask_unknown(&keys)?;
        let scored = texts.into_iter().zip(keys).map(|(text, key)| {
            let answer = self.answers[&key].clone();
            Scored {
                text,
                score: self.goal.score(&answer, self.gold),
                reached: self.goal.reached(&answer, self.gold),
                answer,
            }
        });
        Ok(scored.collect())
    }

    /// From now on nothing may be asked after `deadline`.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.limits.deadline = deadline;
    }

    /// Questions so far.
    pub fn query_count(&self) -> u64 {
        self.query_count
    }

    /// Whether nothing more may be asked, and why.
    pub fn exhausted(&self) -> Option<StopReason> {
        if self.limits.query_budget == Some(self.query_count) {
            Some(StopReason::QueryBudget)
        } else if self.is_late() {
            Some(StopReason::TimeLimit)
        } else {
            None
        }
    }

    fn is_late(&self) -> bool {
        let deadline = self.limits.deadline;
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn ask_unknown(&mut self, keys: &[Text]) -> Result<(), AttackError> {
        let mut seen = HashSet::new();
        let unknown: Vec<Text> = keys
            .iter()
            .filter(|key| !self.answers.contains_key(key) && seen.insert(*key))
            .cloned()
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let questions = unknown.len();
        let answers = self.victim.query(&unknown);
        let answers = answers.map_err(|source| AttackError::Victim { questions, source })?;
        if answers.len() != questions {
            return Err(AttackError::AnswerCount {
                found: answers.len(),
                expected: questions,
            });
        }
        for (key, answer) in unknown.into_iter().zip(answers) {
            self.goal.check(&answer, self.gold)?;
            self.answers.insert(key, answer);
        }
        Ok(())
    }
}
