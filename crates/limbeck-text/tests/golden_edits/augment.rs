//! Augmenters against what `TextAttack`'s made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limbeck_text::augment::{
    AugmentRecipe, AugmentSettings, CountSettings, TaggedWords, row_generator,
};
use limbeck_text::edit::WordText;
use limbeck_text::lexicon::{StopWords, Synonyms};
use limbeck_text::{EditSpace, Resources, Text};
use serde::Deserialize;

use crate::{golden, words};

#[derive(Deserialize)]
struct Golden {
    recipes: BTreeMap<String, Recipe>,
}

#[derive(Deserialize)]
struct Recipe {
    cases: Vec<Case>,
    one_step: Vec<OneStep>,
}

#[derive(Deserialize)]
struct Case {
    args: Args,
    seed: u64,
    input: String,
    num_words: usize,
    num_words_to_swap: usize,
    output: Output,
}

#[derive(Deserialize)]
struct Args {
    pct_words_to_swap: f64,
    transformations_per_example: usize,
    #[serde(default)]
    fast_augment: bool,
    #[serde(default)]
    high_yield: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Output {
    All(Vec<String>),
    Counted { count: usize, first5: Vec<String> },
}

#[derive(Deserialize)]
struct OneStep {
    input: String,
    all_one_step_sorted: Vec<String>,
}

struct Sources {
    resources: Resources,
    synonyms: Arc<dyn Synonyms>,
}

fn sources() -> Option<Sources> {
    let synonyms: Arc<dyn Synonyms> = Arc::new(words::wordnet()?);
    let resources = Resources {
        synonyms: Some(synonyms.clone()),
        word_vectors: Some(Arc::new(words::ToyEmbedding::read()?)),
        ..Resources::default()
    };
    Some(Sources {
        resources,
        synonyms,
    })
}

fn recipe(name: &str) -> AugmentRecipe {
    match name {
        "wordnet" => AugmentRecipe::WordNet {},
        "embedding_toy" => AugmentRecipe::Embedding {
            max_candidates: 50,
            min_cosine: 0.8,
        },
        "charswap" => AugmentRecipe::CharSwap {},
        "synonym_insertion" => AugmentRecipe::SynonymInsertion {},
        "deletion" => AugmentRecipe::Deletion {},
        "swap" => AugmentRecipe::Swap {},
        "eda" => AugmentRecipe::Eda {},
        _ => panic!("no recipe `{name}`"),
    }
}

#[test]
fn golden_one_step_leads_where_textattack_goes() {
    let (Some(golden), Some(sources)) = (golden::read::<Golden>("augment.json"), sources()) else {
        return;
    };
    let mut checked = 0;
    for (name, cases) in &golden.recipes {
        for case in &cases.one_step {
            let space = recipe(name)
                .space()
                .unwrap()
                .build(&sources.resources)
                .unwrap();
            let text = WordText::new(&case.input);
            let mut rng = row_generator(0, 0);
            let made = space.candidates(&text, &text, None, &mut rng).unwrap();
            let mut made: Vec<&str> = made.iter().map(WordText::text).collect();
            made.sort_unstable();
            assert_eq!(made, case.all_one_step_sorted, "{name}: {}", case.input);
            checked += 1;
        }
    }
    println!("{checked} exhaustive one-step sets");
    assert!(checked > 0);
}

/// Says whether a text can be the end of a try, found without the augmenter: by undoing it word by word.
struct Judge<'a> {
    sources: &'a Sources,
    stop_words: StopWords,
}

impl Judge<'_> {
    fn holds(&self, name: &str, case: &Case, made: &str, all: &[String]) -> bool {
        let old = WordText::new(&case.input);
        let new = WordText::new(made);
        match name {
            "wordnet" | "embedding_toy" => {
                let space = recipe(name).space().unwrap();
                are_swaps(
                    &space.build(&self.sources.resources).unwrap(),
                    &old,
                    &new,
                    case,
                    all,
                )
            }
            "charswap" => self.are_typos(&old, &new, case),
            "deletion" => are_deletions(&old, &new, case),
            "synonym_insertion" => self.are_insertions(&old, &new, case),
            "swap" => is_permutation(&old, &new),
            "eda" => ["wordnet", "deletion", "swap", "synonym_insertion"]
                .iter()
                .any(|member| self.holds(member, case, made, all)),
            _ => false,
        }
    }

    fn are_typos(&self, old: &WordText, new: &WordText, case: &Case) -> bool {
        let changed: Vec<usize> = new.differing_words(old).collect();
        let is_typo = |&index: &usize| {
            let (before, after) = (old.word(index), new.word(index));
            // A mark that comes to stand at an end is no longer part of the word.
            let marks = ["", "'", "-", "_", "*", "@"];
            let mut whole = marks
                .iter()
                .flat_map(|start| marks.map(|end| format!("{start}{after}{end}")));
            !self.stop_words.contains(before)
                && whole.any(|after| is_one_letter_off(before, &after))
        };
        old.word_count() == new.word_count()
            && changed.iter().all(is_typo)
            && changed.len() <= case.num_words_to_swap
    }

    fn are_insertions(&self, old: &WordText, new: &WordText, case: &Case) -> bool {
        let Some(count) = new.word_count().checked_sub(old.word_count()) else {
            return false;
        };
        let new: Vec<&str> = new.words().collect();
        let mut left = old.words().peekable();
        let mut inserted = Vec::new();
        for &word in &new {
            if left.peek() == Some(&word) {
                left.next();
            } else {
                inserted.push(word);
            }
        }
        let is_synonym = |word: &&str| {
            let mut sources = new.iter();
            sources.any(|source| {
                self.sources
                    .synonyms
                    .synonyms(source)
                    .iter()
                    .any(|s| s == word)
            })
        };
        left.peek().is_none()
            && count <= case.num_words_to_swap
            && inserted.len() == count
            && inserted.iter().all(is_synonym)
    }
}

/// Each changed word is one step away; as many are changed as were to be, or no more can be.
fn are_swaps(
    space: &EditSpace,
    old: &WordText,
    new: &WordText,
    case: &Case,
    all: &[String],
) -> bool {
    if old.word_count() != new.word_count() {
        return false;
    }
    let mut rng = row_generator(0, 0);
    let mut text = old.clone();
    let changed: Vec<usize> = new.differing_words(old).collect();
    for &index in &changed {
        let steps = space
            .candidates(&text, old, Some(&[index]), &mut rng)
            .unwrap();
        let Some(step) = steps
            .into_iter()
            .find(|step| step.word(index) == new.word(index))
        else {
            return false;
        };
        text = step;
    }
    // A try also ends where all that is left was had before.
    let left = space.candidates(&text, old, None, &mut rng).unwrap();
    let has_ended = left
        .iter()
        .all(|step| all.iter().any(|made| made == step.text()));
    let is_done = changed.len() == case.num_words_to_swap || has_ended;
    // Where all is kept at once, what goes on is not more than the text itself.
    let is_left = case.args.fast_augment || case.args.high_yield;
    text.text() == new.text() && (is_done || is_left)
}

fn are_deletions(old: &WordText, new: &WordText, case: &Case) -> bool {
    let mut rest = old.words();
    let gone = old.word_count() - new.word_count();
    new.words().all(|word| rest.any(|other| other == word)) && gone <= case.num_words_to_swap
}

fn is_one_letter_off(before: &str, after: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let same_start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same_start..], &b[same_start..]);
    let is_swap =
        a.len() == b.len() && a.len() > 1 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..];
    let is_substitution = a.len() == b.len() && !a.is_empty() && a[1..] == b[1..];
    let is_deletion = a.len() == b.len() + 1 && a[1..] == *b;
    let is_insertion = a.len() + 1 == b.len() && *a == b[1..];
    is_swap || is_substitution || is_deletion || is_insertion
}

fn is_permutation(old: &WordText, new: &WordText) -> bool {
    let letters = |text: &WordText| {
        let mut letters: Vec<char> = text.text().chars().collect();
        letters.sort_unstable();
        letters
    };
    letters(old) == letters(new)
}

#[test]
fn golden_new_rows_obey_the_rules_that_textattacks_obey() {
    let (Some(golden), Some(sources)) = (golden::read::<Golden>("augment.json"), sources()) else {
        return;
    };
    let judge = Judge {
        sources: &sources,
        stop_words: StopWords::nltk(),
    };
    let (mut theirs, mut ours, mut as_many, mut cases) = (0, 0, 0, 0);
    for (name, golden) in &golden.recipes {
        for case in &golden.cases {
            let text = WordText::new(&case.input);
            assert_eq!(text.word_count(), case.num_words, "{}", case.input);
            let (recorded, count) = match &case.output {
                Output::All(all) => (all, all.len()),
                Output::Counted { count, first5 } => (first5, *count),
            };
            for made in recorded {
                assert!(
                    judge.holds(name, case, made, recorded),
                    "theirs, {name}: {made}"
                );
                theirs += 1;
            }
            let made = augment(name, case, &sources);
            let all = &made;
            for made in all {
                assert!(judge.holds(name, case, made, all), "ours, {name}: {made}");
                ours += 1;
            }
            let distinct: BTreeSet<&String> = made.iter().collect();
            assert_eq!(distinct.len(), made.len(), "{name}: {made:?}");
            if name != "eda" {
                assert!(made.is_sorted(), "{name}: {made:?}");
            }
            let asked = case.args.transformations_per_example;
            if case.args.high_yield {
                assert!(!made.is_empty(), "{name}");
            } else {
                assert!((1..=asked.max(4)).contains(&made.len()), "{name}: {made:?}");
                as_many += usize::from(made.len() == count);
                cases += 1;
            }
        }
    }
    println!(
        "{theirs} recorded and {ours} own rows hold; {as_many} of {cases} cases give as many rows"
    );
    // Which draw repeats an earlier one is chance; nearly all cases leave no room for it.
    assert!(as_many * 100 >= cases * 97, "{as_many} of {cases}");
}

fn augment(name: &str, case: &Case, sources: &Sources) -> Vec<String> {
    let settings = CountSettings {
        word_fraction: Some(case.args.pct_words_to_swap),
        count: Some(case.args.transformations_per_example),
        high_yield: case.args.high_yield,
        fast: case.args.fast_augment,
    };
    let words = TaggedWords::default();
    let augmenter = recipe(name)
        .build(&settings, &sources.resources, words, None)
        .unwrap();
    let text = Text {
        first: case.input.clone(),
        second: None,
    };
    let mut rng = row_generator(case.seed, 0);
    let made = augmenter.augment(&text, &mut rng).unwrap();
    made.into_iter().map(|made| made.text.first).collect()
}

#[test]
fn golden_words_to_change_are_counted_as_in_textattack() {
    let Some(golden) = golden::read::<Golden>("augment.json") else {
        return;
    };
    let mut cases = golden.recipes.values().flat_map(|recipe| &recipe.cases);
    assert!(cases.all(|case| {
        let settings = AugmentSettings {
            word_fraction: case.args.pct_words_to_swap,
            ..AugmentSettings::default()
        };
        settings.words_to_change(case.num_words) == case.num_words_to_swap
    }));
}
