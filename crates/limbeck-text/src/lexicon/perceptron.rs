mod digits;
mod read;

use super::string_table::StringTable;
use super::{Tagger, UniversalTag};
use digits::is_digit;

/// More classes than any tag set has.
const CLASS_LIMIT: usize = 64;

/// The contexts before and after a sentence.
const START: [&str; 2] = ["-START-", "-START2-"];
const END: [&str; 2] = ["-END-", "-END2-"];

/// NLTK's averaged perceptron with Penn Treebank tags (`averaged_perceptron_tagger_eng`, trained on the Wall Street Journal).
///
/// A word of the tag dictionary has its one tag; any other the class with the largest sum of the weights of its features, of equals the
/// alphabetically last. The features (Honnibal 2013) are the word, its last three characters and its first, two words to each side and
/// the two tags before. Sums are made in NLTK's order in double precision: the tags are NLTK's, ties included.
#[derive(Debug, Clone)]
pub struct PerceptronTagger {
    /// In the order of code points.
    classes: Vec<String>,
    /// What each class is in the universal tag set.
    universal: Vec<UniversalTag>,
    /// Classes of the words that have one tag only.
    dictionary: StringTable,
    dictionary_classes: Vec<u8>,
    features: StringTable,
    /// The weights of feature `i` are `weights[weight_starts[i]..weight_starts[i + 1]]`: class and weight.
    weight_starts: Vec<u32>,
    weights: Vec<Weight>,
}

#[derive(Debug, Clone, Copy)]
struct Weight {
    class: u8,
    value: f64,
}

impl PerceptronTagger {
    /// The Penn Treebank tag of each word, in order.
    pub fn treebank_tags(&self, words: &[&str]) -> Vec<&str> {
        let classes = self.classes_of(words);
        classes
            .into_iter()
            .map(|class| self.classes[class as usize].as_str())
            .collect()
    }

    fn classes_of(&self, words: &[&str]) -> Vec<u8> {
        let context = Context::new(words);
        let mut tags = Vec::with_capacity(words.len());
        let mut key = String::new();
        for (index, &word) in words.iter().enumerate() {
            let tag = match self.dictionary.get(word) {
                Some(known) => self.dictionary_classes[known as usize],
                None => self.predict(word, index, &context, &tags, &mut key),
            };
            tags.push(tag);
        }
        tags
    }

    fn predict(
        &self,
        word: &str,
        index: usize,
        context: &Context,
        tags: &[u8],
        key: &mut String,
    ) -> u8 {
        let tag_before = |distance: usize| match index.checked_sub(distance) {
            Some(place) => self.classes[tags[place] as usize].as_str(),
            None => START[distance - index - 1],
        };
        let (previous, second_previous) = (tag_before(1), tag_before(2));
        let at = |distance: isize| context.word(index as isize + distance);
        let mut scores = [0.0; CLASS_LIMIT];
        let mut add = |name: &str, parts: &[&str]| self.add(name, parts, key, &mut scores);
        add("bias", &[]);
        add("i suffix", &[last_three(word)]);
        add("i pref1", &[first(word)]);
        add("i-1 tag", &[previous]);
        add("i-2 tag", &[second_previous]);
        add("i tag+i-2 tag", &[previous, second_previous]);
        add("i word", &[at(0)]);
        add("i-1 tag+i word", &[previous, at(0)]);
        add("i-1 word", &[at(-1)]);
        add("i-1 suffix", &[last_three(at(-1))]);
        add("i-2 word", &[at(-2)]);
        add("i+1 word", &[at(1)]);
        add("i+1 suffix", &[last_three(at(1))]);
        add("i+2 word", &[at(2)]);
        let scores = &scores[..self.classes.len()];
        let best = (1..scores.len()).fold(0, |best, class| {
            // The classes are sorted, so the last of equals is the alphabetically last.
            if scores[class] >= scores[best] {
                class
            } else {
                best
            }
        });
        best as u8
    }

    /// Adds the weights of one feature, named by its parts with spaces between.
    fn add(&self, name: &str, parts: &[&str], key: &mut String, scores: &mut [f64; CLASS_LIMIT]) {
        key.clear();
        key.push_str(name);
        for part in parts {
            key.push(' ');
            key.push_str(part);
        }
        let Some(feature) = self.features.get(key) else {
            return;
        };
        let range = self.weight_starts[feature as usize] as usize
            ..self.weight_starts[feature as usize + 1] as usize;
        for weight in &self.weights[range] {
            scores[weight.class as usize] += weight.value;
        }
    }
}

impl Tagger for PerceptronTagger {
    fn tags(&self, words: &[&str]) -> Vec<UniversalTag> {
        let classes = self.classes_of(words);
        classes
            .into_iter()
            .map(|class| self.universal[class as usize])
            .collect()
    }

    fn name(&self) -> &'static str {
        "nltk-perceptron"
    }
}

/// The normal forms of a sentence's words with the marks around them, in one block of memory.
struct Context {
    text: String,
    /// Where each form ends, the two marks of the start first.
    ends: Vec<usize>,
}

impl Context {
    fn new(words: &[&str]) -> Self {
        let mut context = Self {
            text: String::with_capacity(8 * (words.len() + 4)),
            ends: Vec::with_capacity(words.len() + 4),
        };
        START.into_iter().for_each(|mark| context.push(mark));
        for word in words {
            match class_of_form(word) {
                Some(form) => context.push(form),
                None if word.bytes().all(|byte| byte.is_ascii()) => {
                    let start = context.text.len();
                    context.push(word);
                    context.text[start..].make_ascii_lowercase();
                }
                None => context.push(&word.to_lowercase()),
            }
        }
        END.into_iter().for_each(|mark| context.push(mark));
        context
    }

    fn push(&mut self, form: &str) {
        self.text.push_str(form);
        self.ends.push(self.text.len());
    }

    /// The form at a place of the sentence, from -2 to two beyond its end.
    fn word(&self, place: isize) -> &str {
        let index = (place + 2) as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// What stands for all hyphenated words, years and other numbers; `None` for a word that stands for itself.
fn class_of_form(word: &str) -> Option<&'static str> {
    let starts_with_digit = word.chars().next().is_some_and(is_digit);
    if word.contains('-') && !word.starts_with('-') {
        Some("!HYPHEN")
    } else if starts_with_digit && word.chars().count() == 4 && word.chars().all(is_digit) {
        Some("!YEAR")
    } else if starts_with_digit {
        Some("!DIGITS")
    } else {
        None
    }
}

/// The last three characters, or all of fewer.
fn last_three(word: &str) -> &str {
    let start = word
        .char_indices()
        .rev()
        .nth(2)
        .map_or(0, |(start, _)| start);
    &word[start..]
}

/// The first character; empty for an empty word.
fn first(word: &str) -> &str {
    let end = word.chars().next().map_or(0, char::len_utf8);
    &word[..end]
}
