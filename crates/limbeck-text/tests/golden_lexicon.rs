//! What NLTK and `TextAttack` computed, where it is at hand: `LIMBECK_GOLDEN_DIR`, or `shared/golden` beside the workspace.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limbeck_text::lexicon::{
    PerceptronTagger, StopWords, Synonyms, Tagger, UniversalTag, WordClass, WordNet, adjacent_keys,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A file of reference results; `None`, with a note, where it is not at hand.
fn golden<T: DeserializeOwned>(file: &str) -> Option<T> {
    let folder = folder("LIMBECK_GOLDEN_DIR", &["../shared/golden"])?;
    let text = fs_err::read_to_string(folder.join(file));
    if text.is_err() {
        eprintln!("skipped: no {file} in {}", folder.display());
    }
    Some(serde_json::from_str(&text.ok()?).unwrap())
}

/// A folder by its variable, or the first that is there of some below the workspace.
fn folder(variable: &str, usual: &[&str]) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os(variable).map(PathBuf::from);
    let mut places = named
        .into_iter()
        .chain(usual.iter().map(|place| workspace.join(place)));
    let found = places.find(|place| place.is_dir());
    if found.is_none() {
        eprintln!("skipped: `{variable}` names no folder and none of {usual:?} is there");
    }
    found
}

fn wordnet() -> Option<WordNet> {
    let folder = folder("LIMBECK_WORDNET_DIR", &[".limbeck/lexicon/wordnet"])?;
    Some(WordNet::open(&folder).unwrap())
}

fn perceptron() -> Option<PerceptronTagger> {
    let places = [
        ".limbeck/lexicon/nltk-tagger",
        "../shared/data/lexicon/nltk-perceptron",
    ];
    let folder = folder("LIMBECK_NLTK_TAGGER_DIR", &places)?;
    Some(PerceptronTagger::open(&folder).unwrap())
}

#[derive(Deserialize)]
struct WordNetCases {
    words: BTreeMap<String, WordNetCase>,
}

#[derive(Deserialize)]
struct WordNetCase {
    synset_offsets: Vec<String>,
    morphy: BTreeMap<String, Vec<String>>,
    swap_candidates_sorted: Vec<String>,
    insert_candidates_sorted: Vec<String>,
}

#[test]
fn golden_wordnet_words_have_the_meanings_and_synonyms_of_nltk() {
    let (Some(cases), Some(wordnet)) = (golden::<WordNetCases>("wordnet.json"), wordnet()) else {
        return;
    };
    if !wordnet.missing_exceptions().is_empty() {
        eprintln!("skipped: this WordNet lacks the exception lists that the reference had");
        return;
    }
    let places: BTreeMap<_, _> = WordClass::ALL
        .map(|class| (class.letter().to_string(), class))
        .into();
    assert!(!cases.words.is_empty());
    for (word, case) in &cases.words {
        let synsets = wordnet.synsets(word);
        let found: Vec<_> = synsets
            .iter()
            .map(|s| format!("{}{:08}", s.kind(), s.offset()))
            .collect();
        assert_eq!(found, case.synset_offsets, "{word}");
        for (letter, forms) in &case.morphy {
            assert_eq!(
                &wordnet.base_forms(word, places[letter]),
                forms,
                "{word} as {letter}"
            );
        }
        let synonyms = wordnet.synonyms(word);
        assert_eq!(
            sorted(synonyms.iter().filter(|lemma| is_one_word(lemma))),
            case.swap_candidates_sorted,
            "{word}"
        );
        let is_letters = |lemma: &&String| lemma.chars().all(char::is_alphabetic);
        assert_eq!(
            sorted(synonyms.iter().filter(is_letters)),
            case.insert_candidates_sorted,
            "{word}"
        );
    }
    eprintln!("{} words", cases.words.len());
}

/// No `_` and one word by the specification's rule: one run of letters, digits and `'-*@`, none of these marks at its ends.
fn is_one_word(lemma: &str) -> bool {
    let is_mark = |c: char| "'-*@".contains(c);
    let is_inner = |c: char| c.is_alphanumeric() || is_mark(c);
    let runs = lemma
        .split(|c: char| !is_inner(c))
        .map(|run| run.trim_matches(is_mark));
    !lemma.contains('_') && runs.filter(|run| !run.is_empty()).count() == 1
}

fn sorted<'a>(words: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut words: Vec<_> = words.map(String::as_str).collect();
    words.sort_unstable();
    words
}

#[derive(Deserialize)]
struct TagCases {
    cases: Vec<TagCase>,
}

#[derive(Deserialize)]
struct TagCase {
    words: Vec<String>,
    ptb: Vec<String>,
    universal: Vec<UniversalTag>,
}

#[test]
fn golden_tags_are_those_of_nltk() {
    let (Some(cases), Some(tagger)) = (golden::<TagCases>("pos_tags_nltk.json"), perceptron())
    else {
        return;
    };
    assert!(!cases.cases.is_empty());
    for case in &cases.cases {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        assert_eq!(tagger.treebank_tags(&words), case.ptb, "{words:?}");
        assert_eq!(tagger.tags(&words), case.universal, "{words:?}");
    }
    eprintln!("{} sentences", cases.cases.len());
}

#[test]
fn golden_stop_words_are_those_of_textfooler() {
    let Some(words) = golden::<Vec<String>>("textfooler_stopwords.json") else {
        return;
    };
    assert_eq!(StopWords::text_fooler(), words.into_iter().collect());
}

#[derive(Deserialize)]
struct CharacterCases {
    qwerty: BTreeMap<char, Vec<char>>,
}

#[test]
fn golden_keys_are_next_to_those_of_the_reference() {
    let Some(cases) = golden::<CharacterCases>("char_swaps.json") else {
        return;
    };
    for code in 0..=0x7f_u8 {
        let key = char::from(code);
        let expected = cases
            .qwerty
            .get(&key.to_ascii_lowercase())
            .cloned()
            .unwrap_or_default();
        let found: Vec<char> = adjacent_keys(key).collect();
        let expected: Vec<char> = if key.is_ascii_uppercase() {
            expected.iter().map(char::to_ascii_uppercase).collect()
        } else {
            expected
        };
        assert_eq!(found, expected, "{key:?}");
    }
}
