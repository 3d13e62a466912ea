//! The toy models of the golden cases: every weight is a dyadic fraction, so sums are exact whatever their order.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;
use std::sync::Mutex;

use limbeck_attack::{Distribution, Victim};
use limbeck_text::lexicon::WordNeighbours;
use limbeck_text::{BoxError, Filling, Gap, MaskedLm, SentenceEmbedder, Text};
use rand::RngCore;
use serde::Deserialize;

fn fnv1a32(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Maximal runs of `[a-z0-9]` after lower-casing ASCII.
fn tokens(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    lower
        .split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit())
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `p1 = sigmoid(bias + Σ weight)`; an unknown token's weight comes from its hash.
#[derive(Deserialize)]
pub(crate) struct Bow {
    bias: f64,
    weights: HashMap<String, f64>,
    /// Every text it was asked, in order.
    #[serde(skip)]
    pub(crate) asked: Mutex<Vec<Text>>,
}

impl Bow {
    pub(crate) fn small() -> Self {
        let weights = [
            ("good", 2.0),
            ("bad", -2.0),
            ("great", 1.5),
            ("dull", -1.5),
            ("film", 0.25),
        ];
        Self {
            bias: 0.125,
            weights: weights
                .map(|(word, weight)| (word.to_owned(), weight))
                .into(),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn probabilities(&self, text: &str) -> Vec<f64> {
        let weight = |token: String| {
            let hashed = || (f64::from(fnv1a32(&token) % 401) - 200.0) / 2048.0;
            self.weights.get(&token).copied().unwrap_or_else(hashed)
        };
        let logit = self.bias + tokens(text).into_iter().map(weight).sum::<f64>();
        let p1 = 1.0 / (1.0 + (-logit).exp());
        vec![1.0 - p1, p1]
    }
}

impl Victim for Bow {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        self.asked.lock().unwrap().extend(texts.iter().cloned());
        let joined = |text: &Text| match &text.second {
            Some(second) => format!("{}\n{second}", text.first),
            None => text.first.clone(),
        };
        let answer = |text: &Text| Distribution::double(self.probabilities(&joined(text)));
        Ok(texts.iter().map(answer).collect())
    }
}

/// 3,000 words with vectors and, for each, the numbers of the nearest, itself first.
#[derive(Deserialize)]
pub(crate) struct ToyVectors {
    words: Vec<String>,
    vectors: Vec<Vec<f64>>,
    nn_self_first_euclid_stable: Vec<Vec<usize>>,
    #[serde(skip)]
    index: HashMap<String, usize>,
}

impl ToyVectors {
    pub(crate) fn indexed(mut self) -> Self {
        let numbered = self.words.iter().cloned().enumerate();
        self.index = numbered.map(|(index, word)| (word, index)).collect();
        self
    }

    pub(crate) fn words(&self) -> Vec<String> {
        self.words.clone()
    }
}

impl WordNeighbours for ToyVectors {
    fn neighbours(&self, word: &str, count: usize) -> Vec<&str> {
        let Some(&index) = self.index.get(word) else {
            return Vec::new();
        };
        let near = self.nn_self_first_euclid_stable[index].iter().skip(1);
        near.take(count)
            .map(|&id| self.words[id].as_str())
            .collect()
    }

    fn cosine(&self, first: &str, second: &str) -> Option<f32> {
        let first = &self.vectors[*self.index.get(first)?];
        let second = &self.vectors[*self.index.get(second)?];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        Some((dot(first, second) / (dot(first, first) * dot(second, second)).sqrt()) as f32)
    }

    fn squared_distance(&self, first: &str, second: &str) -> Option<f32> {
        let first = &self.vectors[*self.index.get(first)?];
        let second = &self.vectors[*self.index.get(second)?];
        let squares = first.iter().zip(second).map(|(a, b)| (a - b).powi(2));
        Some(squares.sum::<f64>() as f32)
    }
}

/// A bag of hashed token vectors.
pub(crate) struct ToyEncoder;

impl SentenceEmbedder for ToyEncoder {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BoxError> {
        let embed = |text: &&str| {
            let mut sum = vec![0.0_f32; 32];
            for token in tokens(text) {
                let mut state = fnv1a32(&format!("s:{token}"));
                for value in &mut sum {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *value += (((state >> 16) % 2001) as f32 - 1000.0) / 1024.0;
                }
            }
            sum
        };
        Ok(texts.iter().map(embed).collect())
    }

    fn name(&self) -> &'static str {
        "toy encoder"
    }
}

/// Proposes every 37th word of a list, from one that the masked text's hash chooses.
pub(crate) struct ScriptedMlm(pub(crate) Vec<String>);

impl MaskedLm for ScriptedMlm {
    fn fill(
        &self,
        gaps: &[Gap<'_>],
        count: usize,
        accept: &(dyn Fn(&Filling) -> bool + Sync),
    ) -> Result<Vec<Vec<Filling>>, BoxError> {
        let fill = |gap: &Gap<'_>| {
            let start = fnv1a32(&format!("{}[MASK]{}", gap.before, gap.after)) as usize;
            let all = (0..self.0.len()).map(|rank| Filling {
                token: self.0[(start + 37 * rank) % self.0.len()].clone(),
                continues: false,
                probability: 1.0 / (rank + 2) as f32,
            });
            all.filter(accept).take(count).collect()
        };
        Ok(gaps.iter().map(fill).collect())
    }

    fn piece_count(&self, _: &str) -> Result<usize, BoxError> {
        Ok(1)
    }

    fn name(&self) -> &'static str {
        "scripted"
    }
}

/// A generator whose every draw from the 52 letters is `letter`.
pub(crate) struct OneLetter(pub(crate) char);

impl OneLetter {
    fn fraction(&self) -> f64 {
        let alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        (alphabet.find(self.0).unwrap() as f64 + 0.5) / 52.0
    }
}

impl RngCore for OneLetter {
    fn next_u32(&mut self) -> u32 {
        (self.fraction() * 2_f64.powi(32)) as u32
    }

    fn next_u64(&mut self) -> u64 {
        (self.fraction() * 2_f64.powi(64)) as u64
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
