//! Whole attacks against cases made by running `TextAttack` 0.3.11 on toy models.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod golden;
mod support;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use limbeck_attack::recipes::{BaeStrategy, bae, deep_word_bug, pruthi, text_fooler};
use limbeck_attack::{
    Attack, AttackConfig, AttackResult, Cost, Importance, Outcome, SearchConfig, WirConfig,
    example_rng,
};
use limbeck_text::constraint::{
    Constraint, ConstraintConfig, Reference, SimilarityMetric, StopWordList,
};
use limbeck_text::edit::WordText;
use limbeck_text::lexicon::PerceptronTagger;
use limbeck_text::transform::{
    Edit, EditKind, Letters, Transformation, TransformationConfig, Variants,
};
use limbeck_text::{BoxError, Resources};
use rand::RngCore;
use serde::Deserialize;

use support::{Bow, OneLetter, ScriptedMlm, ToyEncoder, ToyVectors};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    recipe: String,
    query_budget: Option<u64>,
    input: Input,
    label: u32,
    result_type: String,
    original_score: f64,
    perturbed_score: f64,
    original_output: u32,
    perturbed_output: u32,
    num_queries: u64,
    perturbed_text: String,
    num_words: usize,
    words_changed: usize,
    csv_original: String,
    csv_perturbed: String,
    #[serde(default)]
    trace: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Columns(Vec<(String, String)>),
}

#[derive(Deserialize)]
struct Step {
    op: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    indices: Option<Vec<usize>>,
    #[serde(default)]
    raw: Option<Vec<String>>,
    #[serde(default)]
    n_raw: usize,
    #[serde(default)]
    n: usize,
    #[serde(default)]
    texts: Option<Vec<String>>,
    #[serde(default)]
    similarity: Option<Vec<Option<f64>>>,
}

impl Case {
    fn text(&self) -> WordText {
        match &self.input {
            Input::Text(text) => WordText::new(text),
            Input::Columns(columns) => {
                let columns = columns
                    .iter()
                    .map(|(name, text)| (name.as_str(), text.as_str()));
                WordText::from_columns(&columns.collect::<Vec<_>>())
            }
        }
    }

    fn cost(&self) -> Cost {
        Cost {
            query_budget: self.query_budget,
            time_limit: None,
        }
    }
}

/// What passes by at one end of the row of constraints.
struct Recorder {
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone, Default)]
struct Seen {
    from: String,
    texts: Vec<String>,
    similarity: Vec<Option<f32>>,
}

impl Constraint for Recorder {
    fn reference(&self) -> Reference {
        Reference::Current
    }

    fn allows(
        &self,
        current: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError> {
        self.seen.lock().unwrap().push(Seen {
            from: current.text().to_owned(),
            texts: candidates.iter().map(|c| c.text().to_owned()).collect(),
            similarity: candidates.iter().map(|c| c.similarity).collect(),
        });
        Ok(vec![true; candidates.len()])
    }
}

/// Runs one case with recorders before and after its constraints: raw candidates, filtered ones, texts asked.
fn run(
    attack: &mut Attack,
    bow: &Bow,
    case: &Case,
    rng: &mut dyn RngCore,
) -> (AttackResult, Vec<Seen>, Vec<Seen>) {
    let (raw, filtered) = (Arc::default(), Arc::default());
    let recorder = |seen: &Arc<_>| {
        Arc::new(Recorder {
            seen: Arc::clone(seen),
        })
    };
    attack.space.constraints.insert(0, recorder(&raw));
    attack.space.constraints.push(recorder(&filtered));
    bow.asked.lock().unwrap().clear();
    let result = attack.run(bow, &case.text(), case.label, rng).unwrap();
    let taken = |seen: Arc<Mutex<Vec<Seen>>>| seen.lock().unwrap().clone();
    (result, taken(raw), taken(filtered))
}

/// Everything the peer recorded of a case.
fn check(case: &Case, result: &AttackResult, raw: &[Seen], filtered: &[Seen], bow: &Bow) {
    let name = format!(
        "{} {:?} {}",
        case.recipe,
        case.query_budget,
        case.text().text()
    );
    check_trace(&name, case, raw, filtered, bow);
    let outcome = match result.outcome {
        Outcome::Succeeded => "Successful",
        Outcome::Failed => "Failed",
        Outcome::Skipped => "Skipped",
    };
    assert_eq!(outcome, case.result_type, "{name}");
    assert_eq!(result.perturbed.text.text(), case.perturbed_text, "{name}");
    assert_eq!(result.query_count, case.num_queries, "{name}");
    assert_eq!(result.original.score, case.original_score, "{name}");
    assert_eq!(result.perturbed.score, case.perturbed_score, "{name}");
    assert_eq!(
        result.original.answer.label(),
        case.original_output,
        "{name}"
    );
    assert_eq!(
        result.perturbed.answer.label(),
        case.perturbed_output,
        "{name}"
    );
    assert_eq!(result.original.text.word_count(), case.num_words, "{name}");
    assert_eq!(result.words_changed(), case.words_changed, "{name}");
    let (gone, come) = result.changed_words();
    assert_eq!(
        marked(&result.original.text, &gone),
        case.csv_original,
        "{name}"
    );
    assert_eq!(
        marked(&result.perturbed.text, &come),
        case.csv_perturbed,
        "{name}"
    );
}

fn check_trace(name: &str, case: &Case, raw: &[Seen], filtered: &[Seen], bow: &Bow) {
    let transforms = case.trace.iter().filter(|step| step.op == "transform");
    let mut raw = raw.iter();
    for step in transforms {
        let from = step.from.as_deref().unwrap();
        let Some(texts) = &step.raw else {
            if step.n_raw > 0 {
                raw.next();
            }
            continue;
        };
        // The pipeline drops candidates equal to the text before anything sees them.
        let expected: Vec<&String> = texts.iter().filter(|text| *text != from).collect();
        if !expected.is_empty() {
            let seen = raw.next().unwrap();
            assert_eq!(seen.from, from, "{name}");
            assert_eq!(seen.texts.iter().collect::<Vec<_>>(), expected, "{name}");
        }
    }
    let mut filtered = filtered.iter();
    for step in case
        .trace
        .iter()
        .filter(|step| step.op == "filtered" && step.n > 0)
    {
        let seen = filtered.next().unwrap();
        assert_eq!(seen.texts.len(), step.n, "{name}");
        let mut rows: Vec<_> = seen.texts.iter().zip(&seen.similarity).collect();
        rows.sort_by_key(|(text, _)| *text);
        if let Some(texts) = &step.texts {
            let seen: Vec<_> = rows.iter().map(|(text, _)| *text).collect();
            assert_eq!(seen, texts.iter().collect::<Vec<_>>(), "{name}");
        }
        for ((text, found), expected) in rows.iter().zip(step.similarity.iter().flatten()) {
            let found = found.map(f64::from);
            let is_near = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-5,
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_near, "{name}: {text}: {found:?}, expected {expected:?}");
        }
    }
    assert!(
        filtered.next().is_none(),
        "{name}: more steps than the peer took"
    );
    let queries: Vec<&Step> = case
        .trace
        .iter()
        .filter(|step| step.op == "query")
        .collect();
    if !queries.is_empty()
        && queries
            .iter()
            .all(|step| step.texts.is_some() || step.n == 0)
    {
        // The oracle asks each text once; in the trace repeated ones stand again.
        let mut seen = HashSet::new();
        let texts = queries.iter().flat_map(|step| step.texts.iter().flatten());
        let expected: Vec<&String> = texts.filter(|text| seen.insert(*text)).collect();
        let asked = bow.asked.lock().unwrap();
        let asked: Vec<String> = asked
            .iter()
            .map(|text| match &text.second {
                Some(second) => format!("{}\n{second}", text.first),
                None => text.first.clone(),
            })
            .collect();
        assert_eq!(asked.iter().collect::<Vec<_>>(), expected, "{name}");
    }
}

/// A text as the peer's CSV log shows it.
fn marked(text: &WordText, words: &[usize]) -> String {
    let with_marks = text.replace_all(
        &words
            .iter()
            .map(|&index| (index, format!("[[{}]]", text.word(index))))
            .collect::<Vec<_>>()
            .iter()
            .map(|(index, word)| (*index, word.as_str()))
            .collect::<Vec<_>>(),
    );
    let columns: Vec<(&str, &str)> = with_marks.columns().collect();
    match columns.as_slice() {
        [(_, text)] => (*text).to_owned(),
        several => {
            let capitalized = |name: &str| name[..1].to_uppercase() + &name[1..];
            let line =
                |(name, text): &(&str, &str)| format!("[[[[{}]]]]: {text}", capitalized(name));
            several.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}

fn perceptron() -> Option<PerceptronTagger> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/lexicon/nltk-perceptron");
    if !folder.exists() {
        eprintln!("skipped: no tagger at {}", folder.display());
        return None;
    }
    Some(PerceptronTagger::open(&folder).unwrap())
}

fn resources() -> Option<Resources> {
    let vectors = golden::read::<ToyVectors>("toy_embedding.json")?.indexed();
    Some(Resources {
        synonyms: None,
        masked_lm: Some(Arc::new(ScriptedMlm(vectors.words()))),
        word_vectors: Some(Arc::new(vectors)),
        tagger: Some(Arc::new(perceptron()?)),
        sentence_encoder: Some(Arc::new(ToyEncoder)),
    })
}

/// The toy encoder stands for the peer's own, with the peer's thresholds.
fn with_threshold(
    mut config: AttackConfig,
    peers: f32,
    peers_metric: SimilarityMetric,
) -> AttackConfig {
    for constraint in &mut config.constraint {
        if let ConstraintConfig::SentenceSimilarity {
            threshold, metric, ..
        } = constraint
        {
            assert_eq!(*metric, peers_metric);
            *threshold = peers;
        }
    }
    config
}

fn all_places(mut config: AttackConfig) -> AttackConfig {
    let letters = Letters {
        variants: Variants::All,
        ..Letters::default()
    };
    config.transformation = TransformationConfig::Composite(vec![
        TransformationConfig::NeighbourSwap(letters),
        TransformationConfig::LetterSubstitution(letters),
        TransformationConfig::LetterDeletion(letters),
        TransformationConfig::LetterInsertion(letters),
    ]);
    config
}

fn config(recipe: &str) -> AttackConfig {
    match recipe {
        "textfooler_toy" => with_threshold(text_fooler(), 0.840_845_06, SimilarityMetric::Angular),
        "bae_toy" => with_threshold(
            bae(BaeStrategy::Replace),
            0.936_338,
            SimilarityMetric::Cosine,
        ),
        "deepwordbug" => deep_word_bug(),
        "deepwordbug_det" => all_places(deep_word_bug()),
        "deepwordbug_lev2_det" => {
            let mut config = all_places(deep_word_bug());
            let TransformationConfig::Composite(members) = &mut config.transformation else {
                panic!("a composite");
            };
            members.remove(3);
            members.remove(0);
            for constraint in &mut config.constraint {
                if let ConstraintConfig::EditDistance { max_distance, .. } = constraint {
                    *max_distance = 2;
                }
            }
            config
        }
        "pruthi" | "pruthi_det" => pruthi(1),
        "pruthi2_det" => pruthi(2),
        "wir_weighted_saliency" => AttackConfig {
            goal: limbeck_attack::Goal::default(),
            search: SearchConfig::GreedyWordSwapWir(WirConfig {
                importance: Importance::WeightedSaliency,
                ..WirConfig::default()
            }),
            transformation: TransformationConfig::WordVectors { max_candidates: 10 },
            constraint: vec![
                ConstraintConfig::NoRepeat {},
                ConstraintConfig::StopWords(StopWordList::Nltk),
            ],
        },
        other => panic!("no recipe {other}"),
    }
}

/// Every case of `file` exactly; letters drawn at random are all `letter`, as the peer was patched.
fn check_exactly(file: &str, letter: char) {
    let (Some(golden), Some(bow)) = (
        golden::read::<Golden>(file),
        golden::read::<Bow>("toy_bow.json"),
    ) else {
        return;
    };
    let Some(resources) = resources() else {
        return;
    };
    assert!(!golden.cases.is_empty());
    for case in &golden.cases {
        let mut attack = config(&case.recipe)
            .build(&resources, None, case.cost())
            .unwrap();
        let (result, raw, filtered) = run(&mut attack, &bow, case, &mut OneLetter(letter));
        check(case, &result, &raw, &filtered, &bow);
    }
    eprintln!("{file}: {} cases", golden.cases.len());
}

#[test]
fn golden_attack_textfooler_toy() {
    check_exactly("attack_textfooler_toy.json", 'x');
}

#[test]
fn golden_attack_bae_toy() {
    check_exactly("attack_bae_toy.json", 'x');
}

#[test]
fn golden_attack_deepwordbug_det() {
    check_exactly("attack_deepwordbug_det.json", 'x');
}

#[test]
fn golden_attack_deepwordbug_lev2_det() {
    check_exactly("attack_deepwordbug_lev2_det.json", 'q');
}

#[test]
fn golden_attack_pruthi_det() {
    check_exactly("attack_pruthi_det.json", 'x');
}

#[test]
fn golden_attack_pruthi2_det() {
    check_exactly("attack_pruthi2_det.json", 'x');
}

#[test]
fn golden_attack_wir_weighted_saliency() {
    check_exactly("attack_wir_weighted_saliency.json", 'x');
}

/// Gives the candidates that the peer drew, step by step.
struct Replayed {
    steps: Mutex<std::vec::IntoIter<(String, Vec<String>)>>,
}

impl Transformation for Replayed {
    fn edits(
        &self,
        current: &WordText,
        indices: &[usize],
        _: &mut dyn RngCore,
    ) -> Result<Vec<Edit>, BoxError> {
        let (from, texts) = self.steps.lock().unwrap().next().unwrap();
        assert_eq!(current.text(), from);
        Ok(texts
            .iter()
            .map(|text| replacement(current, indices, text))
            .collect())
    }

    fn kind(&self) -> Option<EditKind> {
        Some(EditKind::Swap)
    }

    fn is_deterministic(&self) -> bool {
        false
    }
}

/// The replacement of one word that turns `current` into `text`.
fn replacement(current: &WordText, indices: &[usize], text: &str) -> Edit {
    let new_word = |&index: &usize| {
        let span = current.span(index);
        let (before, after) = (&current.text()[..span.start], &current.text()[span.end..]);
        let new = text.strip_prefix(before)?.strip_suffix(after)?;
        Some(Edit::Replace {
            index,
            new: new.to_owned(),
        })
    };
    indices.iter().find_map(new_word).unwrap()
}

/// Random attacks: the peer's draws are replayed where they were recorded; elsewhere every changed word is a possible draw.
fn check_random(file: &str) {
    let (Some(golden), Some(bow)) = (
        golden::read::<Golden>(file),
        golden::read::<Bow>("toy_bow.json"),
    ) else {
        return;
    };
    let resources = Resources::default();
    let mut replayed = 0;
    for case in &golden.cases {
        let mut attack = config(&case.recipe)
            .build(&resources, None, case.cost())
            .unwrap();
        let transforms: Vec<&Step> = case
            .trace
            .iter()
            .filter(|step| step.op == "transform")
            .collect();
        if transforms.iter().all(|step| step.raw.is_some()) {
            replayed += 1;
            let steps = transforms
                .iter()
                .map(|step| (step.from.clone().unwrap(), step.raw.clone().unwrap()));
            attack.space.transformation = Arc::new(Replayed {
                steps: Mutex::new(steps.collect::<Vec<_>>().into_iter()),
            });
            let (result, raw, filtered) = run(&mut attack, &bow, case, &mut example_rng(0, 0));
            check(case, &result, &raw, &filtered, &bow);
        } else {
            check_membership(case);
            let (result, ..) = run(&mut attack, &bow, case, &mut example_rng(0, 0));
            assert_eq!(result.original.score, case.original_score);
            assert_eq!(
                result.outcome == Outcome::Skipped,
                case.result_type == "Skipped"
            );
        }
        for step in transforms {
            if let (Some(raw), Some(from)) = (&step.raw, &step.from) {
                let from = WordText::new(from);
                let all: Vec<usize> = (0..from.word_count()).collect();
                for text in raw {
                    let Edit::Replace { index, new } =
                        replacement(&from, step.indices.as_deref().unwrap_or(&all), text)
                    else {
                        panic!("a replacement");
                    };
                    assert!(
                        is_possible(from.word(index), &new),
                        "{} -> {new}",
                        from.word(index)
                    );
                }
            }
        }
    }
    eprintln!("{file}: {} cases, {replayed} replayed", golden.cases.len());
}

fn check_membership(case: &Case) {
    let (old, new) = (case.text(), WordText::new(&case.perturbed_text));
    assert_eq!(new.differing_words(&old).count(), case.words_changed);
    if old.word_count() == new.word_count() {
        for index in new.differing_words(&old) {
            assert!(
                is_possible(old.word(index), new.word(index)),
                "{} -> {}",
                old.word(index),
                new.word(index)
            );
        }
    }
}

/// Whether one swap of neighbours, substitution, deletion or insertion of a letter leads from `old` to `new`.
fn is_possible(old: &str, new: &str) -> bool {
    let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_start;
    let pairs = old.iter().rev().zip(new.iter().rev()).take(rest);
    let same_end = pairs.take_while(|(a, b)| a == b).count();
    let (cut, put) = (
        &old[same_start..old.len() - same_end],
        &new[same_start..new.len() - same_end],
    );
    match (cut, put) {
        ([] | [_], []) => true,
        ([] | [_], [letter]) => letter.is_ascii_alphabetic(),
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[test]
fn golden_attack_deepwordbug() {
    check_random("attack_deepwordbug.json");
}

#[test]
fn golden_attack_pruthi() {
    check_random("attack_pruthi.json");
}
