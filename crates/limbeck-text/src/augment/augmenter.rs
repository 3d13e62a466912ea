use std::collections::HashSet;

use rand::seq::index;
use rand::{Rng, RngCore};

use super::augmentation::words_of;
use super::{Augmentation, RowAugmenter};
use crate::edit::WordText;
use crate::{BoxError, EditSpace, Text};

/// Tries for each text asked for.
const TRIES: usize = 3;

/// Edits random words of a text, `TextAttack` 0.3.11's base augmenter.
///
/// One try starts from the text and takes one random step of the edit space after another until enough words are changed. A try may end
/// early, where no step is left; its text counts all the same.
#[derive(Clone)]
pub struct Augmenter {
    /// The steps.
    pub space: EditSpace,
    /// How many, and how many texts.
    pub settings: AugmentSettings,
}

/// How far an [`Augmenter`] goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AugmentSettings {
    /// Share of the words that is changed, in `[0, 1]`; at least one word.
    pub word_fraction: f64,
    /// New texts per text, at least 1.
    pub count: usize,
    /// Whether all that a try's last step offers is kept: far more texts, all alike.
    pub high_yield: bool,
    /// As `high_yield`, but stops as soon as there are `count`, and keeps a random `count`.
    pub fast: bool,
}

impl Default for AugmentSettings {
    fn default() -> Self {
        Self {
            word_fraction: 0.1,
            count: 1,
            high_yield: false,
            fast: false,
        }
    }
}

impl AugmentSettings {
    /// How many words of so many are changed: the share rounded down, at least one.
    pub fn words_to_change(&self, word_count: usize) -> usize {
        ((self.word_fraction * word_count as f64) as usize).max(1)
    }
}

impl RowAugmenter for Augmenter {
    fn augment(&self, text: &Text, rng: &mut dyn RngCore) -> Result<Vec<Augmentation>, BoxError> {
        let original = words_of(text);
        let texts = self.texts(&original, rng)?;
        Ok(texts
            .iter()
            .map(|new| Augmentation::of_words(&original, new))
            .collect())
    }
}

impl Augmenter {
    /// New texts, sorted by their characters, each once.
    ///
    /// `original` is among them where a try found nothing to change, or under `high_yield` or `fast` changed all it could at once.
    pub fn texts(
        &self,
        original: &WordText,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<WordText>, BoxError> {
        let AugmentSettings {
            count,
            high_yield,
            fast,
            ..
        } = self.settings;
        let target = self.settings.words_to_change(original.word_count());
        let mut found = Found::default();
        // What can be done to the original is the same for every try, unless it is drawn.
        let is_deterministic = self.space.transformation.is_deterministic();
        let mut first_edits = None;
        let mut tries = 0;
        while (tries < count || found.texts.len() < count) && tries < TRIES * count {
            tries += 1;
            let mut current = original.clone();
            let mut changed = current.modified().len();
            while changed < target {
                let next = if high_yield || fast {
                    self.step_keeping_all(&current, original, target, &mut found, rng)?
                } else {
                    let is_first = changed == 0 && is_deterministic;
                    let fresh;
                    let edits = match &first_edits {
                        Some(edits) if is_first => edits,
                        _ => {
                            fresh = self.space.edits(&current, None, rng)?;
                            if is_first {
                                first_edits.insert(fresh)
                            } else {
                                &fresh
                            }
                        }
                    };
                    let is_new = |text: &WordText| !found.has(text);
                    self.space.draw(edits, &current, original, is_new, rng)?
                };
                let Some(next) = next else {
                    break;
                };
                changed = next.modified().len().max(changed + 1);
                current = next;
            }
            found.add(current);
            if fast && found.texts.len() >= count {
                if !high_yield {
                    found.keep_some(count, rng);
                }
                break;
            }
        }
        let mut texts = found.texts;
        texts.sort_unstable_by(|a, b| a.text().cmp(b.text()));
        Ok(texts)
    }

    /// Keeps every text one step away that has enough changed words; goes on from a random other.
    fn step_keeping_all(
        &self,
        current: &WordText,
        original: &WordText,
        target: usize,
        found: &mut Found,
        rng: &mut dyn RngCore,
    ) -> Result<Option<WordText>, BoxError> {
        let mut texts = self.space.unfiltered(current, None, rng)?;
        texts.retain(|text| !found.has(text));
        let texts = self.space.filtered(current, original, texts)?;
        let is_ready = |text: &WordText| text.modified().len() >= target;
        let (ready, mut unfinished): (Vec<_>, Vec<_>) = texts.into_iter().partition(is_ready);
        for text in ready {
            found.add(text);
        }
        unfinished.retain(|text| !found.has(text));
        if unfinished.is_empty() {
            return Ok(None);
        }
        let drawn = rng.random_range(0..unfinished.len());
        Ok(Some(unfinished.swap_remove(drawn)))
    }
}

/// The texts so far, each once.
#[derive(Default)]
struct Found {
    texts: Vec<WordText>,
    known: HashSet<String>,
}

impl Found {
    fn has(&self, text: &WordText) -> bool {
        self.known.contains(text.text())
    }

    fn add(&mut self, text: WordText) {
        if self.known.insert(text.text().to_owned()) {
            self.texts.push(text);
        }
    }

    fn keep_some(&mut self, count: usize, rng: &mut dyn RngCore) {
        let mut rng = rng;
        let kept = index::sample(&mut rng, self.texts.len(), count);
        self.texts = kept.iter().map(|at| self.texts[at].clone()).collect();
    }
}
