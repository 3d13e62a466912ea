use super::IndexConstraint;
use crate::edit::WordText;

/// A word that has been changed is not changed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRepeat;

impl IndexConstraint for NoRepeat {
    fn allows(&self, current: &WordText, index: usize) -> bool {
        current.modified().binary_search(&(index as u32)).is_err()
    }
}
