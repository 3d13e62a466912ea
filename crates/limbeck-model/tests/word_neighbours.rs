//! Neighbours of words against recorded ones, and the files that keep them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says when it skips"
)]

use std::path::{Path, PathBuf};

use limbeck_model::{Keep, NeighbourList, Ranking, VectorStore, WordVectors};
use limbeck_text::lexicon::WordNeighbours;
use serde_json::Value;

/// A recorded file of `LIMBECK_GOLDEN_DIR`, where there is one.
fn golden(name: &str) -> Option<Value> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let folder = std::env::var_os("LIMBECK_GOLDEN_DIR").map_or(default, PathBuf::from);
    let path = folder.join(name);
    if !path.is_file() {
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap())
}

fn strings(value: &Value) -> Vec<String> {
    let strings = value.as_array().unwrap().iter();
    strings.map(|s| s.as_str().unwrap().to_owned()).collect()
}

/// The embedding of the recordings, ranked as there.
fn toy_embedding() -> Option<(Value, VectorStore)> {
    let toy = golden("toy_embedding.json")?;
    let rows = toy["vectors"].as_array().unwrap().iter();
    let values = rows.flat_map(|row| {
        row.as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap() as f32)
    });
    let dimensions = toy["dim"].as_u64().unwrap() as usize;
    let vectors = WordVectors::from_rows(
        &strings(&toy["words"]),
        dimensions,
        &values.collect::<Vec<f32>>(),
    )
    .unwrap();
    let store = VectorStore::in_memory(&vectors, Ranking::Euclidean).unwrap();
    Some((toy, store))
}

#[test]
fn golden_neighbours_of_all_words() {
    let Some((toy, mut store)) = toy_embedding() else {
        return;
    };
    let words = strings(&toy["words"]);
    let lists = toy["nn_self_first_euclid_stable"].as_array().unwrap();
    let expected: Vec<Vec<&str>> = lists
        .iter()
        .map(|list| {
            let ids = list.as_array().unwrap()[1..].iter();
            ids.map(|id| &*words[id.as_u64().unwrap() as usize])
                .collect()
        })
        .collect();
    // One by one, then from the table.
    for has_table in [false, true] {
        if has_table {
            store
                .compute_neighbours(expected[0].len(), &|_| {})
                .unwrap();
        }
        for (word, expected) in words.iter().zip(&expected) {
            assert_eq!(store.neighbours(word, expected.len()), *expected, "{word}");
        }
    }
}

#[test]
fn golden_candidates_and_cosines() {
    let Some((_, store)) = toy_embedding() else {
        return;
    };
    let Some(golden) = golden("embedding_neighbours.json") else {
        return;
    };
    for case in golden["cases"].as_array().unwrap() {
        // The recordings give candidates the case of the word; neighbours come as they are in the vectors.
        let word = case["word"].as_str().unwrap().to_lowercase();
        let expected: Vec<String> = strings(&case["candidates"])
            .iter()
            .map(|c| c.to_lowercase())
            .collect();
        let near = store.neighbours(&word, 50);
        assert_eq!(near, expected, "{word}");
        for (near, cosine) in near.iter().zip(case["cos"].as_array().unwrap()) {
            let (found, expected) = (store.cosine(&word, near).unwrap(), cosine.as_f64().unwrap());
            assert!(
                (f64::from(found) - expected).abs() < 1e-6,
                "{word} {near}: {found} and {expected}"
            );
        }
    }
}

fn vectors() -> WordVectors {
    let word = |i: u64| format!("wörd{}", i.wrapping_mul(0x9e37_79b9) % 1000);
    let value = |i: u64| (limbeck_ops::mix64(i) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let words: Vec<String> = (0..400).map(word).collect();
    let values: Vec<f32> = (0..2000).map(value).collect();
    let mut vectors = WordVectors::from_rows(&words, 5, &values).unwrap();
    vectors.normalise();
    vectors
}

#[test]
fn a_store_gives_back_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let vectors = vectors();
    let mut made = VectorStore::create(&path, &vectors, Ranking::Cosine).unwrap();
    assert!(VectorStore::is_in(&path) && made.is_normalised());
    let searched: Vec<Vec<String>> = made
        .words()
        .map(|word| {
            made.neighbours(word, 20)
                .into_iter()
                .map(str::to_owned)
                .collect()
        })
        .collect();
    made.compute_neighbours(20, &|_| {}).unwrap();
    let store = VectorStore::open(&path).unwrap();
    assert_eq!(
        (store.len(), store.dimensions(), store.stored_neighbours()),
        (vectors.words().len(), 5, 20)
    );
    assert_eq!(store.digest(), made.digest());
    assert_eq!(store.to_vectors(Keep::All).unwrap(), vectors);
    for (word, near) in vectors.words().iter().zip(&searched) {
        assert_eq!(store.vector(word), vectors.vector(word));
        assert_eq!(store.neighbours(word, 20), *near);
        assert_eq!(store.neighbours(word, 7), near[..7]);
        // Beyond the table.
        assert_eq!(store.neighbours(word, 30)[..20], *near);
        let cosines: Vec<f32> = store
            .nearest(word, 20)
            .into_iter()
            .map(|(_, cosine)| cosine)
            .collect();
        assert!(cosines.is_sorted_by(|a, b| a >= b));
        assert_eq!(store.cosine(word, &near[0]), Some(cosines[0]));
        let square = store.squared_distance(word, &near[0]).unwrap();
        assert!((square - 2.0 * (1.0 - cosines[0])).abs() < 1e-5);
    }
    assert_eq!(store.vector("word"), None);
    assert!(store.neighbours("word", 3).is_empty());
    assert_eq!(store.cosine("word", "wörd0"), None);
    let first: Vec<String> = store.to_vectors(Keep::First(3)).unwrap().words().to_vec();
    assert_eq!(first, vectors.words()[..3]);
}

#[test]
fn a_damaged_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = VectorStore::create(&path, &vectors(), Ranking::Cosine).unwrap();
    store.compute_neighbours(5, &|_| {}).unwrap();
    drop(store);
    let explain = || {
        let text = VectorStore::open(&path).unwrap_err().to_string();
        text.rsplit_once('/').unwrap().1.to_owned()
    };
    for name in ["vectors.lbv", "neighbours.lbn"] {
        let file = path.join(name);
        let whole = fs_err::read(&file).unwrap();
        // Every 37th byte, and the ends of the header and of the file.
        for place in (0..whole.len())
            .step_by(37)
            .chain([127, 128, whole.len() - 1])
        {
            let mut bytes = whole.clone();
            bytes[place] ^= 4;
            fs_err::write(&file, bytes).unwrap();
            assert!(VectorStore::open(&path).is_err(), "{name}, byte {place}");
        }
        for length in (0..whole.len()).step_by(101) {
            fs_err::write(&file, &whole[..length]).unwrap();
            assert!(
                VectorStore::open(&path).is_err(),
                "{name} of {length} bytes"
            );
        }
        fs_err::write(&file, whole).unwrap();
        VectorStore::open(&path).unwrap();
    }
    let file = path.join("vectors.lbv");
    let whole = fs_err::read(&file).unwrap();
    fs_err::write(&file, &whole[..whole.len() - 1]).unwrap();
    insta::assert_snapshot!(explain(), @"vectors.lbv: 14483 bytes, expected 14484 for its 400 rows; make it again");
    fs_err::write(&file, &whole[..100]).unwrap();
    insta::assert_snapshot!(explain(), @"vectors.lbv: too short for a store of word vectors; make it again");
    fs_err::write(&file, [b"PK\x03\x04".as_slice(), &whole].concat()).unwrap();
    insta::assert_snapshot!(explain(), @"vectors.lbv: not a store of word vectors of limbeck");
    let mut bytes = whole.clone();
    bytes[200] ^= 1;
    fs_err::write(&file, bytes).unwrap();
    insta::assert_snapshot!(explain(), @"vectors.lbv: damaged: its checksum does not agree; make it again");
    // Another store's table.
    let other = folder.path().join("other");
    let mut few = vectors().values().to_vec();
    few[0] = 0.5;
    let few = WordVectors::from_rows(vectors().words(), 5, &few).unwrap();
    VectorStore::create(&other, &few, Ranking::Cosine).unwrap();
    fs_err::copy(other.join("vectors.lbv"), &file).unwrap();
    insta::assert_snapshot!(explain(), @"neighbours.lbn: made from other vectors than those beside it; delete it, and make it again with `limbeck vectors import`");
    // Made anew, the stale table goes.
    let store = VectorStore::create(&path, &few, Ranking::Cosine).unwrap();
    assert_eq!(store.stored_neighbours(), 0);
    assert_eq!(VectorStore::open(&path).unwrap().stored_neighbours(), 0);
}

#[test]
fn ready_made_neighbours_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let json = r#"{"br": [], "movie": ["film", "movie", "cinema", "film"]}"#;
    let text = "br\t\nmovie\tfilm movie cinema film\n";
    let list = NeighbourList::open(&write("near.json", json)).unwrap();
    assert_eq!(list, NeighbourList::open(&write("near.tsv", text)).unwrap());
    assert_eq!(list.neighbours("movie", 50), ["film", "cinema"]);
    assert_eq!(list.neighbours("movie", 1), ["film"]);
    assert!(list.neighbours("br", 5).is_empty() && list.contains("br") && !list.contains("Movie"));
    assert_eq!(
        (
            list.cosine("movie", "film"),
            list.squared_distance("movie", "film")
        ),
        (None, None)
    );
    let explain = |name: &str, text: &str| {
        let error = NeighbourList::open(&write(name, text))
            .unwrap_err()
            .to_string();
        error.rsplit_once('/').unwrap().1.to_owned()
    };
    insta::assert_snapshot!(explain("a.tsv", "br\t\nmovie film\n"), @"a.tsv:2: no tab after `movie film`, expected a word, a tab, and its neighbours");
    insta::assert_snapshot!(explain("a.tsv", "br\ta\nbr\tb\n"), @"a.tsv:2: `br` for the second time; leave one line of it");
    insta::assert_snapshot!(explain("a.json", r#"{"br": "a"}"#), @r#"a.json: not an object from word to a list of words: invalid type: string "a", expected a sequence at line 1 column 10"#);
}

#[test]
fn the_counter_fitted_neighbours_are_read_where_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/lexicon/counterfitted_neighbors/counterfitted_neighbors.json");
    if !path.is_file() {
        eprintln!("skipped: no {}", path.display());
        return;
    }
    let list = NeighbourList::open(&path).unwrap();
    let all: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    let words = all.as_object().unwrap().keys();
    let with_neighbours = words.filter(|word| !list.neighbours(word, 1).is_empty());
    assert_eq!(with_neighbours.count(), 25_591);
    assert_eq!(list.neighbours("movie", 3), ["film", "filmmaking", "films"]);
}

#[test]
fn unfit_vectors_are_explained() {
    let explain = |words: &[&str], dimensions, values: &[f32]| {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let vectors = WordVectors::from_rows(&words, dimensions, values);
        let stored = vectors.and_then(|vectors| VectorStore::in_memory(&vectors, Ranking::Cosine));
        stored.unwrap_err().to_string()
    };
    insta::assert_snapshot!(explain(&["a", "b"], 2, &[1.0, 2.0, 3.0]), @"word vectors: found 3 numbers, expected 2 for each of 2 words");
    insta::assert_snapshot!(explain(&["a"], 2, &[1.0, f32::NAN]), @"word vectors: found `NaN` in the vector of `a`, expected a number");
    insta::assert_snapshot!(explain(&["a"], 0, &[]), @"word vectors: found 0 dimensions, expected 1 to 65536");
    insta::assert_snapshot!(explain(&["a"], 1, &[1e20]), @"word vectors: the vector of `a` has length 1.0000000200408773e20, expected 1e-15 to 1e18; normalise the vectors");
    insta::assert_snapshot!(explain(&[], 1, &[]), @"word vectors: found no word to store, expected one or more");
}
