use std::sync::Arc;

use rand::RngCore;

use super::Fillings;
use super::gaps::Around;
use crate::edit::WordText;
use crate::lexicon::{Tagger, UniversalTag};
use crate::transform::{Edit, EditKind, Transformation};
use crate::{BoxError, MaskedLm};

/// Two neighbouring words for one that a masked language model expects in their place (the merge of Li et al. 2021).
///
/// Only words that may form a phrase by their parts of speech are merged, by `TextAttack`'s table. A pair is taken where either of its
/// words is among those asked for; `TextAttack` takes any pair, against its own constraints, and tags with flair.
#[derive(Clone)]
pub struct MaskedMerge {
    /// The model; it sees the whole text.
    pub model: Arc<dyn MaskedLm>,
    /// Says which words may form a phrase.
    pub tagger: Arc<dyn Tagger>,
    /// Which of the model's tokens are taken.
    pub fillings: Fillings,
}

impl Transformation for MaskedMerge {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let firsts = self.phrases(current, indices);
        let around = |index| Around::merging(current, index);
        let words = self
            .fillings
            .other_words(&*self.model, current, &firsts, around)?;
        let edit = |(index, new)| Edit::Merge { index, new };
        Ok(words.into_iter().map(edit).collect())
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Merge)
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}

impl MaskedMerge {
    /// The first words of the pairs that may be merged, of one column each.
    fn phrases(&self, current: &WordText, indices: &[usize]) -> Vec<usize> {
        let words: Vec<&str> = current.words().collect();
        if words.len() < 2 || indices.is_empty() {
            return Vec::new();
        }
        let tags = self.tagger.tags(&words);
        let is_asked = |index: usize| indices.binary_search(&index).is_ok();
        let pairs = 0..words.len() - 1;
        pairs
            .filter(|&index| {
                (is_asked(index) || is_asked(index + 1))
                    && current.column_of(index) == current.column_of(index + 1)
                    && may_form_phrase(tags[index], tags[index + 1])
            })
            .collect()
    }
}

fn may_form_phrase(first: UniversalTag, second: UniversalTag) -> bool {
    use UniversalTag::{Adj, Adv, Det, Noun, Num, Pron, Verb};
    match first {
        Noun => second == Noun,
        Adj => matches!(second, Noun | Num | Adj | Adv),
        Adv => matches!(second, Adj | Verb),
        Verb => matches!(second, Adv | Verb | Noun | Adj),
        Det | Pron => matches!(second, Noun | Adj),
        Num => matches!(second, Num | Noun),
        _ => false,
    }
}
