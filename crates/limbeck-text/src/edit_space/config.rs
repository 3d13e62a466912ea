use serde::{Deserialize, Serialize};

use super::{EditSpace, Resource, Resources};
use crate::TextError;
use crate::constraint::{BuiltConstraint, ConstraintConfig};
use crate::transform::TransformationConfig;

/// A transformation and its constraints as a run file composes them: `[transformation]` and `[[constraint]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EditSpaceConfig {
    /// What makes candidates.
    pub transformation: TransformationConfig,
    /// Which words may be edited and which candidates are kept; those on candidates are asked in this order.
    #[serde(default)]
    pub constraint: Vec<ConstraintConfig>,
}

impl EditSpaceConfig {
    /// What it needs to be built, each once, sorted.
    pub fn required(&self) -> Vec<Resource> {
        let mut required = self.transformation.required();
        required.extend(
            self.constraint
                .iter()
                .filter_map(ConstraintConfig::required),
        );
        required.sort_unstable();
        required.dedup();
        required
    }

    /// The edit space.
    ///
    /// # Errors
    /// [`TextError::MissingResource`], [`TextError::Setting`].
    pub fn build(&self, resources: &Resources) -> Result<EditSpace, TextError> {
        let mut space = EditSpace {
            transformation: self.transformation.build(resources)?,
            index_constraints: Vec::new(),
            constraints: Vec::new(),
        };
        for constraint in &self.constraint {
            match constraint.build(resources)? {
                BuiltConstraint::Index(constraint) => space.index_constraints.push(constraint),
                BuiltConstraint::Candidate(constraint) => space.constraints.push(constraint),
            }
        }
        Ok(space)
    }
}
