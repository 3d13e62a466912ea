use std::sync::Arc;

use harper_brill::{BrillTagger as Model, FreqDict, Tagger as _, UPOS, brill_tagger};

use super::{Tagger, UniversalTag};

/// A transformation-based tagger (Brill 1992) that needs no file: the model of the grammar checker Harper, part of this program.
///
/// A word has its most frequent tag in Universal Dependencies' English treebanks, which 201 rules change by its neighbours; a word that
/// is not among the model's is guessed from its letters. It gives 91.0 % of SST-2 dev's 17,046 tokens the tag that
/// [`PerceptronTagger`](super::PerceptronTagger) gives (CoLA train 91.3 %, WikiText-2 test 89.2 %): close, but results are not those
/// of NLTK's tagger.
#[derive(Clone)]
pub struct BrillTagger(Arc<Model<FreqDict>>);

impl Default for BrillTagger {
    fn default() -> Self {
        Self(brill_tagger())
    }
}

impl Tagger for BrillTagger {
    fn tags(&self, words: &[&str]) -> Vec<UniversalTag> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let tags = self.0.tag_sentence(&words);
        let tagged = words.iter().zip(tags);
        tagged
            .map(|(word, tag)| {
                let word = word.to_lowercase();
                tag.map_or_else(|| guess(&word), |tag| universal(&word, tag))
            })
            .collect()
    }

    fn name(&self) -> &'static str {
        "harper-brill"
    }
}

/// The tag of Petrov et al. (2012) for a word in lower case that has a tag of Universal Dependencies.
///
/// The older set follows the Penn Treebank, which counts some function words to other classes.
fn universal(word: &str, tag: UPOS) -> UniversalTag {
    match (tag, word) {
        (_, "to") => UniversalTag::Prt,
        (UPOS::PART, "not" | "n't") => UniversalTag::Adv,
        (UPOS::PRON, "this" | "that" | "these" | "those" | "which" | "whichever" | "there")
        | (UPOS::CCONJ, "both" | "either" | "neither") => UniversalTag::Det,
        (UPOS::PRON, "none") => UniversalTag::Noun,
        (UPOS::PRON, word)
            if ["thing", "one", "body"]
                .iter()
                .any(|ending| word.ends_with(ending)) =>
        {
            UniversalTag::Noun
        }
        (UPOS::ADJ, _) => UniversalTag::Adj,
        (UPOS::ADP | UPOS::SCONJ, _) => UniversalTag::Adp,
        (UPOS::ADV, _) => UniversalTag::Adv,
        (UPOS::AUX | UPOS::VERB, _) => UniversalTag::Verb,
        (UPOS::CCONJ, _) => UniversalTag::Conj,
        (UPOS::DET, _) => UniversalTag::Det,
        (UPOS::NOUN | UPOS::PROPN, _) => UniversalTag::Noun,
        (UPOS::NUM, _) => UniversalTag::Num,
        (UPOS::PART, _) => UniversalTag::Prt,
        (UPOS::PRON, _) => UniversalTag::Pron,
        (UPOS::PUNCT, _) => UniversalTag::Punctuation,
        (UPOS::INTJ | UPOS::SYM, _) => UniversalTag::X,
    }
}

/// The tag of a word in lower case that the model does not know, by its letters.
fn guess(word: &str) -> UniversalTag {
    if !word.chars().any(char::is_alphanumeric) {
        return UniversalTag::Punctuation;
    }
    if word.starts_with(char::is_numeric) {
        return UniversalTag::Num;
    }
    if word.contains('-') {
        return UniversalTag::Adj;
    }
    let of_ending = ENDINGS
        .iter()
        .find(|(_, endings)| endings.iter().any(|ending| word.ends_with(ending)));
    of_ending.map_or(UniversalTag::Noun, |&(tag, _)| tag)
}

/// Endings that in English mostly make words of one class.
const ENDINGS: [(UniversalTag, &[&str]); 3] = [
    (UniversalTag::Adv, &["ly"]),
    (
        UniversalTag::Verb,
        &["ing", "ed", "ize", "ise", "ify", "izes", "ises", "ifies"],
    ),
    (
        UniversalTag::Adj,
        &[
            "able", "ible", "al", "ary", "esque", "est", "ful", "ic", "ish", "ive", "less", "ous",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sentence: &str, expected: &[UniversalTag]) {
        let words: Vec<&str> = sentence.split(' ').collect();
        assert_eq!(BrillTagger::default().tags(&words), expected, "{sentence}");
    }

    #[test]
    fn known_words_follow_the_older_set() {
        use UniversalTag::{Adj, Adp, Adv, Conj, Det, Noun, Pron, Prt, Punctuation, Verb};
        check(
            "this is a good movie .",
            &[Det, Verb, Det, Adj, Noun, Punctuation],
        );
        check("nothing is not said", &[Noun, Verb, Adv, Verb]);
        check("I want to see it", &[Pron, Verb, Prt, Verb, Pron]);
        check("music and books about cats", &[Noun, Conj, Noun, Adp, Noun]);
    }

    #[test]
    fn unknown_words_are_guessed_from_their_letters() {
        use UniversalTag::{Adj, Adv, Noun, Num, Punctuation, Verb};
        let cases = [
            ("blorply", Adv),
            ("blorping", Verb),
            ("blorpless", Adj),
            ("blorp-like", Adj),
            ("blorp", Noun),
        ];
        for (word, tag) in
            cases
                .into_iter()
                .chain([("4711x", Num), ("~~", Punctuation), ("", Punctuation)])
        {
            check(word, &[tag]);
        }
    }
}
