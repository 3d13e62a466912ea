//! Words' sources that golden cases were made with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use limbeck_text::lexicon::{PerceptronTagger, WordNeighbours, WordNet};
use serde::Deserialize;

/// The folder that `variable` names, or the first that is there of `usual` below the workspace; `None`, with a message, without one.
fn folder(variable: &str, usual: &[&str]) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os(variable).map(PathBuf::from);
    let usual_places = usual.iter().map(|place| workspace.join(place));
    let found = named
        .into_iter()
        .chain(usual_places)
        .find(|place| place.is_dir());
    if found.is_none() {
        eprintln!("skipped: `{variable}` names no folder and none of {usual:?} is there");
    }
    found
}

pub(crate) fn wordnet() -> Option<WordNet> {
    let folder = folder("LIMBECK_WORDNET_DIR", &[".limbeck/lexicon/wordnet"])?;
    Some(WordNet::open(&folder).unwrap())
}

pub(crate) fn perceptron() -> Option<PerceptronTagger> {
    let usual = [
        ".limbeck/lexicon/nltk-tagger",
        "../shared/data/lexicon/nltk-perceptron",
    ];
    let folder = folder("LIMBECK_NLTK_TAGGER_DIR", &usual)?;
    Some(PerceptronTagger::open(&folder).unwrap())
}

/// 3,000 words with vectors of 16 numbers.
#[derive(Deserialize)]
pub(crate) struct ToyEmbedding {
    words: Vec<String>,
    vectors: Vec<Vec<f32>>,
    nn_self_first_euclid_stable: Vec<Vec<usize>>,
    #[serde(skip)]
    ids: HashMap<String, usize>,
}

impl ToyEmbedding {
    pub(crate) fn read() -> Option<Self> {
        let mut toy: Self = crate::golden::read("toy_embedding.json")?;
        toy.ids = toy.words.iter().cloned().zip(0..).collect();
        Some(toy)
    }

    fn pair(&self, first: &str, second: &str) -> Option<(&[f32], &[f32])> {
        Some((
            &self.vectors[*self.ids.get(first)?],
            &self.vectors[*self.ids.get(second)?],
        ))
    }
}

impl WordNeighbours for ToyEmbedding {
    fn neighbours(&self, word: &str, count: usize) -> Vec<&str> {
        let Some(&id) = self.ids.get(word) else {
            return Vec::new();
        };
        let ranked = &self.nn_self_first_euclid_stable[id][1..];
        ranked
            .iter()
            .take(count)
            .map(|&at| self.words[at].as_str())
            .collect()
    }

    fn cosine(&self, first: &str, second: &str) -> Option<f32> {
        let (a, b) = self.pair(first, second)?;
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        Some((dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32)
    }

    fn squared_distance(&self, first: &str, second: &str) -> Option<f32> {
        let (a, b) = self.pair(first, second)?;
        Some(a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum())
    }
}
