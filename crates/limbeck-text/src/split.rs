use std::collections::{BTreeMap, HashMap};

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{Example, Label, Text, TextError};

/// A data set in two parts, each in its old order and with its old ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// What is left for training.
    pub rest: Vec<Example>,
    /// The part held out.
    pub held_out: Vec<Example>,
}

/// Holds out `fraction` of every class, at random but decided by `seed` alone.
///
/// Examples with the same text always go to the same side, so no held-out sentence was trained on. A text that occurs with several
/// labels counts for the label of its first occurrence. Scores, and examples without a label, are one class each. Each class gives
/// `round(fraction · size)` examples, or as many more as the last text has copies.
///
/// # Errors
/// [`TextError::Setting`] unless `fraction` is above 0 and below 1.
pub fn split(examples: &[Example], fraction: f64, seed: u64) -> Result<Split, TextError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(TextError::Setting {
            setting: "held-out-fraction",
            problem: format!("{fraction} is not above 0 and below 1"),
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut is_held_out = vec![false; examples.len()];
    for mut stratum in strata(examples) {
        let size: usize = stratum.iter().map(Vec::len).sum();
        let wanted = (fraction * size as f64).round() as usize;
        shuffle(&mut stratum, &mut rng);
        let mut taken = 0;
        for group in stratum {
            if taken >= wanted {
                break;
            }
            taken += group.len();
            for index in group {
                is_held_out[index] = true;
            }
        }
    }
    let mut parts = Split::default();
    for (example, held_out) in examples.iter().zip(is_held_out) {
        let part = if held_out {
            &mut parts.held_out
        } else {
            &mut parts.rest
        };
        part.push(example.clone());
    }
    Ok(parts)
}

/// The indices of equal texts together; groups and members in reading order.
pub fn duplicate_groups(examples: &[Example]) -> Vec<Vec<usize>> {
    let mut group_of: HashMap<&Text, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let group = *group_of.entry(&example.text).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(index);
    }
    groups
}

/// The duplicate groups of each class, by the label of their first member.
fn strata(examples: &[Example]) -> Vec<Vec<Vec<usize>>> {
    let mut strata: BTreeMap<u64, Vec<Vec<usize>>> = BTreeMap::new();
    for group in duplicate_groups(examples) {
        let key = match examples[group[0]].label {
            None => 0,
            Some(Label::Score(_)) => 1,
            Some(Label::Class(class)) => 2 + u64::from(class),
        };
        strata.entry(key).or_default().push(group);
    }
    strata.into_values().collect()
}

/// Fisher-Yates, written out so that a seed means the same split whatever `rand` does to its own shuffle.
fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}
