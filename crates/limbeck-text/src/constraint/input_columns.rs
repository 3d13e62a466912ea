use super::IndexConstraint;
use crate::edit::WordText;

/// In texts of exactly these columns, some columns stay; other texts may be edited everywhere.
#[derive(Clone, Debug)]
pub struct InputColumns {
    /// The columns that a text must have, in order, to be meant.
    pub columns: Vec<String>,
    /// Those that are not edited.
    pub kept: Vec<String>,
}

impl IndexConstraint for InputColumns {
    fn allows(&self, current: &WordText, index: usize) -> bool {
        if !current.column_names().eq(&self.columns) {
            return true;
        }
        !self.kept.contains(&self.columns[current.column_of(index)])
    }
}
