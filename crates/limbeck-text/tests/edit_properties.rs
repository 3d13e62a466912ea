//! What holds for all texts, transformations and constraints.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use limbeck_text::augment::{
    AugmentRecipe, AugmentSettings, Augmenter, CountSettings, TaggedWords, row_generator,
};
use limbeck_text::edit::WordText;
use limbeck_text::lexicon::{Synonyms, Tagger, UniversalTag, WordNeighbours};
use limbeck_text::transform::{
    Composite, Edit, EditKind, LetterDeletion, Letters, NeighbourSwap, Transformation, Variants,
};
use limbeck_text::{
    BoxError, EditSpace, EditSpaceConfig, Filling, Gap, MaskedLm, Resource, Resources,
    SentenceEmbedder, Text,
};
use proptest::prelude::*;

/// A toy source of everything, which answers for any word, oddly too.
struct Toy;

impl Synonyms for Toy {
    fn synonyms(&self, word: &str) -> Vec<String> {
        ["Zed", "two_words", "", "'", "a b", "ß"]
            .iter()
            .map(|&new| new.to_owned())
            .chain([word.to_uppercase()])
            .filter(|new| new != word)
            .collect()
    }
}

impl WordNeighbours for Toy {
    fn neighbours(&self, word: &str, count: usize) -> Vec<&str> {
        let all = ["near", "ﬁ", "İ", "-", "don't"];
        all.into_iter()
            .filter(|&new| new != word)
            .take(count)
            .collect()
    }

    fn cosine(&self, first: &str, second: &str) -> Option<f32> {
        let cosine = if first.len() == second.len() {
            0.9
        } else {
            0.1
        };
        (first.len() < 9).then_some(cosine)
    }

    fn squared_distance(&self, first: &str, second: &str) -> Option<f32> {
        Some(first.len().abs_diff(second.len()) as f32)
    }
}

impl Tagger for Toy {
    fn tags(&self, words: &[&str]) -> Vec<UniversalTag> {
        let tags = [UniversalTag::Noun, UniversalTag::Verb, UniversalTag::Adj];
        words
            .iter()
            .map(|word| tags[word.chars().count() % 3])
            .collect()
    }

    fn name(&self) -> &'static str {
        "toy"
    }
}

impl MaskedLm for Toy {
    fn fill(
        &self,
        gaps: &[Gap<'_>],
        count: usize,
        accept: &(dyn Fn(&Filling) -> bool + Sync),
    ) -> Result<Vec<Vec<Filling>>, BoxError> {
        let tokens = ["the", ".", "ing", "Ж", "it's", "a"];
        let filling = |(rank, token): (usize, &&str)| Filling {
            token: (*token).to_owned(),
            continues: *token == "ing",
            probability: 0.5 / (rank + 1) as f32,
        };
        let all = || {
            tokens
                .iter()
                .enumerate()
                .map(filling)
                .filter(|filling| accept(filling))
        };
        Ok(gaps.iter().map(|_| all().take(count).collect()).collect())
    }

    fn piece_count(&self, word: &str) -> Result<usize, BoxError> {
        Ok(word.len().div_ceil(5))
    }

    fn name(&self) -> &'static str {
        "toy"
    }
}

impl SentenceEmbedder for Toy {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BoxError> {
        let vector = |text: &&str| vec![1.0 + text.len() as f32, text.chars().count() as f32];
        Ok(texts.iter().map(vector).collect())
    }

    fn name(&self) -> &'static str {
        "toy"
    }
}

fn resources() -> Resources {
    Resources {
        synonyms: Some(Arc::new(Toy)),
        word_vectors: Some(Arc::new(Toy)),
        tagger: Some(Arc::new(Toy)),
        masked_lm: Some(Arc::new(Toy)),
        sentence_encoder: Some(Arc::new(Toy)),
    }
}

const TRANSFORMATIONS: [&str; 17] = [
    "neighbour-swap = {}",
    "neighbour-swap = { variants = 'all', skip-first = true, skip-last = true }",
    "letter-substitution = {}",
    "letter-deletion = { variants = 'all' }",
    "letter-insertion = { skip-first = true }",
    "qwerty = { variants = 'all', skip-last = true }",
    "word-vectors = {}",
    "synonyms = {}",
    "synonym-insertion = {}",
    "word-deletion = {}",
    "word-exchange = {}",
    "masked-replace = {}",
    "masked-insert = { side = 'after' }",
    "masked-replace-or-insert = { max-candidates = 2 }",
    "masked-replace-and-insert = {}",
    "masked-merge = { min-confidence = 0.1 }",
    "composite = [{ word-deletion = {} }, { qwerty = {} }, { composite = [{ masked-insert = {} }] }]",
];

const CONSTRAINTS: &str = "
[[constraint]]
no-repeat = {}
[[constraint]]
stop-words = 'nltk'
[[constraint]]
min-word-length = { min-length = 2 }
[[constraint]]
max-modification-rate = { max-fraction = 0.5, min-count = 2 }
[[constraint]]
input-columns = { columns = ['text', 'text-pair'], kept = ['text'] }
[[constraint]]
word-vector-distance = { min-cosine = 0.5 }
[[constraint]]
part-of-speech = {}
[[constraint]]
edit-distance = { max-distance = 6 }
[[constraint]]
words-perturbed = { max-count = 3, max-fraction = 0.9 }
[[constraint]]
sentence-similarity = { threshold = 0.9, metric = 'angular', window = 3, skip-short-texts = true }
";

fn space(transformation: &str, constraints: &str) -> EditSpace {
    let file = format!("transformation = {{ {transformation} }}\n{constraints}");
    let config: EditSpaceConfig = toml::from_str(&file).unwrap();
    let written = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<EditSpaceConfig>(&written).unwrap(), config);
    config.build(&resources()).unwrap()
}

/// Some words, some punctuation, and any characters at all.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "([A-Za-z']{1,7}[ ,.-]{1,2}){0,8}",
        "(the|a|film|Film|well-made|it's|``|naïve|我喜欢|[ \n\t]){0,12}",
        any::<String>(),
    ]
}

fn levenshtein(first: &str, second: &str) -> usize {
    let second: Vec<char> = second.chars().collect();
    let mut above: Vec<usize> = (0..=second.len()).collect();
    for (line, a) in first.chars().enumerate() {
        let mut row = vec![line + 1];
        for (at, b) in second.iter().enumerate() {
            let substituted = above[at] + usize::from(a != *b);
            row.push(substituted.min(above[at + 1] + 1).min(row[at] + 1));
        }
        above = row;
    }
    above[second.len()]
}

/// The constraints of [`CONSTRAINTS`] on one step, written out anew.
fn keeps_all(old: &WordText, new: &WordText) -> bool {
    let stop_words = limbeck_text::lexicon::StopWords::nltk();
    let is_swap = new.last_edit == Some(EditKind::Swap);
    let differing = old.words().zip(new.words()).filter(|(a, b)| a != b).count();
    let shorter = old.word_count().min(new.word_count());
    let first_column = old.columns().next().map(|(_, text)| text.to_owned());
    let is_pair = old.columns().count() == 2;
    let swapped = new.newly_modified().iter().map(|&at| at as usize);
    let swaps_hold = swapped.filter(|_| is_swap).all(|at| {
        let (Some(a), Some(b)) = (old.words().nth(at), new.words().nth(at)) else {
            return false;
        };
        let is_near = Toy
            .cosine(&a.to_lowercase(), &b.to_lowercase())
            .is_none_or(|cosine| cosine >= 0.5);
        let class = |word: &str| word.chars().count() % 3;
        let is_same_class = class(a) == class(b) || (class(a) < 2 && class(b) < 2);
        !stop_words.contains(a) && a.chars().count() >= 2 && is_near && is_same_class
    });
    levenshtein(old.text(), new.text()) <= 6
        && differing <= 3
        && differing <= (shorter as f64 * 0.9).ceil() as usize
        && (!is_pair
            || new.last_edit == Some(EditKind::Exchange)
            || new.columns().next().map(|(_, text)| text.to_owned()) == first_column)
        && swaps_hold
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_edit_keeps_every_byte_outside_its_word(text in texts(), new in "[a-z]{1,6}", pick in any::<prop::sample::Index>()) {
        let text = WordText::new(&text);
        prop_assume!(text.word_count() > 0);
        let index = pick.index(text.word_count());
        let (before, after) = (&text.text()[..text.span(index).start], &text.text()[text.span(index).end..]);
        let word = text.word(index);
        let expected = format!("{before}{new}{after}");
        let edited = text.replace(index, &new);
        prop_assert_eq!(edited.text(), expected);
        let expected = format!("{before}{new} {word}{after}");
        let edited = text.insert_before(index, &new);
        prop_assert_eq!(edited.text(), expected);
        let expected = format!("{before}{word} {new}{after}");
        let edited = text.insert_after(index, &new);
        prop_assert_eq!(edited.text(), expected);
        let deleted = text.delete(index);
        let expected = match (index, after.strip_prefix(' '), before.strip_suffix(' ')) {
            (_, _, _) if after.is_empty() => before.to_owned(),
            (0, Some(after), _) => format!("{before}{after}"),
            (1.., _, Some(before)) => format!("{before}{after}"),
            _ => format!("{before}{after}"),
        };
        prop_assert_eq!(deleted.text(), expected);
    }

    #[test]
    fn every_transformation_takes_any_text(text in texts(), second in prop::option::of(texts()), seed in any::<u64>()) {
        let text = WordText::from_text(&Text { first: text, second }, ("text", "text-pair"));
        for transformation in TRANSFORMATIONS {
            let free = space(transformation, "");
            let mut rng = row_generator(seed, 0);
            for new in free.candidates(&text, &text, None, &mut rng).unwrap() {
                prop_assert!(new.last_edit.is_some(), "{}", transformation);
                prop_assert_eq!(new.columns().count(), text.columns().count());
                let again = free.candidates(&new, &text, Some(&[0]), &mut rng);
                prop_assert!(again.is_ok());
            }
        }
    }

    #[test]
    fn every_candidate_kept_keeps_all_constraints(text in texts(), second in prop::option::of(texts()), seed in any::<u64>()) {
        let text = WordText::from_text(&Text { first: text, second }, ("text", "text-pair"));
        for transformation in TRANSFORMATIONS {
            let bound = space(transformation, CONSTRAINTS);
            let mut rng = row_generator(seed, 0);
            let kept = bound.candidates(&text, &text, None, &mut rng).unwrap();
            for new in &kept {
                prop_assert!(keeps_all(&text, new), "{}: {:?} -> {:?}", transformation, text, new);
            }
            if bound.transformation.is_deterministic() {
                // What is left out breaks a constraint, so far as those above are all of them.
                let free = space(transformation, "");
                let judged = free.candidates(&text, &text, None, &mut row_generator(seed, 0)).unwrap();
                prop_assert!(kept.len() <= judged.len());
            }
        }
    }

    #[test]
    fn every_recipe_takes_any_text_and_repeats_itself(first in texts(), second in prop::option::of(texts()), seed in any::<u64>()) {
        let text = Text { first, second };
        let recipes = [
            "wordnet = {}", "embedding = { min-cosine = 0.0 }", "synonym-insertion = {}", "char-swap = {}", "deletion = {}", "swap = {}",
            "eda = {}", "clare = {}", "masked-replace = {}", "masked-insert = {}", "tinybert = { count = 4 }", "tang = { count = 4 }",
        ];
        for recipe in recipes {
            let file: BTreeMap<String, AugmentRecipe> = toml::from_str(&format!("recipe = {{ {recipe} }}")).unwrap();
            let recipe = &file["recipe"];
            let words = TaggedWords::count([&text], &Toy);
            let augmenter = recipe.build(&CountSettings::default(), &resources(), words, None).unwrap();
            let made = augmenter.augment(&text, &mut row_generator(seed, 3)).unwrap();
            let again = augmenter.augment(&text, &mut row_generator(seed, 3)).unwrap();
            prop_assert_eq!(&made, &again);
            prop_assert!(made.iter().all(|new| new.text.second.is_some() == text.second.is_some()));
        }
    }
}

#[test]
fn a_step_is_as_likely_as_any_other() {
    let all = Letters {
        variants: Variants::All,
        ..Letters::default()
    };
    // `aba` has two equal swaps' worth of repeats with its deletions, and `ab b` and `a bb` share results.
    let transformation: Arc<dyn Transformation> = Arc::new(Composite::new(vec![
        Arc::new(NeighbourSwap(all)),
        Arc::new(LetterDeletion(all)),
        Arc::new(LetterDeletion(all)),
    ]));
    let space = EditSpace {
        transformation,
        index_constraints: Vec::new(),
        constraints: Vec::new(),
    };
    let text = WordText::new("aab aab bba");
    let mut rng = row_generator(1, 0);
    let candidates = space.candidates(&text, &text, None, &mut rng).unwrap();
    let augmenter = Augmenter {
        space,
        settings: AugmentSettings::default(),
    };
    let draws = 30_000;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in 0..draws {
        let made = augmenter.texts(&text, &mut row_generator(1, row)).unwrap();
        *counts.entry(made[0].text().to_owned()).or_default() += 1;
    }
    assert_eq!(counts.len(), candidates.len());
    let share = 1.0 / candidates.len() as f64;
    let (mean, deviation) = (
        draws as f64 * share,
        (draws as f64 * share * (1.0 - share)).sqrt(),
    );
    for candidate in &candidates {
        let count = counts[candidate.text()] as f64;
        assert!(
            (count - mean).abs() < 5.0 * deviation,
            "{candidate:?}: {count} of {mean}"
        );
    }
}

#[test]
fn what_is_missing_or_misspelt_is_named() {
    let config: EditSpaceConfig = toml::from_str(&format!(
        "transformation = {{ masked-merge = {{}} }}\n{CONSTRAINTS}"
    ))
    .unwrap();
    let expected = [
        Resource::WordVectors,
        Resource::Tagger,
        Resource::MaskedLm,
        Resource::SentenceEncoder,
    ];
    assert_eq!(config.required(), expected);
    let Err(error) = config.build(&Resources::default()) else {
        panic!("built without a model");
    };
    insta::assert_snapshot!(error, @"`masked-merge` needs the resource `masked-lm`, and there is none; name one or use another recipe");
    let misspelt =
        toml::from_str::<EditSpaceConfig>("transformation = { qwerty = { skip-frist = true } }");
    assert!(
        misspelt
            .unwrap_err()
            .to_string()
            .contains("unknown field `skip-frist`")
    );
    let stray = toml::from_str::<EditSpaceConfig>("transformation = { synonyms = { count = 3 } }");
    assert!(stray.is_err());
}

#[test]
fn edits_say_what_they_are() {
    let text = WordText::new("a b, c");
    for (edit, expected) in [
        (
            Edit::Merge {
                index: 0,
                new: "x".into(),
            },
            "x, c",
        ),
        (
            Edit::Exchange {
                first: 0,
                second: 2,
            },
            "c b, a",
        ),
        (
            Edit::Expand {
                index: 1,
                new: "x y".into(),
            },
            "a x y, c",
        ),
        (Edit::Keep, "a b, c"),
    ] {
        let edited = edit.apply(&text);
        assert_eq!(edited.text(), expected);
        assert_eq!(edited.last_edit, Some(edit.kind()));
    }
}
