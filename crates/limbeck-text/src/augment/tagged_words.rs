use std::collections::BTreeMap;

use rand::{Rng, RngCore};

use super::augmentation::words_of;
use crate::Text;
use crate::lexicon::{Tagger, UniversalTag};

/// The words of a data set by their part of speech, each as often as it occurs.
#[derive(Clone, Debug, Default)]
pub struct TaggedWords {
    counts: BTreeMap<UniversalTag, BTreeMap<String, u64>>,
    drawable: BTreeMap<UniversalTag, Vec<(u64, String)>>,
}

impl TaggedWords {
    /// The words of `texts`, tagged sentence by sentence.
    pub fn count<'a>(texts: impl IntoIterator<Item = &'a Text>, tagger: &dyn Tagger) -> Self {
        let mut words = Self::default();
        for text in texts {
            for (word, tag) in tagged(text, tagger) {
                *words
                    .counts
                    .entry(tag)
                    .or_default()
                    .entry(word)
                    .or_default() += 1;
            }
        }
        words
    }

    /// The words of both.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        for (tag, words) in other.counts {
            let known = self.counts.entry(tag).or_default();
            for (word, count) in words {
                *known.entry(word).or_default() += count;
            }
        }
        self
    }

    /// Ready to be drawn from.
    pub(super) fn drawable(mut self) -> Self {
        for (tag, words) in std::mem::take(&mut self.counts) {
            let mut below = 0;
            let cumulated = words.into_iter().map(|(word, count)| {
                below += count;
                (below, word)
            });
            self.drawable.insert(tag, cumulated.collect());
        }
        self
    }

    /// A word of this part of speech, as likely as it is frequent among them.
    pub(super) fn draw(&self, tag: UniversalTag, rng: &mut dyn RngCore) -> Option<&str> {
        let words = self.drawable.get(&tag)?;
        let (total, _) = words.last()?;
        let drawn = rng.random_range(0..*total);
        let place = words.partition_point(|(below, _)| *below <= drawn);
        Some(&words[place].1)
    }
}

/// The words of a text, or of both texts of a pair, each text tagged by itself.
fn tagged(text: &Text, tagger: &dyn Tagger) -> Vec<(String, UniversalTag)> {
    let mut all = Vec::new();
    for half in [Some(&text.first), text.second.as_ref()]
        .into_iter()
        .flatten()
    {
        let half = words_of(&Text {
            first: half.clone(),
            second: None,
        });
        let words: Vec<&str> = half.words().collect();
        let tags = tagger.tags(&words);
        all.extend(words.into_iter().map(str::to_owned).zip(tags));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::row_generator;

    struct ByLength;

    impl Tagger for ByLength {
        fn tags(&self, words: &[&str]) -> Vec<UniversalTag> {
            let tag = |word: &&str| {
                if word.len() == 1 {
                    UniversalTag::Det
                } else {
                    UniversalTag::Noun
                }
            };
            words.iter().map(tag).collect()
        }

        fn name(&self) -> &'static str {
            "by length"
        }
    }

    #[test]
    fn words_are_drawn_as_often_as_they_occur() {
        let texts = ["a film", "a film", "a film", "a plot"].map(|text| Text {
            first: text.into(),
            second: None,
        });
        let (front, back) = texts.split_at(2);
        let words =
            TaggedWords::count(front, &ByLength).joined(TaggedWords::count(back, &ByLength));
        let words = words.drawable();
        let mut rng = row_generator(0, 0);
        let draws = (0..4000).filter(|_| words.draw(UniversalTag::Noun, &mut rng) == Some("film"));
        let share = draws.count() as f64 / 4000.0;
        // Four standard deviations of a share of 3/4 over 4,000 draws.
        assert!(
            (share - 0.75).abs() < 4.0 * (0.75_f64 * 0.25 / 4000.0).sqrt(),
            "{share}"
        );
        assert_eq!(words.draw(UniversalTag::Det, &mut rng), Some("a"));
        assert_eq!(words.draw(UniversalTag::Verb, &mut rng), None);
    }
}
