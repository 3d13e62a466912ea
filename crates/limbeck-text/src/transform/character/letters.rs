use std::ops::Range;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

/// Which letters of a word are changed, and into how many words.
///
/// Words of one letter are left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Letters {
    /// One word per word, at a random letter, or every possible one.
    pub variants: Variants,
    /// Whether the first letter stays.
    pub skip_first: bool,
    /// Whether the last letter stays.
    pub skip_last: bool,
}

/// How many words are made of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variants {
    /// One, changed at a random place.
    #[default]
    RandomOne,
    /// One for each place.
    All,
}

impl Letters {
    /// Every place, but neither the first nor the last letter.
    pub const ALL_INNER: Self = Self {
        variants: Variants::All,
        skip_first: true,
        skip_last: true,
    };

    /// The letters of `word`, and the places at which it is changed, each of `0..end` where `end` is its letters less `margin`.
    pub(super) fn places(
        self,
        word: &str,
        margin: usize,
        rng: &mut dyn RngCore,
    ) -> (Vec<char>, Range<usize>) {
        let letters: Vec<char> = word.chars().collect();
        let start = usize::from(self.skip_first);
        let end = letters
            .len()
            .saturating_sub(margin + usize::from(self.skip_last));
        let places = if letters.len() <= 1 || start >= end {
            0..0
        } else {
            match self.variants {
                Variants::All => start..end,
                Variants::RandomOne => {
                    let place = rng.random_range(start..end);
                    place..place + 1
                }
            }
        };
        (letters, places)
    }
}

/// One of the 52 letters of the English alphabet, small or capital.
pub(super) fn random_letter(rng: &mut dyn RngCore) -> char {
    const ALPHABET: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])
}

/// `letters` with those in `cut` replaced by `new`.
pub(super) fn spliced(letters: &[char], cut: Range<usize>, new: &[char]) -> String {
    let kept = letters[..cut.start].iter();
    kept.chain(new).chain(&letters[cut.end..]).collect()
}
