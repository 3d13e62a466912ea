use std::sync::Arc;

use rand::RngCore;

use super::{Edit, EditKind, Transformation, is_single_word, word_swaps};
use crate::BoxError;
use crate::edit::WordText;
use crate::lexicon::Synonyms;

/// A word for one that shares a meaning with it: each lemma of `WordNet` that is a single word, in the case it has there.
#[derive(Clone)]
pub struct SynonymSwap {
    /// Where synonyms are looked up.
    pub synonyms: Arc<dyn Synonyms>,
}

impl Transformation for SynonymSwap {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        Ok(word_swaps(current, indices, |word, add| {
            let synonyms = self.synonyms.synonyms(word).into_iter();
            let is_swap = |lemma: &String| !lemma.contains('_') && is_single_word(lemma);
            synonyms.filter(is_swap).for_each(add);
        }))
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Swap)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}
