use std::collections::HashSet;

use limbeck_text::{Example, Label, Text, duplicate_groups, split};
use proptest::prelude::*;

fn examples(rows: &[(u8, u32)]) -> Vec<Example> {
    let example = |(id, &(text, class)): (usize, &(u8, u32))| Example {
        id: id as u64,
        text: Text::single(format!("text {text}")),
        label: Some(Label::Class(class)),
    };
    rows.iter().enumerate().map(example).collect()
}

#[test]
fn every_class_gives_its_share() {
    let rows: Vec<(u8, u32)> = (0..200).map(|i| (i, u32::from(i % 4 == 0))).collect();
    let parts = split(&examples(&rows), 0.1, 7).unwrap();
    let of = |class| {
        parts
            .held_out
            .iter()
            .filter(|e| e.label == Some(Label::Class(class)))
            .count()
    };
    assert_eq!((of(0), of(1)), (15, 5));
    assert_eq!(parts, split(&examples(&rows), 0.1, 7).unwrap());
    assert_ne!(parts, split(&examples(&rows), 0.1, 8).unwrap());
}

#[test]
fn a_seed_means_the_same_split_for_ever() {
    let rows: Vec<(u8, u32)> = (0..20).map(|i| (i, u32::from(i % 2))).collect();
    let parts = split(&examples(&rows), 0.2, 1).unwrap();
    let ids: Vec<u64> = parts.held_out.iter().map(|example| example.id).collect();
    assert_eq!(ids, [3, 8, 15, 16]);
}

#[test]
fn equal_texts_are_one_group() {
    let examples = examples(&[(1, 0), (2, 0), (1, 1), (3, 0), (2, 0)]);
    assert_eq!(
        duplicate_groups(&examples),
        [vec![0, 2], vec![1, 4], vec![3]]
    );
}

#[test]
fn a_fraction_of_nothing_or_all_is_refused() {
    for fraction in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(split(&[], fraction, 0).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_is_on_both_sides_and_no_row_is_lost(
        rows in proptest::collection::vec((0..20_u8, 0..3_u32), 0..80),
        fraction in 0.05..0.95,
        seed: u64,
    ) {
        let examples = examples(&rows);
        let parts = split(&examples, fraction, seed).unwrap();
        let texts: HashSet<_> = parts.rest.iter().map(|e| &e.text).collect();
        prop_assert!(parts.held_out.iter().all(|e| !texts.contains(&e.text)));
        let mut all = [parts.rest, parts.held_out].concat();
        all.sort_by_key(|example| example.id);
        prop_assert_eq!(all, examples);
    }
}
