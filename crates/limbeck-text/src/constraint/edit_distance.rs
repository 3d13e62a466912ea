use super::{Constraint, Reference};
use crate::BoxError;
use crate::edit::WordText;

/// The Levenshtein distance of the whole texts, in characters, is at most `max_distance`.
#[derive(Clone, Copy, Debug)]
pub struct MaxEditDistance {
    /// Insertions, deletions and substitutions of one character that may lie between the texts.
    pub max_distance: usize,
    /// What is compared with.
    pub reference: Reference,
}

impl Constraint for MaxEditDistance {
    fn reference(&self) -> Reference {
        self.reference
    }

    fn allows(
        &self,
        reference: &WordText,
        candidates: &mut [WordText],
    ) -> Result<Vec<bool>, BoxError> {
        let near =
            |candidate: &WordText| is_within(reference.text(), candidate.text(), self.max_distance);
        Ok(candidates.iter().map(near).collect())
    }
}

/// Whether at most `limit` insertions, deletions and substitutions of one character turn `first` into `second`.
///
/// Equal ends cost nothing, so they are cut off first; of the rest only the diagonal band that can stay within the limit is
/// computed (Ukkonen 1985).
fn is_within(first: &str, second: &str, limit: usize) -> bool {
    let mut first: Vec<char> = first.chars().collect();
    let mut second: Vec<char> = second.chars().collect();
    let pairs = first.iter().zip(&second);
    let same_start = pairs.take_while(|(a, b)| a == b).count();
    first.drain(..same_start);
    second.drain(..same_start);
    let pairs = first.iter().rev().zip(second.iter().rev());
    let same_end = pairs.take_while(|(a, b)| a == b).count();
    first.truncate(first.len() - same_end);
    second.truncate(second.len() - same_end);
    if first.len().abs_diff(second.len()) > limit {
        return false;
    }
    if first.len().max(second.len()) <= limit {
        return true;
    }
    let beyond = limit + 1;
    let mut above: Vec<usize> = (0..=second.len()).map(|at| at.min(beyond)).collect();
    let mut row = vec![beyond; second.len() + 1];
    for (line, a) in first.iter().enumerate() {
        let from = line.saturating_sub(limit);
        let to = (line + limit + 2).min(second.len());
        row[from] = if from == 0 { line + 1 } else { beyond };
        let mut least = row[from];
        for at in from..to {
            let substituted = above[at] + usize::from(*a != second[at]);
            let cost = substituted.min(above[at + 1] + 1).min(row[at] + 1);
            row[at + 1] = cost.min(beyond);
            least = least.min(cost);
        }
        if to < second.len() {
            row[to + 1..].fill(beyond);
        }
        if least > limit {
            return false;
        }
        std::mem::swap(&mut above, &mut row);
    }
    above[second.len()] <= limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The textbook table, without a band.
    fn distance(first: &str, second: &str) -> usize {
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

    proptest! {
        #[test]
        fn the_band_gives_the_verdict_of_the_whole_table(
            first in "[abc]{0,12}", second in "[abcé]{0,12}", limit in 0_usize..14,
        ) {
            prop_assert_eq!(is_within(&first, &second, limit), distance(&first, &second) <= limit);
        }
    }
}
