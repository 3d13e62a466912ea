//! What holds for every text, however many are attacked at once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod golden;
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use limbeck_attack::recipes::{deep_word_bug, pruthi};
use limbeck_attack::{
    Attack, AttackConfig, AttackError, AttackResult, Case, Cost, Distribution, Event, Importance,
    Outcome, PooledEmbedder, PooledMaskedLm, RunConfig, SearchConfig, Victim, WirScope, Worklist,
    run,
};
use limbeck_text::edit::WordText;
use limbeck_text::lexicon::StopWords;
use limbeck_text::{BoxError, Filling, Gap, MaskedLm, Resources, SentenceEmbedder, Text};
use proptest::prelude::*;

use support::{Bow, ScriptedMlm, ToyEncoder};

fn attack(config: &AttackConfig, query_budget: Option<u64>) -> Attack {
    let cost = Cost {
        query_budget,
        time_limit: None,
    };
    config.build(&Resources::default(), None, cost).unwrap()
}

fn configs() -> [AttackConfig; 4] {
    let mut beam = deep_word_bug();
    beam.search = SearchConfig::Beam(limbeck_attack::BeamConfig { width: 3 });
    let mut random = deep_word_bug();
    if let SearchConfig::GreedyWordSwapWir(wir) = &mut random.search {
        wir.importance = Importance::Random;
        wir.wir_scope = WirScope::All;
    }
    [deep_word_bug(), pruthi(1), beam, random]
}

fn cases(texts: &[String]) -> Vec<Case> {
    let case = |(id, text): (usize, &String)| Case {
        id: id as u64,
        text: WordText::new(text),
        gold: (id % 2) as u32,
    };
    texts.iter().enumerate().map(case).collect()
}

/// Everything of a result that a run keeps.
type Kept = (Outcome, String, u64, u64);

fn kept(result: &AttackResult) -> Kept {
    let text = result.perturbed.text.text().to_owned();
    (
        result.outcome,
        text,
        result.perturbed.score.to_bits(),
        result.query_count,
    )
}

fn run_all(
    attack: &Attack,
    victim: &dyn Victim,
    cases: &[Case],
    config: &RunConfig,
) -> (Vec<usize>, BTreeMap<u64, Kept>) {
    let mut results = BTreeMap::new();
    let included = run(
        attack,
        victim,
        cases,
        config,
        &BTreeMap::new(),
        &mut |event| {
            if let Event::Attacked { index, result } = event {
                results.insert(cases[index].id, kept(&result.unwrap()));
            }
            Ok(true)
        },
    );
    (included.unwrap(), results)
}

fn sentence() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("good".to_owned()),
        Just("bad".to_owned()),
        Just("great".to_owned()),
        Just("dull".to_owned()),
        Just("film".to_owned()),
        Just("the".to_owned()),
        Just(",".to_owned()),
        "[a-zA-Z']{1,8}",
    ];
    prop::collection::vec(word, 0..9).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn results_depend_on_neither_threads_nor_batches_nor_order(
        texts in prop::collection::vec(sentence(), 1..12),
        which in 0_usize..4,
        in_flight in 1_usize..9,
        batch in 1_usize..40,
    ) {
        let attack = attack(&configs()[which], None);
        let bow = Bow::small();
        let mut cases = cases(&texts);
        let sequential = RunConfig { in_flight: 1, batch: 1, ..RunConfig::default() };
        let (_, expected) = run_all(&attack, &bow, &cases, &sequential);
        cases.reverse();
        let pooled = RunConfig { in_flight, batch, ..RunConfig::default() };
        let (_, found) = run_all(&attack, &bow, &cases, &pooled);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_budget_is_never_exceeded_and_no_text_panics(text in any::<String>(), which in 0_usize..4, budget in 0_u64..30) {
        let attack = attack(&configs()[which], Some(budget));
        let bow = Bow::small();
        let result = attack.run(&bow, &WordText::new(&text), 1, &mut limbeck_attack::example_rng(1, 1)).unwrap();
        prop_assert!(result.query_count <= budget.max(1));
        prop_assert!(bow.asked.lock().unwrap().len() as u64 <= result.query_count);
    }

    #[test]
    fn results_obey_their_constraints(text in sentence(), which in 0_usize..2, gold in 0_u32..2) {
        let attack = attack(&configs()[which], None);
        let bow = Bow::small();
        let result = attack.run(&bow, &WordText::new(&text), gold, &mut limbeck_attack::example_rng(2, 1)).unwrap();
        let (old, new) = (&result.original.text, &result.perturbed.text);
        let stop_words = StopWords::nltk();
        if old.word_count() == new.word_count() {
            let changed: Vec<usize> = (0..old.word_count()).filter(|&i| old.word(i) != new.word(i)).collect();
            for &index in &changed {
                prop_assert!(!stop_words.contains(old.word(index)), "{} was changed", old.word(index));
                // Every operation changes a word by one letter or swaps two.
                prop_assert!(old.word(index).chars().count().abs_diff(new.word(index).chars().count()) <= 1);
            }
            if which == 1 {
                prop_assert!(changed.len() <= 1);
                prop_assert!(changed.iter().all(|&index| old.word(index).chars().count() >= 4));
            }
        }
        prop_assert!(old.text().chars().count().abs_diff(new.text().chars().count()) <= 30);
        let p = bow.probabilities(new.text());
        prop_assert_eq!(result.outcome == Outcome::Failed, (p[0] < p[1]) == (gold == 1));
        prop_assert_eq!(result.perturbed.score, 1.0 - p[gold as usize]);
    }

    #[test]
    fn the_end_of_a_work_list_does_not_depend_on_threads(
        texts in prop::collection::vec(sentence(), 1..16),
        wanted in 1_u64..5, attack_n in any::<bool>(), by_success in any::<bool>(), shuffle in any::<bool>(), offset in 0_u64..3,
        in_flight in 2_usize..9,
    ) {
        let attack = attack(&deep_word_bug(), None);
        let bow = Bow::small();
        let cases = cases(&texts);
        let worklist = Worklist {
            num_examples: (!by_success).then_some(wanted),
            num_successful: by_success.then_some(wanted),
            offset, attack_n, shuffle,
        };
        let config = RunConfig { worklist, in_flight: 1, ..RunConfig::default() };
        let (expected, results) = run_all(&attack, &bow, &cases, &config);
        let (found, _) = run_all(&attack, &bow, &cases, &RunConfig { in_flight, ..config });
        prop_assert_eq!(&found, &expected);
        prop_assert!(found.iter().all(|&index| index as u64 >= offset));
        let count = |keep: &dyn Fn(Outcome) -> bool| found.iter().filter(|&&index| keep(results[&(index as u64)].0)).count() as u64;
        let counted = match (by_success, attack_n) {
            (true, _) => count(&|outcome| outcome == Outcome::Succeeded),
            (false, true) => count(&|outcome| outcome != Outcome::Skipped),
            (false, false) => count(&|_| true),
        };
        prop_assert!(counted <= wanted);
        // Less only where the set has no more.
        prop_assert!(counted == wanted || found.len() as u64 == (texts.len() as u64).saturating_sub(offset));
    }
}

/// Fails or panics on some texts.
struct Moody(Bow);

impl Victim for Moody {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        for text in texts {
            assert!(!text.first.contains("panic"), "a text to panic at");
            if text.first.contains("error") {
                return Err("a text to fail at".into());
            }
        }
        self.0.query(texts)
    }
}

#[test]
fn a_broken_example_costs_no_other_its_result() {
    let texts: Vec<String> = (0..60)
        .map(|i| match i {
            7 => "error here".to_owned(),
            23 => "panic here".to_owned(),
            _ => format!("good film number {i} was great fun"),
        })
        .collect();
    let cases = cases(&texts);
    let attack = attack(&deep_word_bug(), None);
    let mut broken = BTreeMap::new();
    let mut whole = 0;
    let victim = Moody(Bow::small());
    let included = run(
        &attack,
        &victim,
        &cases,
        &RunConfig::default(),
        &BTreeMap::new(),
        &mut |event| {
            if let Event::Attacked { index, result } = event {
                match result {
                    Ok(_) => whole += 1,
                    Err(error @ AttackError::Victim { .. }) => {
                        broken.insert(index, error.to_string());
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Ok(true)
        },
    );
    assert_eq!(included.unwrap().len(), 58);
    assert_eq!(whole, 58);
    assert_eq!(broken.keys().copied().collect::<Vec<_>>(), [7, 23]);
    assert!(broken[&7].contains("a text to fail at") && broken[&23].contains("a text to panic at"));
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let texts: Vec<String> = (0..40)
        .map(|i| format!("a good and great film of {i} parts, never dull"))
        .collect();
    let cases = cases(&texts);
    let attack = attack(&deep_word_bug(), None);
    let bow = Bow::small();
    let config = RunConfig {
        in_flight: 4,
        ..RunConfig::default()
    };
    let (included, expected) = run_all(&attack, &bow, &cases, &config);
    let mut results = BTreeMap::new();
    let mut known = BTreeMap::new();
    let stopped = run(&attack, &bow, &cases, &config, &known, &mut |event| {
        if let Event::Attacked { index, result } = event {
            results.insert(index as u64, kept(&result.unwrap()));
        }
        Ok(results.len() < 10)
    });
    assert!(stopped.unwrap().len() >= 10 && results.len() < 40);
    for (&id, result) in &results {
        known.insert(id as usize, result.0);
    }
    let resumed = run(&attack, &bow, &cases, &config, &known, &mut |event| {
        if let Event::Attacked { index, result } = event {
            let before = results.insert(index as u64, kept(&result.unwrap()));
            assert!(before.is_none(), "{index} was attacked twice");
        }
        Ok(true)
    });
    assert_eq!(resumed.unwrap(), included);
    assert_eq!(results, expected);
}

/// Counts how often it is asked.
struct Counted(Bow, AtomicUsize);

impl Victim for Counted {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.query(texts)
    }
}

#[test]
fn a_run_that_is_stopped_asks_nothing_more() {
    let texts: Vec<String> = (0..40)
        .map(|i| format!("a good and great film of {i} parts, never dull"))
        .collect();
    let cases = cases(&texts);
    let attack = attack(&deep_word_bug(), None);
    let victim = Counted(Bow::small(), AtomicUsize::new(0));
    let config = RunConfig {
        in_flight: 40,
        batch: 1,
        ..RunConfig::default()
    };
    let mut asked = 0;
    let stopped = run(
        &attack,
        &victim,
        &cases,
        &config,
        &BTreeMap::new(),
        &mut |event| {
            asked += usize::from(matches!(event, Event::Answered { .. }));
            Ok(asked < 3)
        },
    );
    // Those that are skipped end with their first answer; no other attack ends in three.
    assert!(stopped.unwrap().len() <= 3);
    assert_eq!(victim.1.load(Ordering::Relaxed), 3);
}

#[test]
fn a_pooled_language_model_answers_as_it_does_alone() {
    let words: Vec<String> = (0..300).map(|n| format!("word{n}")).collect();
    let alone = Arc::new(ScriptedMlm(words));
    let pooled = PooledMaskedLm::new(alone.clone(), 64).unwrap();
    let rare = |filling: &Filling| filling.token.ends_with('7');
    let gap = |before| Gap {
        before,
        after: " film",
        second: None,
    };
    for count in [0, 1, 5, 29, 31, 400] {
        let gaps = [gap("a "), gap("the "), gap("a ")];
        let expected = alone.fill(&gaps, count, &rare).unwrap();
        assert_eq!(
            pooled.fill(&gaps, count, &rare).unwrap(),
            expected,
            "{count}"
        );
        std::thread::scope(|scope| {
            for gap in &gaps {
                scope.spawn(|| {
                    let expected = alone.fill(&[*gap], count, &|_| true).unwrap();
                    let found = pooled.fill(&[*gap], count, &|_| true).unwrap();
                    assert_eq!(found, expected, "{count}");
                });
            }
        });
    }
    let encoder = PooledEmbedder::new(Arc::new(ToyEncoder), 64).unwrap();
    let texts = ["good film", "bad film", "good film"];
    assert_eq!(
        encoder.embed(&texts).unwrap(),
        ToyEncoder.embed(&texts).unwrap()
    );
}

#[test]
fn a_time_limit_ends_an_example_with_what_it_has() {
    struct Slow {
        bow: Mutex<Bow>,
        queries: AtomicUsize,
    }
    impl Victim for Slow {
        fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
            self.queries.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
            self.bow.lock().unwrap().query(texts)
        }
    }
    let cost = Cost {
        query_budget: None,
        time_limit: Some(Duration::from_millis(30)),
    };
    let attack = deep_word_bug()
        .build(&Resources::default(), None, cost)
        .unwrap();
    let text = WordText::new("good good good good good good good good good good good");
    let victim = Slow {
        bow: Mutex::new(Bow::small()),
        queries: AtomicUsize::new(0),
    };
    let result = attack
        .run(&victim, &text, 1, &mut limbeck_attack::example_rng(0, 0))
        .unwrap();
    assert_eq!(
        result.stopped_by,
        Some(limbeck_attack::StopReason::TimeLimit)
    );
    assert_eq!(result.outcome, Outcome::Failed);
    // Two of them take longer than the limit, however slow the machine is.
    assert!(victim.queries.into_inner() <= 2);
}

#[test]
fn an_own_attack_is_read_from_a_run_file() {
    let text = r#"
        goal = { targeted = { label = 0 } }
        search = { beam = { width = 2 } }
        transformation = { composite = [{ neighbour-swap = {} }, { qwerty = { variants = "all" } }] }
        [[constraint]]
        no-repeat = {}
        [[constraint]]
        words-perturbed = { max-count = 2 }
    "#;
    let config: AttackConfig = toml::from_str(text).unwrap();
    let attack = attack(&config, None);
    let bow = Bow::small();
    let result = attack
        .run(
            &bow,
            &WordText::new("good film"),
            1,
            &mut limbeck_attack::example_rng(0, 0),
        )
        .unwrap();
    assert_ne!(result.outcome, Outcome::Skipped);
    assert_eq!(
        toml::from_str::<AttackConfig>(&toml::to_string(&config).unwrap()).unwrap(),
        config
    );
    let error = toml::from_str::<AttackConfig>(&text.replace("width", "widht"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("widht"), "{error}");
}

/// Examples per second on the golden toy model; to be run by itself:
/// `cargo test --release -p limbeck-attack --test properties -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn toy_throughput() {
    let dev = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/glue/SST-2/dev.tsv"
    );
    let Some(bow) = golden::read::<Bow>("toy_bow.json") else {
        return;
    };
    let text = fs_err::read_to_string(dev).unwrap();
    let rows = text.lines().skip(1).enumerate().filter_map(|(id, line)| {
        let (text, label) = line.rsplit_once('\t')?;
        Some(Case {
            id: id as u64,
            text: WordText::new(text),
            gold: label.parse().ok()?,
        })
    });
    let cases: Vec<Case> = rows.collect();
    for (name, config) in [("deep-word-bug", deep_word_bug()), ("pruthi", pruthi(1))] {
        let attack = attack(&config, None);
        for in_flight in [1, 256] {
            let begun = Instant::now();
            let config = RunConfig {
                in_flight,
                ..RunConfig::default()
            };
            let (_, results) = run_all(&attack, &bow, &cases, &config);
            let seconds = begun.elapsed().as_secs_f64();
            let queries: u64 = results.values().map(|kept| kept.3).sum();
            eprintln!(
                "{name}, {in_flight} in flight: {} examples, {:.0} examples/s, {:.0} queries/s",
                results.len(),
                results.len() as f64 / seconds,
                queries as f64 / seconds
            );
        }
    }
}
