use std::sync::Arc;

use rand::{Rng, RngCore};

use super::{Edit, EditKind, Transformation};
use crate::BoxError;
use crate::edit::WordText;
use crate::lexicon::Synonyms;

/// Words drawn before a place is given up.
const TRIES: usize = 7;

/// A random synonym of a random word of the text comes in before a word (Wei and Zou 2019).
///
/// A word without synonyms is drawn again; after seven such the text stays as it is, and no other place is tried. A synonym is all
/// letters. One edit per word.
#[derive(Clone)]
pub struct SynonymInsertion {
    /// Where synonyms are looked up.
    pub synonyms: Arc<dyn Synonyms>,
}

impl Transformation for SynonymInsertion {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let mut known: Vec<Option<Vec<String>>> = vec![None; current.word_count()];
        let mut edits = Vec::with_capacity(indices.len());
        'places: for &index in indices {
            for _ in 0..TRIES {
                let source = rng.random_range(0..known.len());
                let synonyms = known[source].get_or_insert_with(|| self.of(current.word(source)));
                if !synonyms.is_empty() {
                    let new = synonyms[rng.random_range(0..synonyms.len())].clone();
                    edits.push(Edit::InsertBefore { index, new });
                    continue 'places;
                }
            }
            return Ok(vec![Edit::Keep]);
        }
        Ok(edits)
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Insertion)
    }

    fn is_deterministic(&self) -> bool {
        false
    }
}

impl SynonymInsertion {
    fn of(&self, word: &str) -> Vec<String> {
        let mut synonyms = self.synonyms.synonyms(word);
        synonyms.retain(|lemma| lemma != word && lemma.chars().all(char::is_alphabetic));
        synonyms
    }
}
