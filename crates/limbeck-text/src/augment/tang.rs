use std::collections::HashSet;
use std::sync::Arc;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use super::augmentation::words_of;
use super::{Augmentation, RowAugmenter, TaggedWords, WordChange};
use crate::edit::WordText;
use crate::lexicon::Tagger;
use crate::{BoxError, Text};

const MASK: &str = "[MASK]";

/// Shares of the changes of [`Tang`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TangConfig {
    /// Tries per text; `None` is 20, and 10 for pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Probability that a word becomes `[MASK]`.
    pub mask_probability: f64,
    /// Probability that it becomes a random word of its part of speech.
    pub replace_probability: f64,
    /// Probability that only a random run of words is kept.
    pub window_probability: f64,
    /// The longest run, in words; lengths from 1 are equally likely.
    pub max_window: usize,
}

impl Default for TangConfig {
    fn default() -> Self {
        Self {
            count: None,
            mask_probability: 0.1,
            replace_probability: 0.1,
            window_probability: 0.25,
            max_window: 5,
        }
    }
}

/// The rules of Tang et al. 2019 for transfer sets: masking, replacement by a word of the same part of speech, n-gram sampling.
///
/// A replacement follows the words' frequency in the data set. Of a pair the first text, the second or both are changed, each with
/// probability 1/3. A text of which every word was changed is dropped, as is one that was made before of the same text.
///
/// Differences from the paper's code: words are cut by [`edit`](crate::edit), so punctuation stays in place; parts of speech are the
/// twelve universal ones, not the Penn Treebank's; repeats are looked for within a row's texts, not the whole set's, so that rows do not
/// depend on each other; the last run of words of a text can be drawn too, and a text shorter than the run stays whole.
pub struct Tang {
    words: TaggedWords,
    tagger: Arc<dyn Tagger>,
    config: TangConfig,
}

impl Tang {
    /// Augments by `config` with replacements drawn from `words`.
    pub fn new(words: TaggedWords, tagger: Arc<dyn Tagger>, config: TangConfig) -> Self {
        Self {
            words: words.drawable(),
            tagger,
            config,
        }
    }
}

impl RowAugmenter for Tang {
    fn augment(&self, text: &Text, rng: &mut dyn RngCore) -> Result<Vec<Augmentation>, BoxError> {
        let halves: Vec<WordText> = [Some(&text.first), text.second.as_ref()]
            .into_iter()
            .flatten()
            .map(|half| {
                words_of(&Text {
                    first: half.clone(),
                    second: None,
                })
            })
            .collect();
        let usual = if halves.len() > 1 { 10 } else { 20 };
        let mut known = HashSet::from([text.clone()]);
        let mut made = Vec::new();
        for _ in 0..self.config.count.unwrap_or(usual) {
            if let Some(new) = self.copy(&halves, rng)
                && known.insert(new.text.clone())
            {
                made.push(new);
            }
        }
        Ok(made)
    }
}

impl Tang {
    /// One changed copy; `None` where nothing of a text is left.
    fn copy(&self, halves: &[WordText], rng: &mut dyn RngCore) -> Option<Augmentation> {
        let chosen = if halves.len() > 1 {
            [&[0][..], &[1], &[0, 1]][rng.random_range(0..3)]
        } else {
            &[0]
        };
        let mut texts = Vec::new();
        let mut changes = Vec::new();
        let mut before = 0;
        for (number, half) in halves.iter().enumerate() {
            if chosen.contains(&number) {
                let (text, changed) = self.half(half, rng)?;
                texts.push(text);
                let shifted = changed
                    .into_iter()
                    .map(|WordChange(at, old, new)| WordChange(at + before, old, new));
                changes.extend(shifted);
            } else {
                texts.push(half.text().to_owned());
            }
            before += half.word_count() as u32;
        }
        let mut texts = texts.into_iter();
        Some(Augmentation {
            text: Text {
                first: texts.next()?,
                second: texts.next(),
            },
            changes,
        })
    }

    fn half(&self, text: &WordText, rng: &mut dyn RngCore) -> Option<(String, Vec<WordChange>)> {
        let words: Vec<&str> = text.words().collect();
        if words.is_empty() {
            return Some((text.text().to_owned(), Vec::new()));
        }
        let TangConfig {
            mask_probability,
            replace_probability,
            ..
        } = self.config;
        let tags = self.tagger.tags(&words);
        let mut edits: Vec<(usize, &str)> = Vec::new();
        for (index, &tag) in tags.iter().enumerate() {
            let drawn: f64 = rng.random();
            if drawn < mask_probability {
                edits.push((index, MASK));
            } else if drawn < mask_probability + replace_probability {
                edits.extend(self.words.draw(tag, rng).map(|word| (index, word)));
            }
        }
        if edits.len() == words.len() {
            return None;
        }
        let kept = self.window(words.len(), rng);
        let mut changes = Vec::new();
        for (index, &word) in words.iter().enumerate() {
            let edit = edits.iter().find(|(at, _)| *at == index);
            let new = if kept.contains(&index) {
                edit.map_or(word, |(_, new)| new)
            } else {
                ""
            };
            if new != word {
                changes.push(WordChange(index as u32, word.into(), new.into()));
            }
        }
        edits.retain(|(at, _)| kept.contains(at));
        let edited = text.replace_all(&edits);
        if kept.len() == words.len() {
            return Some((edited.text().to_owned(), changes));
        }
        // What stands before the run is unchanged, so it starts where it did; what stands after it is as long as before.
        let start = text.span(kept.start).start;
        let after = text.text().len() - text.span(kept.end - 1).end;
        let end = edited.text().len() - after;
        Some((edited.text()[start..end].to_owned(), changes))
    }

    /// The words that stay.
    fn window(&self, count: usize, rng: &mut dyn RngCore) -> std::ops::Range<usize> {
        if !rng.random_bool(self.config.window_probability) {
            return 0..count;
        }
        let length = rng.random_range(1..=self.config.max_window.max(1));
        if length >= count {
            return 0..count;
        }
        let start = rng.random_range(0..=count - length);
        start..start + length
    }
}
