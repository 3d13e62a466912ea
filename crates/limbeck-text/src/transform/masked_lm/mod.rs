//! Words that a masked language model puts in a gap.

mod gaps;
mod insert;
mod merge;
mod replace;
mod replace_and_insert;

use serde::{Deserialize, Serialize};

use crate::edit::{WordText, is_one_word};
use crate::{BoxError, Filling, Gap, MaskedLm};
use gaps::Around;

pub use insert::{MaskedInsert, Side};
pub use merge::MaskedMerge;
pub use replace::MaskedReplace;
pub use replace_and_insert::MaskedReplaceAndInsert;

/// Which of a model's tokens are taken.
///
/// A token has to be one word and to have a Latin letter; pieces of words count as words, as in `TextAttack`. Its case is the model's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Fillings {
    /// The most probable that are taken for a gap.
    pub max_candidates: usize,
    /// The least probability, in `[0, 1]`.
    pub min_confidence: f32,
}

impl Default for Fillings {
    fn default() -> Self {
        Self {
            max_candidates: 50,
            min_confidence: 0.0,
        }
    }
}

impl Fillings {
    /// Words for each gap, most probable first.
    ///
    /// The limit counts what is one word; those without a Latin letter are left out afterwards.
    fn of(self, model: &dyn MaskedLm, gaps: &[Gap<'_>]) -> Result<Vec<Vec<String>>, BoxError> {
        if gaps.is_empty() {
            return Ok(Vec::new());
        }
        let accept = |filling: &Filling| {
            let is_punctuation = filling.token.chars().all(|c| c.is_ascii_punctuation());
            filling.probability >= self.min_confidence
                && !is_punctuation
                && is_one_word(&filling.token)
        };
        let filled = model.fill(gaps, self.max_candidates, &accept)?;
        if filled.len() != gaps.len() {
            return Err(format!(
                "masked language model `{}`: {} answers for {} gaps",
                model.name(),
                filled.len(),
                gaps.len()
            )
            .into());
        }
        let has_letter = |token: &String| token.contains(|c: char| c.is_ascii_alphabetic());
        let tokens = |fillings: Vec<Filling>| {
            let tokens = fillings.into_iter().map(|filling| filling.token);
            tokens.filter(has_letter).collect()
        };
        Ok(filled.into_iter().map(tokens).collect())
    }

    /// Words for the gap that `around` makes of each of `indices`, with the index; never the word that stands there.
    fn other_words<'a>(
        self,
        model: &dyn MaskedLm,
        current: &'a WordText,
        indices: &[usize],
        around: impl Fn(usize) -> Around<'a>,
    ) -> Result<Vec<(usize, String)>, BoxError> {
        let around: Vec<Around<'_>> = indices.iter().map(|&index| around(index)).collect();
        let gaps: Vec<Gap<'_>> = around.iter().map(Around::gap).collect();
        let mut words = Vec::new();
        for (&index, tokens) in indices.iter().zip(self.of(model, &gaps)?) {
            let others = tokens.into_iter().filter(|new| new != current.word(index));
            words.extend(others.map(|new| (index, new)));
        }
        Ok(words)
    }
}
