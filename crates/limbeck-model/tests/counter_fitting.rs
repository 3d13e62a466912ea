//! Counter-fitting against an independent program, and what it does to words.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use limbeck_model::{
    Constraints, CounterFitConfig, CounterFitStep, Ranking, VectorStore, WordVectors,
    antonyms_among_neighbours, counter_fit, rating_agreement, read_rated_pairs, read_word_pairs,
};
use serde_json::Value;

fn fixture() -> Value {
    // Made by scripts/reference/counter_fit.py.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/counter_fit.json");
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let rows = value.as_array().unwrap();
    let numbers = |row: &Value| match row {
        Value::Array(row) => row.iter().map(|v| v.as_f64().unwrap()).collect(),
        number => vec![number.as_f64().unwrap()],
    };
    rows.iter().flat_map(numbers).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_array().unwrap().iter();
    pairs
        .map(|pair| (pair[0].to_string(), pair[1].to_string()))
        .collect()
}

fn case(fixture: &Value) -> (WordVectors, Constraints, CounterFitConfig) {
    let initial = &fixture["initial"];
    let words: Vec<String> = (0..initial.as_array().unwrap().len())
        .map(|word| word.to_string())
        .collect();
    let values: Vec<f32> = numbers(initial).into_iter().map(|v| v as f32).collect();
    let vectors = WordVectors::from_rows(&words, 8, &values);
    let constraints = Constraints {
        synonyms: pairs(&fixture["synonyms"]),
        antonyms: pairs(&fixture["antonyms"]),
    };
    let config = CounterFitConfig {
        epochs: fixture["epochs"].as_u64().unwrap() as usize,
        ..CounterFitConfig::default()
    };
    (vectors.unwrap(), constraints, config)
}

#[test]
fn fitted_vectors_are_those_of_the_reference() {
    let fixture = fixture();
    let (vectors, constraints, config) = case(&fixture);
    let (fitted, summary) = counter_fit(&vectors, &constraints, &config, &mut |_| {}).unwrap();
    let expected = numbers(&fixture["fitted"]);
    assert_eq!(fitted.values().len(), expected.len());
    for (place, (&found, expected)) in fitted.values().iter().zip(&expected).enumerate() {
        assert!(
            (f64::from(found) - expected).abs() < 1e-5,
            "{place}: {found} and {expected}"
        );
    }
    let losses = numbers(&fixture["losses"]);
    assert_eq!(summary.losses.len(), losses.len());
    for (found, expected) in summary.losses.iter().zip(losses) {
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    }
    assert_eq!(
        summary.preserved_pairs as u64,
        fixture["near_pairs"].as_u64().unwrap()
    );
}

#[test]
fn threads_and_the_order_of_constraints_change_nothing() {
    let (vectors, mut constraints, config) = case(&fixture());
    let run = |threads, constraints: &Constraints| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| counter_fit(&vectors, constraints, &config, &mut |_| {}).unwrap())
    };
    let one = run(1, &constraints);
    assert_eq!(one, run(3, &constraints));
    constraints.synonyms.reverse();
    constraints.antonyms.reverse();
    for (first, second) in &mut constraints.synonyms {
        std::mem::swap(first, second);
    }
    assert_eq!(one, run(2, &constraints));
}

#[test]
fn synonyms_meet_antonyms_part_and_others_rest() {
    let text = "good 1 0 0\nfine 0.8 0.6 0\nbad 0.96 0.28 0\nchair 0 0 1\nstool 0 0.1 1\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.txt");
    fs_err::write(&path, text).unwrap();
    let vectors = WordVectors::open(&path, None, limbeck_model::Keep::All).unwrap();
    let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
    let constraints = Constraints {
        synonyms: pair("good", "fine"),
        antonyms: pair("bad", "good"),
    };
    let mut epochs = Vec::new();
    let (fitted, summary) = counter_fit(
        &vectors,
        &constraints,
        &CounterFitConfig::default(),
        &mut |step| {
            if let CounterFitStep::Epoch { epoch, .. } = step {
                epochs.push(epoch);
            }
        },
    )
    .unwrap();
    assert_eq!(epochs, (1..=20).collect::<Vec<_>>());
    assert!(summary.losses.last() < summary.losses.first());
    let mut normalised = vectors.clone();
    normalised.normalise();
    let cosine = |vectors: &WordVectors, a: &str, b: &str| {
        let (a, b) = (vectors.vector(a).unwrap(), vectors.vector(b).unwrap());
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>()
    };
    let antonym_is_nearer =
        |vectors| cosine(vectors, "good", "bad") > cosine(vectors, "good", "fine");
    assert!(antonym_is_nearer(&normalised) && !antonym_is_nearer(&fitted));
    assert!(cosine(&fitted, "good", "fine") > cosine(&normalised, "good", "fine"));
    // Near each other and far from all constraints: bit for bit as they were.
    for word in ["chair", "stool"] {
        assert_eq!(fitted.vector(word), normalised.vector(word));
    }
    let store = |vectors| VectorStore::in_memory(vectors, Ranking::Cosine).unwrap();
    let found =
        |vectors| antonyms_among_neighbours(&store(vectors), &constraints.antonyms, &[1])[0].found;
    // From both words of the pair.
    assert_eq!((found(&vectors), found(&fitted)), (2, 0));
}

#[test]
fn what_cannot_be_fitted_is_explained() {
    let (vectors, constraints, config) = case(&fixture());
    let explain = |constraints: &Constraints, config: CounterFitConfig| {
        counter_fit(&vectors, constraints, &config, &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    let strangers = Constraints {
        synonyms: vec![("gut".to_owned(), "fein".to_owned())],
        antonyms: Vec::new(),
    };
    insta::assert_snapshot!(explain(&strangers, config), @"word vectors: none of 1 constraints has two words among the 60 vectors; are both of the same language, and lower-cased?");
    let far = CounterFitConfig {
        radius: 2.5,
        ..config
    };
    insta::assert_snapshot!(explain(&constraints, far), @"word vectors: `radius`: found 2.5, expected 0 to 2");
}

#[test]
fn constraints_and_ratings_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let read =
        read_word_pairs(&write("a.txt", "up down \n\nen_old en_new\nen_route way\n")).unwrap();
    assert_eq!(
        read,
        [
            both("up", "down"),
            both("old", "new"),
            both("en_route", "way")
        ]
    );
    let explain = |error: limbeck_model::ModelError| {
        let text = error.to_string();
        text.split_once("/b.").unwrap().1.to_owned()
    };
    let error = read_word_pairs(&write("b.txt", "up down\nup\n")).unwrap_err();
    insta::assert_snapshot!(explain(error), @"txt:2: 1 words in `up`, expected the two of a pair");
    let ratings = "word1\tword2\tPOS\tSimLex999\told\nold\tnew\tA\t1.58\t9\nbig\tlarge\tA\t9.5\t9\nold\tbig\tA\t3\t9\n";
    let rated = read_rated_pairs(&write("b.tsv", ratings)).unwrap();
    assert_eq!((rated.len(), rated[0].rating), (3, 1.58));
    let error = read_rated_pairs(&write("b.tsv", "old\tnew\t1\nold\tnew\tvery\n")).unwrap_err();
    insta::assert_snapshot!(explain(error), @"tsv:2: `very` is not a rating");
    let vectors = write("v.txt", "old 1 0\nnew 0 1\nbig 1 1\n");
    let vectors = WordVectors::open(&vectors, None, limbeck_model::Keep::All).unwrap();
    let store = VectorStore::in_memory(&vectors, Ranking::Cosine).unwrap();
    let agreement = rating_agreement(&store, &rated);
    assert_eq!((agreement.known_pairs, agreement.pairs), (2, 3));
    assert!((agreement.spearman.unwrap() - 1.0).abs() < 1e-12);
}
