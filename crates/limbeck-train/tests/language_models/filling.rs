use candle_core::Device;
use limbeck_text::{Filling, Gap, MaskedLm};
use limbeck_train::MaskedLmFiller;
use serde_json::Value;

use crate::{fixture, floats, json};

const FAMILIES: [&str; 4] = [
    "tiny-bert-mlm",
    "tiny-roberta-mlm",
    "tiny-distilbert-mlm",
    "tiny-mpnet-mlm",
];

fn open(name: &str, max_tokens: usize) -> MaskedLmFiller {
    MaskedLmFiller::open(&fixture(name), name, max_tokens, &Device::Cpu).unwrap()
}

fn gap(row: &Value) -> Gap<'_> {
    Gap {
        before: row["before"].as_str().unwrap(),
        after: row["after"].as_str().unwrap(),
        second: row["second"].as_str(),
    }
}

#[test]
fn probabilities_equal_those_of_transformers() {
    for name in FAMILIES {
        let reference = json(&format!("{name}/filling.json"));
        let rows = reference["rows"].as_array().unwrap();
        let filler = open(name, 36);
        let gaps: Vec<Gap<'_>> = rows.iter().map(gap).collect();
        let found = filler.probabilities(&gaps).unwrap();
        let mut cut = 0;
        for (row, found) in rows.iter().zip(&found) {
            let Some(found) = found else {
                assert!(row["place"].is_null(), "{name}: {row}");
                cut += 1;
                continue;
            };
            let expected = floats(&row["probabilities"]);
            assert_eq!(found.len(), expected.len());
            for (id, (a, b)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(*a) - b).abs() < 1e-5,
                    "{name}, {}, token {id}: {a}, transformers {b}",
                    row["before"]
                );
            }
        }
        assert_eq!(cut, 1, "{name}: the long text loses its gap");
        for (word, count) in reference["piece_counts"].as_object().unwrap() {
            let found = filler.piece_count(word).unwrap();
            assert_eq!(found as u64, count.as_u64().unwrap(), "{name}: {word}");
        }
    }
}

#[test]
fn fillings_are_a_full_sort_cut_short() {
    let accept: &(dyn Fn(&Filling) -> bool + Sync) =
        &|filling| !filling.continues && filling.token.len() > 1;
    for name in FAMILIES {
        let reference = json(&format!("{name}/filling.json"));
        let gaps: Vec<Gap<'_>> = reference["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(gap)
            .collect();
        let filler = open(name, 36);
        let everything = filler.fill(&gaps, usize::MAX / 4, &|_| true).unwrap();
        let probabilities = filler.probabilities(&gaps).unwrap();
        for count in [0, 1, 7, 10_000] {
            let found = filler.fill(&gaps, count, accept).unwrap();
            for (found, all) in found.iter().zip(&everything) {
                let expected: Vec<Filling> = all
                    .iter()
                    .filter(|f| accept(f))
                    .take(count)
                    .cloned()
                    .collect();
                assert_eq!(*found, expected, "{name}");
            }
        }
        for (all, probabilities) in everything.iter().zip(probabilities) {
            let Some(probabilities) = probabilities else {
                assert!(all.is_empty());
                continue;
            };
            let mut sorted: Vec<(usize, f32)> = probabilities.into_iter().enumerate().collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let found: Vec<f32> = all.iter().map(|filling| filling.probability).collect();
            let sorted: Vec<f32> = sorted.into_iter().map(|(_, p)| p).collect();
            assert_eq!(found, sorted, "{name}");
        }
    }
}

#[test]
fn an_answer_does_not_depend_on_the_other_questions_nor_on_threads() {
    let filler = open("tiny-bert-mlm", 36);
    let texts: Vec<(String, String)> = (0..150)
        .map(|i| {
            (
                format!("{}film is ", "the ".repeat(1 + i % 9)),
                " .".repeat(i % 4),
            )
        })
        .collect();
    let gaps: Vec<Gap<'_>> = texts
        .iter()
        .map(|(before, after)| Gap {
            before,
            after,
            second: None,
        })
        .collect();
    let together = filler.fill(&gaps, 12, &|_| true).unwrap();
    for (gap, expected) in gaps.iter().zip(&together) {
        assert_eq!(filler.fill(&[*gap], 12, &|_| true).unwrap()[0], *expected);
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let found = pool.install(|| filler.fill(&gaps, 12, &|_| true).unwrap());
        assert!(found == together, "{threads} threads");
    }
    assert!(filler.fill(&[], 3, &|_| true).unwrap().is_empty());
}

#[test]
fn a_text_may_hold_the_mask_token_itself() {
    let filler = open("tiny-bert-mlm", 36);
    let reference = json("tiny-bert-mlm/filling.json");
    let id = |token: &str| {
        let text = fs_err::read_to_string(fixture("tiny-bert-mlm/vocab.txt")).unwrap();
        text.lines().position(|line| line == token).unwrap()
    };
    assert_eq!(id("[MASK]"), 4);
    assert!(!reference["rows"].as_array().unwrap().is_empty());
    let probabilities = |before, after| {
        let gap = Gap {
            before,
            after,
            second: None,
        };
        filler.probabilities(&[gap]).unwrap()[0].clone().unwrap()
    };
    // The same tokens, asked at the first mask and at the second.
    let (first, second) = (
        probabilities("the ", " is [MASK] ."),
        probabilities("the [MASK] is ", " ."),
    );
    assert_ne!(first, second);
    let gap = Gap {
        before: "the film is good and the plot is not bad , but the story is slow and it is very dull in that review . the film is good ! ",
        after: "",
        second: Some("[MASK]"),
    };
    let short = open("tiny-bert-mlm", 12);
    assert!(
        short.probabilities(&[gap]).unwrap()[0].is_none(),
        "the second sentence's mask is not the gap"
    );
}
