//! How well vectors agree with people's judgement of similarity, and how well they tell antonyms apart.

use std::collections::BTreeSet;
use std::path::Path;

use limbeck_text::lexicon::WordNeighbours;
use limbeck_text::spearman;
use serde::Serialize;

use super::{VectorStore, file_error, shortened};
use crate::ModelError;

/// The column of SimLex-999 that holds the rating.
const RATING: &str = "SimLex999";

/// Two words and how similar people find them.
#[derive(Debug, Clone, PartialEq)]
pub struct RatedPair {
    /// One word.
    pub first: String,
    /// The other.
    pub second: String,
    /// A larger rating is more similar; SimLex-999 has 0 to 10.
    pub rating: f64,
}

/// Reads rated pairs, tab-separated: with SimLex-999's header by its columns, else word, word, rating.
pub fn read_rated_pairs(path: &Path) -> Result<Vec<RatedPair>, ModelError> {
    let text = fs_err::read_to_string(path).map_err(|source| ModelError::Read { source })?;
    let mut columns = [0, 1, 2];
    let mut pairs = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        let fields: Vec<&str> = row.trim_end_matches('\r').split('\t').collect();
        let column = |name: &str| fields.iter().position(|&field| field == name);
        if line == 1
            && let (Some(first), Some(second), Some(rating)) =
                (column("word1"), column("word2"), column(RATING))
        {
            columns = [first, second, rating];
            continue;
        }
        if row.is_empty() {
            continue;
        }
        let [Some(&first), Some(&second), Some(rating)] = columns.map(|column| fields.get(column))
        else {
            return Err(line_error(
                path,
                line,
                "found too few tab-separated columns, expected two words and a rating",
            ));
        };
        let Some(rating) = rating
            .parse()
            .ok()
            .filter(|rating: &f64| rating.is_finite())
        else {
            let problem = format!("`{}` is not a rating", shortened(rating));
            return Err(line_error(path, line, &problem));
        };
        pairs.push(RatedPair {
            first: first.to_owned(),
            second: second.to_owned(),
            rating,
        });
    }
    if pairs.is_empty() {
        return Err(file_error(
            path,
            "no rated pairs, expected word, word and rating per line",
        ));
    }
    Ok(pairs)
}

fn line_error(path: &Path, line: usize, problem: &str) -> ModelError {
    ModelError::LexiconLine {
        path: path.to_owned(),
        line,
        problem: problem.to_owned(),
    }
}

/// Agreement with rated pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RatingAgreement {
    /// Spearman's correlation of cosines with ratings, in `[-1, 1]`; `None` where undefined.
    pub spearman: Option<f64>,
    /// Pairs of which both words are known; the others do not count.
    pub known_pairs: usize,
    /// All pairs.
    pub pairs: usize,
}

/// Correlates the cosines of pairs with their ratings.
pub fn rating_agreement(words: &dyn WordNeighbours, pairs: &[RatedPair]) -> RatingAgreement {
    let (cosines, ratings): (Vec<f64>, Vec<f64>) = pairs
        .iter()
        .filter_map(|pair| {
            Some((
                f64::from(words.cosine(&pair.first, &pair.second)?),
                pair.rating,
            ))
        })
        .unzip();
    RatingAgreement {
        spearman: spearman(&cosines, &ratings),
        known_pairs: cosines.len(),
        pairs: pairs.len(),
    }
}

/// Antonyms found among neighbours.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AntonymShare {
    /// How many neighbours of each word were looked at.
    pub neighbours: usize,
    /// Ordered pairs (word, antonym) where the antonym is among the word's neighbours.
    pub found: usize,
    /// All ordered pairs of two known, different words: each pair counts from both of its words.
    pub pairs: usize,
}

impl AntonymShare {
    /// `found / pairs`, 0 without pairs.
    pub fn fraction(&self) -> f64 {
        self.found as f64 / self.pairs.max(1) as f64
    }
}

/// Counts antonyms among the nearest words, for each number of neighbours. Repeated pairs count once.
pub fn antonyms_among_neighbours(
    store: &VectorStore,
    antonyms: &[(String, String)],
    neighbour_counts: &[usize],
) -> Vec<AntonymShare> {
    let known = antonyms.iter().filter_map(|(first, second)| {
        let (first, second) = (store.row(first)? as u32, store.row(second)? as u32);
        (first != second).then_some([(first, second), (second, first)])
    });
    let pairs: BTreeSet<(u32, u32)> = known.flatten().collect();
    let words: Vec<u32> = pairs
        .iter()
        .map(|&(word, _)| word)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let most = neighbour_counts.iter().copied().max().unwrap_or(0);
    let width = most.min(store.len() - 1);
    let nearest = store.nearest_of(&words, most);
    let rank = |&(word, antonym): &(u32, u32)| {
        let place = words.binary_search(&word).ok()?;
        let row = &nearest[place * width..][..width];
        row.iter().position(|&near| near == antonym)
    };
    let ranks: Vec<usize> = pairs.iter().filter_map(rank).collect();
    neighbour_counts
        .iter()
        .map(|&neighbours| AntonymShare {
            neighbours,
            found: ranks.iter().filter(|&&rank| rank < neighbours).count(),
            pairs: pairs.len(),
        })
        .collect()
}
