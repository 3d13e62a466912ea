use std::sync::Arc;

use limbeck_text::constraint::{
    Constraint, Reference, SentenceSimilarity, SimilarityMetric, SimilarityScope,
};
use limbeck_text::edit::WordText;
use limbeck_text::{BoxError, SentenceEmbedder};
use rand::Rng;

use crate::example_rng;

/// Carries a similarity threshold from one sentence encoder to another.
///
/// Pairs that attacks with the first encoder let pass tell what it called similar. The threshold of the second encoder is the
/// one that lets the wanted share of them pass. It is read off one half of the sentences and judged on the other. What the first
/// encoder refused is in no log, so how much too much passes is estimated from the same sentences with the same word replaced by
/// one drawn from the other pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationConfig {
    /// How vectors are compared.
    pub metric: SimilarityMetric,
    /// Words of the window round the changed one; shorter texts are left out, as the constraint passes them unseen.
    pub window: usize,
    /// Share of the accepted pairs that is to pass, in `(0, 1]`.
    pub keep_fraction: f64,
    /// Draws the words of the random pairs.
    pub seed: u64,
}

/// A threshold and its errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The least similarity that passes.
    pub threshold: f32,
    /// Pairs that the threshold was read off.
    pub fitted_pairs: usize,
    /// Pairs that it was judged on.
    pub judged_pairs: usize,
    /// Share of the judged pairs that the threshold refuses though the first encoder let them pass.
    pub refused_fraction: f64,
    /// Share of random replacements in the judged sentences that pass.
    pub random_passed_fraction: f64,
    /// Median similarity of the judged pairs.
    pub median_similarity: f32,
    /// Median similarity of the random replacements.
    pub random_median_similarity: f32,
}

/// The pairs of texts that differ in exactly one word, each once: only there is known what the encoder was asked.
pub fn single_edits(
    pairs: impl IntoIterator<Item = (String, String)>,
    window: usize,
) -> Vec<(WordText, WordText)> {
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort();
    pairs.dedup();
    let edit = |(original, perturbed): (String, String)| {
        let (original, perturbed) = (WordText::new(&original), WordText::new(&perturbed));
        let is_long =
            original.word_count() == perturbed.word_count() && original.word_count() >= window;
        let mut differing = original.differing_words(&perturbed);
        let (index, only) = (differing.next()?, differing.next().is_none());
        let candidate = original.replace(index, perturbed.word(index));
        let is_that_edit = is_long && only && candidate.text() == perturbed.text();
        drop(differing);
        is_that_edit.then_some((original, candidate))
    };
    pairs.into_iter().filter_map(edit).collect()
}

/// Finds the threshold for `encoder`; `None` where there are fewer than two sentences to fit on and to judge with.
pub fn calibrate(
    edits: &[(WordText, WordText)],
    encoder: Arc<dyn SentenceEmbedder>,
    config: CalibrationConfig,
) -> Result<Option<Calibration>, BoxError> {
    let judge = SentenceSimilarity {
        encoder,
        threshold: -1.0,
        metric: config.metric,
        scope: SimilarityScope::Window {
            size: config.window,
            passes_short_texts: false,
        },
        reference: Reference::Original,
    };
    // The halves share no sentence: edits are sorted, and every other sentence goes to the other half.
    let mut halves = [Vec::new(), Vec::new()];
    let mut sentence = 0;
    for (index, edit) in edits.iter().enumerate() {
        sentence += usize::from(index > 0 && edits[index - 1].0 != edit.0);
        halves[sentence % 2].push(edit.clone());
    }
    let [fitted, judged] = halves;
    if fitted.len() < 2 || judged.len() < 2 {
        return Ok(None);
    }
    let random = random_edits(&judged, edits, config.seed);
    let fitted = similarities(&judge, &fitted)?;
    let judged = similarities(&judge, &judged)?;
    let random = similarities(&judge, &random)?;
    let refused = ((1.0 - config.keep_fraction) * fitted.len() as f64).floor() as usize;
    let threshold = fitted[refused.min(fitted.len() - 1)];
    let below = |sorted: &[f32]| {
        sorted.partition_point(|&similarity| similarity < threshold) as f64 / sorted.len() as f64
    };
    Ok(Some(Calibration {
        threshold,
        fitted_pairs: fitted.len(),
        judged_pairs: judged.len(),
        refused_fraction: below(&judged),
        random_passed_fraction: 1.0 - below(&random),
        median_similarity: judged[judged.len() / 2],
        random_median_similarity: random[random.len() / 2],
    }))
}

/// Each sentence with the same word replaced by one that an attack put elsewhere.
fn random_edits(
    judged: &[(WordText, WordText)],
    all: &[(WordText, WordText)],
    seed: u64,
) -> Vec<(WordText, WordText)> {
    let changed = |(_, candidate): &(WordText, WordText)| candidate.newly_modified()[0] as usize;
    let redraw = |(number, edit): (usize, &(WordText, WordText))| {
        let index = changed(edit);
        let mut rng = example_rng(seed, number as u64);
        // A word equal to the old one or to the accepted one would not be random.
        let word = (0..100).find_map(|_| {
            let other = &all[rng.random_range(0..all.len())];
            let word = other.1.word(changed(other));
            (word != edit.0.word(index) && word != edit.1.word(index)).then(|| word.to_owned())
        });
        word.map(|word| (edit.0.clone(), edit.0.replace(index, &word)))
    };
    judged.iter().enumerate().filter_map(redraw).collect()
}

/// The similarity of each pair, ascending.
fn similarities(
    judge: &SentenceSimilarity,
    edits: &[(WordText, WordText)],
) -> Result<Vec<f32>, BoxError> {
    let mut found = Vec::with_capacity(edits.len());
    for (original, candidate) in edits {
        let mut candidates = [candidate.clone()];
        judge.allows(original, &mut candidates)?;
        found.extend(candidates[0].similarity);
    }
    found.sort_by(f32::total_cmp);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts letters: one of few letters changed is alike.
    struct Letters;

    impl SentenceEmbedder for Letters {
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BoxError> {
            let count = |text: &str| {
                let mut counts = vec![0.0; 26];
                for byte in text.bytes().filter(u8::is_ascii_lowercase) {
                    counts[usize::from(byte - b'a')] += 1.0;
                }
                counts
            };
            Ok(texts.iter().map(|text| count(text)).collect())
        }

        fn name(&self) -> &'static str {
            "letters"
        }
    }

    fn pairs() -> Vec<(String, String)> {
        let sentence = |number: usize| {
            format!(
                "a plain sentence of some words in row {}",
                "x".repeat(number + 1)
            )
        };
        (0..40)
            .map(|number| {
                (
                    sentence(number),
                    sentence(number).replace("plain", ["plane", "zzzz"][number % 2]),
                )
            })
            .collect()
    }

    #[test]
    fn only_single_edits_of_long_texts_count() {
        let mut given = pairs();
        given.push(given[0].clone());
        given.push(("short text".into(), "short test".into()));
        given.push((
            "a plain sentence of two edited words".into(),
            "a plane sentence of three edited words".into(),
        ));
        assert_eq!(single_edits(given, 5).len(), 40);
    }

    #[test]
    fn the_threshold_lets_the_wanted_share_pass() {
        let edits = single_edits(pairs(), 5);
        let config = CalibrationConfig {
            metric: SimilarityMetric::Cosine,
            window: 5,
            keep_fraction: 0.75,
            seed: 1,
        };
        let found = calibrate(&edits, Arc::new(Letters), config)
            .unwrap()
            .unwrap();
        assert_eq!((found.fitted_pairs, found.judged_pairs), (20, 20));
        assert!((found.refused_fraction - 0.25).abs() < 0.26, "{found:?}");
        let all = CalibrationConfig {
            keep_fraction: 1.0,
            ..config
        };
        let lenient = calibrate(&edits, Arc::new(Letters), all).unwrap().unwrap();
        assert!(
            lenient.threshold <= found.threshold
                && lenient.random_passed_fraction >= found.random_passed_fraction
        );
        assert_eq!(
            calibrate(&edits[..2], Arc::new(Letters), config).unwrap(),
            None
        );
    }
}
