mod basic_tokenizer;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use super::{Augmentation, RowAugmenter, WordChange};
use crate::lexicon::{StopWords, WordNeighbours};
use crate::{BoxError, Filling, Gap, GlueTask, MaskedLm, Text};
use basic_tokenizer::{Casing, basic_tokens};

/// Settings of [`TinyBert`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TinyBertConfig {
    /// Tries per text, of each text of a pair; `None` is the paper's number for the GLUE task, and 30 for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Candidates for a word.
    pub max_candidates: usize,
    /// Probability that a word is replaced.
    pub replace_probability: f64,
    /// Whether the model's vocabulary is in lower case, and so the new texts.
    pub lower_case: bool,
}

impl Default for TinyBertConfig {
    fn default() -> Self {
        Self {
            count: None,
            max_candidates: 15,
            replace_probability: 0.4,
            lower_case: true,
        }
    }
}

impl TinyBertConfig {
    /// The number of tries: the setting, or else that of Jiao et al. 2020 for `task`.
    pub fn count_for(&self, task: Option<GlueTask>) -> usize {
        self.count.unwrap_or(match task {
            Some(GlueTask::Sst2 | GlueTask::Qnli) => 20,
            Some(GlueTask::Mnli | GlueTask::MnliMismatched | GlueTask::Qqp) => 10,
            _ => 30,
        })
    }
}

/// The data augmentation of `TinyBERT` (Jiao et al. 2020, algorithm 1).
///
/// For each word outside the stop list: a word of one piece gets the model's tokens for its gap, the text itself being the second sentence
/// of the input; a word of several pieces gets its nearest words by their vectors. A try draws a candidate for each word and takes it with
/// probability `p`.
///
/// New texts are the words and punctuation marks of the text with spaces between. Of a pair each text is changed beside the other's
/// original; the authors' code overwrites the row, so that the first stays at its last change. Accents are kept.
pub struct TinyBert {
    /// The model for words of one piece.
    pub model: Arc<dyn MaskedLm>,
    /// The vectors for words of several.
    pub vectors: Arc<dyn WordNeighbours>,
    /// Words that stay, in lower case.
    pub stop_words: StopWords,
    /// Tries per text, of each text of a pair.
    pub count: usize,
    /// The other settings; its `count` is not looked at.
    pub config: TinyBertConfig,
}

impl RowAugmenter for TinyBert {
    fn augment(&self, text: &Text, rng: &mut dyn RngCore) -> Result<Vec<Augmentation>, BoxError> {
        let mut made = Vec::new();
        for (new, changes) in self.sentences(&text.first, rng)? {
            let text = Text {
                first: new,
                second: text.second.clone(),
            };
            made.push(Augmentation { text, changes });
        }
        let Some(second) = &text.second else {
            return Ok(made);
        };
        let before = self.tokens(&text.first).len() as u32;
        for (new, mut changes) in self.sentences(second, rng)? {
            for change in &mut changes {
                change.0 += before;
            }
            let text = Text {
                first: text.first.clone(),
                second: Some(new),
            };
            made.push(Augmentation { text, changes });
        }
        Ok(made)
    }
}

impl TinyBert {
    fn tokens(&self, sentence: &str) -> Vec<String> {
        let casing = if self.config.lower_case {
            Casing::Lower
        } else {
            Casing::Kept
        };
        basic_tokens(sentence, casing)
    }

    /// New sentences, each once, in the order in which they were drawn.
    fn sentences(
        &self,
        sentence: &str,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<(String, Vec<WordChange>)>, BoxError> {
        let tokens = self.tokens(sentence);
        let candidates = self.candidates(sentence, &tokens)?;
        let mut known = HashSet::from([sentence.to_owned()]);
        let mut made = Vec::new();
        for _ in 0..self.count {
            let mut new = tokens.clone();
            let mut changes = Vec::new();
            for (&index, words) in &candidates {
                let drawn = &words[rng.random_range(0..words.len())];
                if rng.random::<f64>() < self.config.replace_probability && *drawn != tokens[index]
                {
                    let old = tokens[index].clone();
                    changes.push(WordChange(index as u32, old, drawn.clone()));
                    new[index].clone_from(drawn);
                }
            }
            let joined = new.join(" ");
            if known.insert(joined.clone()) {
                made.push((joined, changes));
            }
        }
        Ok(made)
    }

    /// What may stand for each word that may be replaced; never empty.
    fn candidates(
        &self,
        sentence: &str,
        tokens: &[String],
    ) -> Result<BTreeMap<usize, Vec<String>>, BoxError> {
        let mut candidates = BTreeMap::new();
        let mut in_gaps = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let is_plain = token.bytes().all(|byte| byte.is_ascii_alphabetic());
            if !is_plain || self.stop_words.contains(&token.to_lowercase()) {
                continue;
            }
            if self.model.piece_count(token)? == 1 {
                in_gaps.push(index);
            } else {
                candidates.insert(index, self.neighbours(token));
            }
        }
        for (index, words) in in_gaps.iter().zip(self.fill(sentence, tokens, &in_gaps)?) {
            candidates.insert(*index, words);
        }
        for (&index, words) in &mut candidates {
            if words.is_empty() {
                words.push(tokens[index].clone());
            }
        }
        Ok(candidates)
    }

    fn fill(
        &self,
        sentence: &str,
        tokens: &[String],
        indices: &[usize],
    ) -> Result<Vec<Vec<String>>, BoxError> {
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let around: Vec<(String, String)> = indices
            .iter()
            .map(|&index| {
                let before = tokens[..index].iter().map(|token| format!("{token} "));
                let after = tokens[index + 1..].iter().map(|token| format!(" {token}"));
                (before.collect(), after.collect())
            })
            .collect();
        let gaps: Vec<Gap<'_>> = around
            .iter()
            .map(|(before, after)| Gap {
                before,
                after,
                second: Some(sentence),
            })
            .collect();
        let filled = self
            .model
            .fill(&gaps, self.config.max_candidates, &|_| true)?;
        let whole = |filling: Filling| (!filling.continues).then_some(filling.token);
        Ok(filled
            .into_iter()
            .map(|fillings| fillings.into_iter().filter_map(whole).collect())
            .collect())
    }

    /// The nearest words, with a capital for a word with one.
    fn neighbours(&self, token: &str) -> Vec<String> {
        let count = self.config.max_candidates;
        let mut letters = token.chars();
        let is_title = letters.next().is_some_and(char::is_uppercase)
            && !letters.as_str().contains(char::is_uppercase);
        let lower = token.to_lowercase();
        let mut found = self.vectors.neighbours(token, count);
        if found.is_empty() && lower != token {
            found = self.vectors.neighbours(&lower, count);
        }
        let cased = |word: &str| {
            if !is_title {
                return word.to_owned();
            }
            let mut letters = word.chars();
            let first = letters.next().map(char::to_uppercase);
            first.into_iter().flatten().chain(letters).collect()
        };
        found.into_iter().map(cased).collect()
    }
}
