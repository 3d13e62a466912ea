use limbeck_model::{Encoding, TextTokenizer};
use limbeck_train::{
    MaskUnit, MaskedBatch, MaskedRow, Masker, MaskingConfig, Sentence, TextRows, TrainError,
};

use crate::{fixture, sentences};

const MASK: u32 = 4;
const SPECIAL: u32 = 5;

fn tokenizer() -> TextTokenizer {
    TextTokenizer::open(&fixture("tiny-bert")).unwrap()
}

fn masker(unit: MaskUnit) -> Masker {
    let config = MaskingConfig {
        unit,
        ..MaskingConfig::default()
    };
    Masker::new(&tokenizer(), config).unwrap()
}

fn rows(count: usize, max_tokens: usize) -> TextRows {
    TextRows::new(&sentences(count), &tokenizer(), max_tokens).unwrap()
}

fn ids(sentences: &[Sentence]) -> Vec<u32> {
    let ids = sentences.iter().flat_map(|s| s.encoding.ids.clone());
    ids.collect()
}

#[test]
fn rows_hold_every_token_in_order_and_fill_up() {
    let tokenizer = tokenizer();
    for max_tokens in [5, 12, 40] {
        let rows = rows(60, max_tokens);
        let ordinary = |ids: Vec<u32>| -> Vec<u32> {
            ids.into_iter().filter(|&id| id != 2 && id != 3).collect()
        };
        let found: Vec<u32> = (0..rows.len())
            .flat_map(|row| ordinary(ids(rows.row(row))))
            .collect();
        let expected: Vec<u32> = sentences(60)
            .iter()
            .flat_map(|text| {
                let text = limbeck_text::Text::single(text);
                ordinary(tokenizer.encode(&text, 1000).unwrap().ids)
            })
            .collect();
        assert_eq!(found, expected);
        let lengths = rows.lengths();
        assert!(lengths.iter().all(|&length| length <= max_tokens));
        // No two neighbours would have fitted into one row.
        for (row, pair) in lengths.windows(2).enumerate() {
            let next = rows.row(row + 1)[0].encoding.ids.len();
            assert!(pair[0] + next > max_tokens);
        }
        for sentence in (0..rows.len()).flat_map(|row| rows.row(row)) {
            let ids = &sentence.encoding.ids;
            assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
        }
    }
    assert!(TextRows::new(&sentences(1), &tokenizer, 2).is_err());
}

#[test]
fn shares_are_those_asked_for_and_special_tokens_stay() {
    let (masker, rows) = (masker(MaskUnit::Tokens), rows(1500, 40));
    let (mut ordinary, mut chosen, mut masked, mut kept, mut others) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for epoch in 0..4 {
        let key = Masker::epoch_key(1, epoch);
        for row in 0..rows.len() {
            let original = ids(rows.row(row));
            let hidden = masker.mask(rows.row(row), key);
            let now = ids(hidden.sentences());
            ordinary += original.iter().filter(|id| **id >= SPECIAL).count() as f64;
            let mut changed = original.clone();
            for (place, target) in hidden.targets() {
                assert_eq!(original[place as usize], target);
                assert!(target >= SPECIAL);
                changed[place as usize] = now[place as usize];
                chosen += 1.0;
                match now[place as usize] {
                    MASK => masked += 1.0,
                    id if id == target => kept += 1.0,
                    id => {
                        assert!(id >= SPECIAL);
                        others += 1.0;
                    }
                }
            }
            assert_eq!(changed, now, "only chosen tokens change");
        }
    }
    // Four standard deviations of a binomial.
    let near = |share: f64, of: f64, expected: f64| {
        let spread = 4.0 * (expected * (1.0 - expected) / of).sqrt();
        assert!(
            (share / of - expected).abs() < spread,
            "{share} of {of}, expected {expected}"
        );
    };
    near(chosen, ordinary, 0.15);
    near(masked, chosen, 0.8);
    // One in 55 random tokens is the one that stood there.
    near(kept, chosen, 0.1 + 0.1 / 55.0);
    near(others, chosen, 0.1 - 0.1 / 55.0);
}

#[test]
fn masks_depend_on_key_sentence_and_place_alone() {
    let (masker, rows) = (masker(MaskUnit::Tokens), rows(200, 40));
    let key = Masker::epoch_key(1, 0);
    let all: Vec<MaskedRow> = (0..rows.len())
        .map(|row| masker.mask(rows.row(row), key))
        .collect();
    let again: Vec<MaskedRow> = (0..rows.len())
        .map(|row| masker.mask(rows.row(row), key))
        .collect();
    assert_eq!(all, again);
    for other in [
        Masker::epoch_key(1, 1),
        Masker::epoch_key(2, 0),
        Masker::held_out_key(),
    ] {
        let other: Vec<MaskedRow> = (0..rows.len())
            .map(|row| masker.mask(rows.row(row), other))
            .collect();
        assert_ne!(all, other);
    }
    // Packed, targets point at the rows where their tokens lie.
    let packed = MaskedBatch::new(&all[3..9]);
    let original: Vec<u32> = (3..9).flat_map(|row| ids(rows.row(row))).collect();
    assert_eq!(packed.rows.len(), packed.targets.len());
    for (&row, &target) in packed.rows.iter().zip(&packed.targets) {
        assert_eq!(original[row as usize], target);
    }
    assert_eq!(packed.batch.ids.len(), original.len());
}

#[test]
fn a_row_always_has_something_to_predict() {
    let config = MaskingConfig {
        predicted_fraction: 1e-9,
        ..MaskingConfig::default()
    };
    let masker = Masker::new(&tokenizer(), config).unwrap();
    let rows = rows(50, 20);
    let places: Vec<Vec<(u32, u32)>> = (0..rows.len())
        .map(|row| masker.mask(rows.row(row), 5).targets().collect())
        .collect();
    assert!(places.iter().all(|targets| targets.len() == 1));
    assert!(places.iter().any(|targets| targets[0].0 > 3));
}

#[test]
fn whole_words_are_hidden_as_one() {
    let masker = masker(MaskUnit::WholeWords);
    // un ##watch ##able film
    let pieces = tokenizer()
        .encode(&limbeck_text::Text::single("unwatchable film"), 20)
        .unwrap();
    let count = pieces.ids.len() - 3;
    assert_eq!(count, 3);
    let mut seen = [0, 0];
    for key in 0..400 {
        let sentence = Sentence {
            id: 9,
            encoding: Encoding::clone(&pieces),
        };
        let row = masker.mask(&[sentence], key);
        let places: Vec<u32> = row.targets().map(|(place, _)| place).collect();
        let word = places
            .iter()
            .filter(|place| (1..=3).contains(*place))
            .count();
        assert!(word == 0 || word == 3, "{places:?}");
        seen[0] += usize::from(word == 3);
        seen[1] += usize::from(places.contains(&4));
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

#[test]
fn shares_out_of_range_are_named() {
    for (config, setting) in [
        (
            MaskingConfig {
                predicted_fraction: 0.0,
                ..MaskingConfig::default()
            },
            "predicted-fraction",
        ),
        (
            MaskingConfig {
                mask_fraction: 1.1,
                ..MaskingConfig::default()
            },
            "mask-fraction",
        ),
        (
            MaskingConfig {
                random_fraction: 0.3,
                ..MaskingConfig::default()
            },
            "random-fraction",
        ),
    ] {
        let error = Masker::new(&tokenizer(), config).unwrap_err();
        assert!(matches!(error, TrainError::Setting { setting: found, .. } if found == setting));
    }
}
