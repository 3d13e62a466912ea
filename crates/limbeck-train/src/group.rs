//! Parameters in groups, each with an optimiser of its own.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use limbeck_ops::Parameter;
use limbeck_ops::optimizer::{Optimizer, clip_factor, gradient_norm};

use crate::TrainError;
use crate::config::TrainConfig;
use crate::schedule::Schedule;

/// Parameters that one optimiser changes.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name in checkpoints.
    pub name: &'static str,
    /// The parameters; those that are frozen stay as they are.
    pub parameters: Vec<Parameter>,
    /// How many of the first are the model's own, and so in its checkpoint.
    pub in_model: usize,
    /// How fast they learn; `None`: as the run's settings say.
    pub pace: Option<Pace>,
}

/// How fast a group of parameters learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How it changes over the run.
    pub schedule: Schedule,
    /// Weight decay of matrices.
    pub weight_decay: f64,
}

impl Group {
    /// A model's parameters, and others (such as a loss's projection) that learn like them.
    pub fn of_model(name: &'static str, model: Vec<Parameter>, others: Vec<Parameter>) -> Self {
        let in_model = model.len();
        Self {
            name,
            parameters: [model, others].concat(),
            in_model,
            pace: None,
        }
    }

    /// Parameters beside the model, at a pace of their own.
    pub fn beside(name: &'static str, parameters: Vec<Parameter>, pace: Pace) -> Self {
        Self {
            name,
            parameters,
            in_model: 0,
            pace: Some(pace),
        }
    }
}

/// Which groups a step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updates {
    /// All of them.
    All,
    /// One, by its place: 0 for the student's own.
    Only(usize),
}

impl Updates {
    fn reach(self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == index,
        }
    }

    /// The group whose learning rate and gradient norm stand in the log.
    fn main(self) -> usize {
        match self {
            Self::All => 0,
            Self::Only(only) => only,
        }
    }
}

/// All groups with their optimisers.
#[derive(Debug)]
pub struct Learners {
    members: Vec<Learner>,
    clip_norm: f64,
}

#[derive(Debug)]
struct Learner {
    name: &'static str,
    optimizer: Optimizer,
    /// Not in the model's checkpoint.
    beside: Vec<Parameter>,
    peak: f64,
    schedule: Schedule,
}

impl Learners {
    pub(crate) fn new(groups: Vec<Group>, config: &TrainConfig) -> Self {
        let members = groups.into_iter().map(|group| {
            let pace = group.pace.unwrap_or(Pace {
                learning_rate: config.learning_rate,
                schedule: config.schedule,
                weight_decay: config.weight_decay,
            });
            Learner {
                name: group.name,
                beside: group.parameters[group.in_model..].to_vec(),
                optimizer: Optimizer::new(config.rule(pace.weight_decay), &group.parameters),
                peak: pace.learning_rate,
                schedule: pace.schedule,
            }
        });
        Self {
            members: members.collect(),
            clip_norm: config.clip_norm,
        }
    }

    /// The learning rate that the log shows, with `factor` of each schedule.
    pub(crate) fn learning_rate(&self, updates: Updates, factor: impl Fn(Schedule) -> f64) -> f64 {
        let member = &self.members[updates.main()];
        member.peak * factor(member.schedule)
    }

    /// Changes the groups of `updates`, each with its gradient clipped by itself; the others' gradients are
    /// forgotten. Returns the gradient norm of the group that the log shows.
    pub(crate) fn step(
        &mut self,
        updates: Updates,
        factor: impl Fn(Schedule) -> f64,
    ) -> Result<f64, TrainError> {
        let mut shown = 0.0;
        for (index, member) in self.members.iter_mut().enumerate() {
            if !updates.reach(index) {
                for parameter in member.optimizer.parameters() {
                    parameter.clear_gradient();
                }
                continue;
            }
            let norm = gradient_norm(member.optimizer.parameters())?;
            let clip = if self.clip_norm > 0.0 {
                clip_factor(norm, self.clip_norm)
            } else {
                1.0
            };
            let learning_rate = member.peak * factor(member.schedule);
            member.optimizer.step(learning_rate, clip)?;
            if index == updates.main() {
                shown = norm;
            }
        }
        Ok(shown)
    }

    /// Steps of each group's optimiser.
    pub(crate) fn step_counts(&self) -> Vec<u64> {
        let members = self.members.iter();
        members.map(|m| m.optimizer.step_count()).collect()
    }

    /// The optimisers' running means under `group/parameter.mean`.
    pub(crate) fn snapshot(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let mut all = BTreeMap::new();
        for member in &self.members {
            let means = member.optimizer.snapshot()?.into_iter();
            all.extend(means.map(|(name, mean)| (format!("{}/{name}", member.name), mean)));
        }
        Ok(all)
    }

    /// Takes back what [`Learners::snapshot`] gave.
    pub(crate) fn restore(
        &mut self,
        path: &Path,
        stored: &BTreeMap<String, Tensor>,
        steps: &[u64],
    ) -> Result<(), TrainError> {
        if steps.len() != self.members.len() {
            let problem = format!(
                "{} groups of parameters, expected {}",
                steps.len(),
                self.members.len()
            );
            return Err(TrainError::damaged(path, &problem));
        }
        for (member, &steps) in self.members.iter_mut().zip(steps) {
            let prefix = format!("{}/", member.name);
            let own = stored.iter().filter_map(|(name, mean)| {
                Some((name.strip_prefix(&prefix)?.to_owned(), mean.clone()))
            });
            member.optimizer.restore(&own.collect(), steps)?;
        }
        Ok(())
    }

    /// What is trained beside the model, under `group/parameter`.
    pub(crate) fn beside(&self) -> BTreeMap<String, Tensor> {
        let all = self.all_beside();
        all.map(|(name, parameter)| (name, parameter.value()))
            .collect()
    }

    /// Puts back what [`Learners::beside`] gave.
    pub(crate) fn load_beside(
        &self,
        path: &Path,
        stored: &BTreeMap<String, Tensor>,
    ) -> Result<(), TrainError> {
        for (name, parameter) in self.all_beside() {
            let Some(value) = stored.get(&name) else {
                return Err(TrainError::damaged(path, &format!("no tensor `{name}`")));
            };
            parameter.set(value)?;
        }
        Ok(())
    }

    fn all_beside(&self) -> impl Iterator<Item = (String, &Parameter)> {
        self.members.iter().flat_map(|member| {
            let named = |p: &'_ Parameter| format!("{}/{}", member.name, p.name());
            member.beside.iter().map(move |p| (named(p), p))
        })
    }
}
