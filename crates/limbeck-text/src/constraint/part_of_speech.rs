use std::sync::Arc;

use super::{Constraint, Reference};
use crate::BoxError;
use crate::edit::WordText;
use crate::lexicon::{Tagger, UniversalTag};

/// Words before and after the one that is tagged.
const BEFORE: usize = 4;
const AFTER: usize = 3;

/// A new word has the part of speech of the one in its place (Jin et al. 2019).
///
/// Both are tagged among the four words before and the three after, which are those of the reference. As in `TextAttack`, where a
/// word occurs twice there, its first occurrence is looked at.
#[derive(Clone)]
pub struct SamePartOfSpeech {
    /// Says what part of speech a word is.
    pub tagger: Arc<dyn Tagger>,
    /// Whether a noun may stand for a verb and a verb for a noun.
    pub allow_verb_noun_swap: bool,
    /// What is compared with.
    pub reference: Reference,
}

impl Constraint for SamePartOfSpeech {
    fn reference(&self) -> Reference {
        self.reference
    }

    fn judges_swaps_only(&self) -> bool {
        true
    }

    fn allows(
        &self,
        reference: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError> {
        // Candidates come word by word, so the tag of the old word is mostly that of the last question.
        let mut known = None;
        let mut verdict = |candidate: &WordText| {
            let mut indices = candidate.newly_modified().iter().map(|&at| at as usize);
            indices.all(|index| {
                if index >= reference.word_count() || index >= candidate.word_count() {
                    return false;
                }
                let old = match known {
                    Some((at, tag)) if at == index => tag,
                    _ => self.tag(reference, index, reference.word(index)),
                };
                known = Some((index, old));
                self.is_same(old, self.tag(reference, index, candidate.word(index)))
            })
        };
        Ok(candidates.iter().map(&mut verdict).collect())
    }
}

impl SamePartOfSpeech {
    fn tag(&self, reference: &WordText, index: usize, word: &str) -> UniversalTag {
        let start = index.saturating_sub(BEFORE);
        let mut context: Vec<&str> = reference.words().skip(start).take(index - start).collect();
        context.push(word);
        context.extend(reference.words().skip(index + 1).take(AFTER));
        let first = context.iter().position(|&other| other == word);
        self.tagger.tags(&context)[first.expect("the word was put there")]
    }

    fn is_same(&self, old: UniversalTag, new: UniversalTag) -> bool {
        let is_verb_or_noun = |tag| matches!(tag, UniversalTag::Noun | UniversalTag::Verb);
        let is_swap = is_verb_or_noun(old) && is_verb_or_noun(new);
        old == new || (self.allow_verb_noun_swap && is_swap)
    }
}
