//! Words, meanings and tags from small files of invented entries (`fixtures/wordnet`, `fixtures/perceptron`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use insta::assert_snapshot;
use limbeck_text::TextError;
use limbeck_text::lexicon::{
    BrillTagger, PerceptronTagger, StopWords, Synonyms, Tagger, UniversalTag, WordClass, WordNet,
    adjacent_keys,
};
use proptest::prelude::*;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn wordnet() -> WordNet {
    WordNet::open(&fixture("wordnet")).unwrap()
}

fn perceptron() -> PerceptronTagger {
    PerceptronTagger::open(&fixture("perceptron")).unwrap()
}

/// A copy of a fixture's folder that can be damaged.
fn copy(name: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn check_synonyms(word: &str, expected: &[&str]) {
    assert_eq!(wordnet().synonyms(word), expected, "{word}");
}

#[test]
fn synonyms_come_by_class_and_sense_and_keep_their_spelling() {
    check_synonyms(
        "glim",
        &["lamp_light", "Glimmer", "lantern", "shine", "glimmily"],
    );
    check_synonyms(
        "GLIM",
        &[
            "glim",
            "lamp_light",
            "Glimmer",
            "lantern",
            "shine",
            "glimmily",
        ],
    );
    check_synonyms(
        "glims",
        &["glim", "lamp_light", "Glimmer", "lantern", "shine"],
    );
    check_synonyms("shone", &["glim", "shine"]);
    check_synonyms("Zemlia", &["ZM", "Z"]);
    check_synonyms("zemlia", &["Zemlia", "ZM", "Z"]);
    check_synonyms("lampmen", &["lampman"]);
    check_synonyms("lamp_light", &["glim", "Glimmer"]);
    check_synonyms("lamp light", &[]);
    check_synonyms("unheard", &[]);
    check_synonyms("", &[]);
}

#[test]
fn irregular_forms_go_to_their_bases_alone() {
    let wordnet = wordnet();
    assert_eq!(
        wordnet.base_forms("zaxes", WordClass::Noun),
        ["zax", "zaxis"]
    );
    assert_eq!(wordnet.base_forms("axles", WordClass::Noun), ["axle"]);
    assert_eq!(
        wordnet.base_forms("shines", WordClass::Verb),
        ["shine", "shin"]
    );
    assert_eq!(
        wordnet.base_forms("shining", WordClass::Verb),
        ["shine", "shin"]
    );
    assert_eq!(
        wordnet.base_forms("brighter", WordClass::Adjective),
        ["bright"]
    );
    assert!(
        wordnet
            .base_forms("glimmilys", WordClass::Adverb)
            .is_empty()
    );
}

#[test]
fn synsets_show_offset_kind_and_lemmas() {
    let wordnet = wordnet();
    let shown = |word: &str| -> Vec<String> {
        let each = wordnet.synsets(word).into_iter();
        each.map(|s| {
            format!(
                "{}{:08} {}",
                s.kind(),
                s.offset(),
                s.lemmas().collect::<Vec<_>>().join(" ")
            )
        })
        .collect()
    };
    let data = fs::read_to_string(fixture("wordnet/data.adj")).unwrap();
    let place = data[..data.find("glimmerous").unwrap()]
        .rfind('\n')
        .unwrap()
        + 1;
    assert_eq!(
        shown("radiant"),
        [format!("s{place:08} glimmerous radiant")]
    );
    assert_eq!(wordnet.synset_count(), 13);
}

#[test]
fn antonyms_are_those_of_the_word_and_not_of_its_synonyms() {
    let wordnet = wordnet();
    assert_eq!(wordnet.antonyms("dim"), ["bright"]);
    assert_eq!(wordnet.antonyms("dimly_lit"), ["glimmy"]);
    assert_eq!(wordnet.antonyms("faded"), ["shine"]);
    assert!(wordnet.antonyms("radiant").is_empty());
    let pairs: Vec<_> = wordnet.antonym_pairs().collect();
    assert_eq!(
        pairs,
        [
            ("shine", "fade"),
            ("glimmy", "dimly_lit"),
            ("bright", "dim")
        ]
    );
    let pairs: Vec<_> = wordnet.synonym_pairs().collect();
    assert_eq!(pairs.len(), 3 + 1 + 1 + 3 + 1 + 1 + 1 + 1 + 1 + 1);
    assert_eq!(pairs[..2], [("glim", "lamp_light"), ("glim", "Glimmer")]);
}

#[test]
fn exception_lists_may_be_missing_and_are_named() {
    assert!(wordnet().missing_exceptions().is_empty());
    let copy = copy("wordnet");
    fs::remove_file(copy.path().join("noun.exc")).unwrap();
    fs::remove_file(copy.path().join("adv.exc")).unwrap();
    let wordnet = WordNet::open(copy.path()).unwrap();
    assert_eq!(
        wordnet.missing_exceptions(),
        [WordClass::Noun, WordClass::Adverb]
    );
    assert!(wordnet.base_forms("lampfolk", WordClass::Noun).is_empty());
}

/// What is said where `old` in a file of WordNet is replaced by `new`.
fn with_edit(file: &str, old: &str, new: &str) -> String {
    let copy = copy("wordnet");
    let path = copy.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{old} in {file}");
    fs::write(&path, text.replacen(old, new, 1)).unwrap();
    message(&copy, &WordNet::open(copy.path()).unwrap_err())
}

fn message(folder: &TempDir, error: &TextError) -> String {
    error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn a_bad_line_is_named() {
    assert_snapshot!(with_edit("data.noun", " n 03 glim", " v 03 glim"), @"data.noun:3: type `v`, expected `n`; fetch or make the file again");
    assert_snapshot!(with_edit("data.noun", " n 03 glim", " n 0x glim"), @"data.noun:3: `0x`, expected a count of words in hexadecimal digits; fetch or make the file again");
    assert_snapshot!(with_edit("data.noun", "| a rod", "\n| a rod"), @"data.noun:6: `|`, expected an offset; fetch or make the file again");
    assert_snapshot!(with_edit("data.verb", "! 00000199 v 0201", "! 00000999 v 0201"), @"data.verb:3: an antonym at v999, where no synset is; fetch or make the file again");
    assert_snapshot!(with_edit("data.verb", "v 0201", "v 0301"), @"data.verb:3: an antonym of word 3 in a synset of 2; fetch or make the file again");
    assert_snapshot!(with_edit("data.noun", "00000203 03", "00000003 03"), @"data.noun:4: offset 3 after 116, expected a larger one; fetch or make the file again");
    assert_snapshot!(with_edit("index.noun", "lantern n 1 0 1 0 00000203", "lantern n 1 0 1 0 00000202"), @"index.noun:8: offset 202, where `data.noun` has no synset; fetch or make the file again");
    assert_snapshot!(with_edit("index.noun", "lantern n 1 0", "lantern n 2 0"), @"index.noun:8: the line ends, expected an offset; fetch or make the file again");
    assert_snapshot!(with_edit("index.noun", "lantern n 1 0", "lantern n 0 0"), @"index.noun:8: `00000203` after 0 offsets, expected the end of the line; fetch or make the file again");
    assert_snapshot!(with_edit("index.noun", "lantern n", "alantern n"), @"index.noun:8: `alantern` after `lampman`, expected the order of bytes; fetch or make the file again");
    assert_snapshot!(with_edit("index.adj", "dim a", "dim n"), @"index.adj:4: class `n`, expected `a`; fetch or make the file again");
}

#[test]
fn a_missing_file_and_other_encodings_are_named() {
    let copy = copy("wordnet");
    fs::write(copy.path().join("index.adv"), b"  head\nglim\xe9").unwrap();
    assert_snapshot!(message(&copy, &WordNet::open(copy.path()).unwrap_err()), @"index.adv:2: not valid UTF-8 after byte 4 of the line; convert the file, e.g. with `iconv -t utf-8`");
    fs::remove_file(copy.path().join("data.verb")).unwrap();
    assert_snapshot!(message(&copy, &WordNet::open(copy.path()).unwrap_err()), @"data.verb: no such file; check `path`");
}

#[test]
fn the_perceptron_adds_weights_and_takes_the_last_of_equals() {
    let tagger = perceptron();
    let check = |sentence: &str, expected: &[&str]| {
        let words: Vec<&str> = sentence.split(' ').collect();
        assert_eq!(tagger.treebank_tags(&words), expected, "{sentence}");
    };
    check("the running cat sleeping", &["DT", "NN", "NN", "VB"]);
    check("1999 19999 ١٩٩٩ 19a9", &["CD", "NN", "CD", "NN"]);
    // 0.25 for NN and for VB: of equals the alphabetically last.
    check("well-made -made", &["VB", "NN"]);
    check("\" née\u{301} x", &["``", "NN", "CD"]);
    assert!(tagger.treebank_tags(&[]).is_empty());
    assert_eq!(
        tagger.tags(&["the", "cat"]),
        [UniversalTag::Det, UniversalTag::Noun]
    );
}

#[test]
fn a_bad_model_is_named() {
    let with = |file: &str, contents: &str| {
        let copy = copy("perceptron");
        fs::write(copy.path().join(file), contents).unwrap();
        message(&copy, &PerceptronTagger::open(copy.path()).unwrap_err())
    };
    let [classes, dictionary, weights, map] = PerceptronTagger::FILES;
    assert_snapshot!(with(classes, "[]"), @"averaged_perceptron_tagger_eng.classes.json: 0 tags, expected 1 to 64; fetch or make the file again");
    assert_snapshot!(with(classes, "{"), @"averaged_perceptron_tagger_eng.classes.json:1: invalid type: map, expected a sequence at column 0; fetch or make the file again");
    assert_snapshot!(with(dictionary, r#"{"the": "XX"}"#), @"averaged_perceptron_tagger_eng.tagdict.json: word `the` has tag `XX`, which the classes lack; fetch or make the file again");
    assert_snapshot!(with(weights, "{\"bias\":\n{\"XX\": 1}}"), @"averaged_perceptron_tagger_eng.weights.json:2: tag `XX`, which the classes lack at column 9; fetch or make the file again");
    assert_snapshot!(with(weights, r#"{"bias": {"NN": 1}, "bias": {}}"#), @"averaged_perceptron_tagger_eng.weights.json:1: feature `bias` stands twice at column 26; fetch or make the file again");
    assert_snapshot!(with(weights, r#"{"bias": {"NN": "1"}}"#), @r#"averaged_perceptron_tagger_eng.weights.json:1: invalid type: string "1", expected f64 at column 19; fetch or make the file again"#);
    assert_snapshot!(with(map, "NN\tNOUN\nVB VERB"), @"en-ptb.map:2: `VB VERB`, expected a tag, a tab and a universal tag; fetch or make the file again");
    assert_snapshot!(with(map, "NN\tNAME"), @"en-ptb.map:1: `NAME` is not a universal tag, such as NOUN; fetch or make the file again");
}

#[test]
fn stop_words_are_compared_as_written() {
    let nltk = StopWords::nltk();
    assert_eq!((nltk.len(), StopWords::text_fooler().len()), (179, 266));
    assert!(nltk.contains("the") && nltk.contains("wouldn't") && !nltk.contains("The"));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("words.txt");
    fs::write(&path, "one\r\n\n  Two \n").unwrap();
    let own = StopWords::from_file(&path).unwrap();
    assert!(own.contains("one") && own.contains("Two") && own.len() == 2);
    let missing = StopWords::from_file(&folder.path().join("no.txt")).unwrap_err();
    assert_snapshot!(message(&folder, &missing), @"no.txt: no such file; check `path`");
}

#[test]
fn keys_keep_the_case_of_the_letter() {
    let check = |key: char, expected: &str| {
        assert_eq!(adjacent_keys(key).collect::<String>(), expected, "{key:?}");
    };
    check('a', "qwszx");
    check('P', "OL");
    // The kelvin sign's lower case is `k`; the dotted capital I has two letters in lower case.
    check('\u{212a}', "UIOLMJ");
    check('İ', "");
    check('1', "");
    check('é', "");
}

fn word() -> impl Strategy<Value = String> {
    let suffixed = (
        "(glim|shin|zax|dim|Zemlia|)",
        "(s|ses|ves|xes|zes|ches|shes|men|ies|es|ed|ing|er|est|)",
    )
        .prop_map(|(stem, ending)| stem + &ending);
    prop_oneof![suffixed, "\\PC{0,8}", ".{0,8}", "[a-z]{1,6}"]
}

proptest! {
    #[test]
    fn any_word_can_be_looked_up(word in word()) {
        let wordnet = wordnet();
        let synonyms = wordnet.synonyms(&word);
        prop_assert!(!synonyms.contains(&word));
        let distinct: std::collections::BTreeSet<_> = synonyms.iter().collect();
        prop_assert_eq!(distinct.len(), synonyms.len());
        prop_assert_eq!(wordnet.synsets(&word).is_empty(), WordClass::ALL.iter().all(|&c| wordnet.base_forms(&word, c).is_empty()));
        for class in WordClass::ALL {
            for form in wordnet.base_forms(&word, class) {
                // A base form is listed, so it is its own first base form.
                prop_assert_eq!(wordnet.base_forms(form, class)[0], form);
            }
        }
        for opposite in wordnet.antonyms(&word) {
            prop_assert!(!wordnet.antonyms(opposite).is_empty());
        }
        let _ = adjacent_keys(word.chars().next().unwrap_or('x')).count();
    }

    #[test]
    fn case_does_not_change_the_meanings(word in word()) {
        let wordnet = wordnet();
        let offsets = |word: &str| wordnet.synsets(word).iter().map(|s| (s.kind(), s.offset())).collect::<Vec<_>>();
        prop_assert_eq!(offsets(&word), offsets(&word.to_lowercase()));
    }

    #[test]
    fn every_word_gets_one_tag(words in prop::collection::vec(word(), 0..12)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let taggers: [Box<dyn Tagger>; 2] = [Box::new(perceptron()), Box::new(BrillTagger::default())];
        for tagger in taggers {
            let tags = tagger.tags(&words);
            prop_assert_eq!(tags.len(), words.len());
            prop_assert_eq!(tags, tagger.tags(&words));
        }
    }

    #[test]
    fn damaged_files_give_errors_and_never_panic(
        is_wordnet: bool,
        file: prop::sample::Index,
        place: prop::sample::Index,
        length in 0..12_usize,
        piece in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let copy = copy(if is_wordnet { "wordnet" } else { "perceptron" });
        let mut files: Vec<_> = fs::read_dir(copy.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let path = file.get(&files);
        let mut bytes = fs::read(path).unwrap();
        let start = place.index(bytes.len() + 1);
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, piece);
        fs::write(path, bytes).unwrap();
        let error = if is_wordnet {
            let opened = WordNet::open(copy.path());
            if let Ok(wordnet) = &opened {
                for word in ["glim", "shone", "zaxes", "bright"] {
                    let _ = (wordnet.synonyms(word), wordnet.antonyms(word));
                }
                let _ = wordnet.synonym_pairs().count() + wordnet.antonym_pairs().count();
            }
            opened.err()
        } else {
            let opened = PerceptronTagger::open(copy.path());
            if let Ok(tagger) = &opened {
                let _ = tagger.tags(&["the", "cat", "1999"]);
            }
            opened.err()
        };
        if let Some(error) = error {
            let text = error.to_string();
            // A damaged `data.*` may show first where an index points into it.
            prop_assert!(text.contains(&copy.path().display().to_string()), "{}", text);
        }
    }
}
