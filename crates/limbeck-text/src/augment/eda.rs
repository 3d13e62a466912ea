use std::collections::HashSet;

use rand::RngCore;
use rand::seq::SliceRandom;

use super::{Augmentation, Augmenter, RowAugmenter};
use crate::{BoxError, Text};

/// Easy data augmentation (Wei and Zou 2019) as `TextAttack` has it: what four augmenters make, shuffled, and so many of them.
pub struct Eda {
    /// Synonym replacement, random deletion, random exchange and synonym insertion, each with a quarter of `count`, at least 1.
    pub members: [Augmenter; 4],
    /// New texts per text.
    pub count: usize,
}

impl RowAugmenter for Eda {
    fn augment(&self, text: &Text, rng: &mut dyn RngCore) -> Result<Vec<Augmentation>, BoxError> {
        let mut all = Vec::new();
        for member in &self.members {
            all.extend(member.augment(text, rng)?);
        }
        let mut known = HashSet::new();
        let is_first: Vec<bool> = all
            .iter()
            .map(|new| known.insert(new.text.clone()))
            .collect();
        let mut is_first = is_first.into_iter();
        all.retain(|_| is_first.next().unwrap_or_default());
        let mut rng = rng;
        all.shuffle(&mut rng);
        all.truncate(self.count);
        Ok(all)
    }
}
