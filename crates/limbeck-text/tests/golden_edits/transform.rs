//! Transformations and constraints against cases made by running `TextAttack`.

use std::collections::HashMap;
use std::sync::Arc;

use limbeck_text::augment::row_generator;
use limbeck_text::constraint::{Constraint, Reference, SamePartOfSpeech};
use limbeck_text::edit::WordText;
use limbeck_text::lexicon::WordNeighbours;
use limbeck_text::transform::{
    LetterDeletion, LetterInsertion, LetterSubstitution, Letters, NeighbourSwap,
    QwertySubstitution, Transformation, Variants, WordVectorSwap,
};
use serde::Deserialize;

use crate::{golden, words};

#[derive(Deserialize)]
struct CharSwaps {
    cases: Vec<HashMap<String, serde_json::Value>>,
}

const ALL: Letters = Letters {
    variants: Variants::All,
    skip_first: false,
    skip_last: false,
};

/// What the transformation makes of a word that stands alone.
fn words_of(transformation: &dyn Transformation, word: &str, seed: u64) -> Vec<String> {
    let text = WordText::new(word);
    assert_eq!(text.word_count(), 1, "{word}");
    let mut rng = row_generator(seed, 0);
    let made = transformation.candidates(&text, &[0], &mut rng).unwrap();
    made.iter().map(|made| made.text().to_owned()).collect()
}

/// Whether the two differ in exactly one letter, at place `at` of `expected`, which is the reference's stand-in `x` for a random one.
fn is_same_but_for(made: &str, expected: &str, at: usize) -> bool {
    let (made, mut expected): (Vec<char>, Vec<char>) =
        (made.chars().collect(), expected.chars().collect());
    assert_eq!(expected[at], 'x');
    made.len() == expected.len() && made[at].is_ascii_alphabetic() && {
        expected[at] = made[at];
        made == expected
    }
}

#[test]
fn golden_letters_change_as_in_textattack() {
    let Some(golden) = golden::read::<CharSwaps>("char_swaps.json") else {
        return;
    };
    let mut exact = 0;
    let mut random = 0;
    for case in &golden.cases {
        let word = case["word"].as_str().unwrap();
        let expected =
            |key: &str| -> Vec<String> { serde_json::from_value(case[key].clone()).unwrap() };
        let others = |key: &str| -> Vec<String> {
            expected(key)
                .into_iter()
                .filter(|new| new != word)
                .collect()
        };
        let inner = Letters::ALL_INNER;
        for (key, made) in [
            ("swap_all", words_of(&NeighbourSwap(ALL), word, 0)),
            ("swap_skip", words_of(&NeighbourSwap(inner), word, 0)),
            ("del_all", words_of(&LetterDeletion(ALL), word, 0)),
            ("del_skip", words_of(&LetterDeletion(inner), word, 0)),
            ("qwerty_all", words_of(&QwertySubstitution(ALL), word, 0)),
            ("qwerty_skip", words_of(&QwertySubstitution(inner), word, 0)),
        ] {
            assert_eq!(made, others(key), "{word} {key}");
            exact += 1;
        }
        for (key, first, made) in [
            ("ins_all", 0, words_of(&LetterInsertion(ALL), word, 1)),
            ("ins_skip", 1, words_of(&LetterInsertion(inner), word, 1)),
        ] {
            let expected = expected(key);
            assert_eq!(made.len(), expected.len(), "{word} {key}");
            for (at, (made, expected)) in made.iter().zip(&expected).enumerate() {
                assert!(
                    is_same_but_for(made, expected, first + at),
                    "{made} {expected}"
                );
            }
            exact += 1;
        }
        // A random letter may be the one that stands there; such a word is left out.
        let expected = expected("sub_all");
        for seed in 0..20 {
            for made in words_of(&LetterSubstitution(ALL), word, seed) {
                let mut places = expected.iter().enumerate();
                let fits = |(at, expected): (usize, &String)| is_same_but_for(&made, expected, at);
                assert!(places.any(fits), "{word} {made}");
            }
        }
        random += check_random(case, word);
    }
    println!("{exact} deterministic sets, {random} recorded random words");
    assert!(exact >= 8 && random > 0);
}

/// The words that the reference drew can be drawn, each is one of those that all places give, and one is drawn per word.
fn check_random(case: &HashMap<String, serde_json::Value>, word: &str) -> usize {
    let recorded: Vec<Vec<String>> =
        serde_json::from_value(case["random_seed7_swap_sub_del_ins"].clone()).unwrap();
    let one = Letters::default();
    let transformations: [&dyn Transformation; 4] = [
        &NeighbourSwap(one),
        &LetterSubstitution(one),
        &LetterDeletion(one),
        &LetterInsertion(one),
    ];
    let mut found = 0;
    for (recorded, transformation) in recorded.iter().zip(transformations) {
        // 8 places of 52 letters: missed in 20,000 draws with probability below e^-48.
        let made: Vec<Vec<String>> = (0..20_000)
            .map(|seed| words_of(transformation, word, seed))
            .collect();
        assert!(made.iter().all(|made| made.len() <= 1), "{word}");
        for expected in recorded.iter().filter(|new| *new != word) {
            assert!(
                made.iter().flatten().any(|made| made == expected),
                "{word} {expected}"
            );
            found += 1;
        }
        if recorded.is_empty() {
            assert!(made.iter().all(Vec::is_empty), "{word}");
        }
    }
    found
}

#[derive(Deserialize)]
struct Neighbours {
    cases: Vec<NeighbourCase>,
}

#[derive(Deserialize)]
struct NeighbourCase {
    word: String,
    candidates: Vec<String>,
    cos: Vec<f64>,
}

#[test]
fn golden_words_have_the_neighbours_of_textattack_in_their_own_case() {
    let (Some(golden), Some(toy)) = (
        golden::read::<Neighbours>("embedding_neighbours.json"),
        words::ToyEmbedding::read(),
    ) else {
        return;
    };
    let vectors = Arc::new(toy);
    let swap = WordVectorSwap {
        vectors: vectors.clone(),
        max_candidates: 50,
    };
    for case in &golden.cases {
        assert_eq!(
            words_of(&swap, &case.word, 0),
            case.candidates,
            "{}",
            case.word
        );
        for (candidate, expected) in case.candidates.iter().zip(&case.cos) {
            let (a, b) = (case.word.to_lowercase(), candidate.to_lowercase());
            let cosine = vectors.cosine(&a, &b).unwrap();
            assert!((f64::from(cosine) - expected).abs() < 1e-6, "{a} {b}");
        }
    }
    println!("{} words", golden.cases.len());
    assert!(!golden.cases.is_empty());
}

#[derive(Deserialize)]
struct PosCases {
    cases: Vec<PosCase>,
}

#[derive(Deserialize)]
struct PosCase {
    from: String,
    to: String,
    index: usize,
    pos_ok_vn: bool,
    pos_ok_strict: bool,
}

#[test]
fn golden_new_words_have_their_part_of_speech_as_in_textattack() {
    let (Some(golden), Some(tagger)) = (
        golden::read::<PosCases>("pos_constraint.json"),
        words::perceptron(),
    ) else {
        return;
    };
    let tagger = Arc::new(tagger);
    for case in &golden.cases {
        let from = WordText::new(&case.from);
        let to = WordText::new(&case.to);
        let candidate = from.replace(case.index, to.word(case.index));
        assert_eq!(candidate.text(), case.to);
        for (allow_verb_noun_swap, expected) in
            [(true, case.pos_ok_vn), (false, case.pos_ok_strict)]
        {
            let constraint = SamePartOfSpeech {
                tagger: tagger.clone(),
                allow_verb_noun_swap,
                reference: Reference::Original,
            };
            let verdicts = constraint.allows(&from, &mut [candidate.clone()]).unwrap();
            assert_eq!(verdicts, [expected], "{} -> {}", case.from, case.to);
        }
    }
    println!("{} cases", golden.cases.len());
    assert!(!golden.cases.is_empty());
}
