use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use limbeck_text::constraint::ConstraintConfig;
use limbeck_text::transform::TransformationConfig;
use limbeck_text::{EditSpaceConfig, Resource, Resources, TextError};
use serde::{Deserialize, Serialize};

use crate::{Attack, AttackError, Goal, SearchConfig, WordGradients};

/// An attack as a run file composes it.
///
/// ```toml
/// search = { beam = { width = 4 } }
/// transformation = { composite = [{ neighbour-swap = {} }, { qwerty = { variants = "all" } }] }
/// [[constraint]]
/// no-repeat = {}
/// [[constraint]]
/// words-perturbed = { max-count = 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AttackConfig {
    /// What counts as success.
    #[serde(default)]
    pub goal: Goal,
    /// In which order edits are tried.
    pub search: SearchConfig,
    /// What makes candidates.
    pub transformation: TransformationConfig,
    /// Which words may be edited and which candidates are kept; those on candidates are asked in this order.
    #[serde(default)]
    pub constraint: Vec<ConstraintConfig>,
}

/// What one example may cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Most questions to the victim, the first look included; `None`: no limit.
    pub query_budget: Option<u64>,
    /// Longest time; `None`: no limit.
    pub time_limit: Option<Duration>,
}

impl AttackConfig {
    /// What it needs to be built, each once, sorted.
    pub fn required(&self) -> Vec<Resource> {
        self.space().required()
    }

    /// Files that it reads beside its resources.
    pub fn files(&self) -> Vec<&Path> {
        self.constraint.iter().filter_map(|c| c.file()).collect()
    }

    /// The attack.
    ///
    /// # Errors
    /// A missing resource, a setting out of range, or importance by gradient without `gradients`.
    pub fn build(
        &self,
        resources: &Resources,
        gradients: Option<Arc<dyn WordGradients>>,
        cost: Cost,
    ) -> Result<Attack, AttackError> {
        if let SearchConfig::Beam(beam) = self.search
            && beam.width == 0
        {
            return Err(AttackError::Setting(TextError::Setting {
                setting: "search.beam.width",
                problem: "found 0, expected 1 or more".into(),
            }));
        }
        if let Goal::Untargeted {
            target_max_score: Some(bound),
        } = self.goal
            && !(bound > 0.0 && bound <= 1.0)
        {
            return Err(AttackError::Setting(TextError::Setting {
                setting: "goal.untargeted.target-max-score",
                problem: format!("found {bound}, expected a number in (0, 1]"),
            }));
        }
        Ok(Attack {
            goal: self.goal,
            space: self
                .space()
                .build(resources)
                .map_err(AttackError::Setting)?,
            search: self.search.build(gradients)?,
            query_budget: cost.query_budget,
            time_limit: cost.time_limit,
        })
    }

    fn space(&self) -> EditSpaceConfig {
        EditSpaceConfig {
            transformation: self.transformation.clone(),
            constraint: self.constraint.clone(),
        }
    }
}
