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
/// one that lets the wanted share of them pass. How many more it refuses in sentences that it was not read off is found by
/// reading one off each half of the sentences and judging the other half. What the first encoder refused is in no log, so how
/// much too much passes is estimated from the same sentences with the same word replaced by one drawn from the other pairs.
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
    /// Accepted pairs that it was read off.
    pub pairs: usize,
    /// Share of the accepted pairs that a threshold refuses which was read off the other half of the sentences.
    pub refused_fraction: f64,
    /// Share of random replacements in these sentences that pass.
    pub random_passed_fraction: f64,
    /// Median similarity of the accepted pairs.
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

/// Finds the threshold for `encoder`; `None` where either half of the sentences has no pair.
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
    let [first, second] = halves;
    if first.is_empty() || second.is_empty() {
        return Ok(None);
    }
    let [first, second] = [
        similarities(&judge, &first)?,
        similarities(&judge, &second)?,
    ];
    let mut all = [first.clone(), second.clone()].concat();
    all.sort_by(f32::total_cmp);
    let random = similarities(&judge, &random_edits(edits, config.seed))?;
    let fit = |sorted: &[f32]| {
        let refused = ((1.0 - config.keep_fraction) * sorted.len() as f64) as usize;
        sorted[refused.min(sorted.len() - 1)]
    };
    let below = |sorted: &[f32], threshold: f32| sorted.partition_point(|&s| s < threshold);
    let threshold = fit(&all);
    let refused = below(&second, fit(&first)) + below(&first, fit(&second));
    Ok(Some(Calibration {
        threshold,
        pairs: all.len(),
        refused_fraction: refused as f64 / all.len() as f64,
        random_passed_fraction: 1.0 - below(&random, threshold) as f64 / random.len().max(1) as f64,
        median_similarity: all[all.len() / 2],
        random_median_similarity: random.get(random.len() / 2).copied().unwrap_or(f32::NAN),
    }))
}

/// Each sentence with the same word replaced by one that an attack put elsewhere.
fn random_edits(edits: &[(WordText, WordText)], seed: u64) -> Vec<(WordText, WordText)> {
    let changed = |(_, candidate): &(WordText, WordText)| candidate.newly_modified()[0] as usize;
    let redraw = |(number, edit): (usize, &(WordText, WordText))| {
        let index = changed(edit);
        let mut rng = example_rng(seed, number as u64);
        // A word equal to the old one or to the accepted one would not be random.
        let word = (0..100).find_map(|_| {
            let other = &edits[rng.random_range(0..edits.len())];
            let word = other.1.word(changed(other));
            (word != edit.0.word(index) && word != edit.1.word(index)).then(|| word.to_owned())
        });
        word.map(|word| (edit.0.clone(), edit.0.replace(index, &word)))
    };
    edits.iter().enumerate().filter_map(redraw).collect()
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
                    sentence(number).replace("plain", ["plane", "zzzz"][number / 2 % 2]),
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
            keep_fraction: 0.4,
            seed: 1,
        };
        let strict = calibrate(&edits, Arc::new(Letters), config)
            .unwrap()
            .unwrap();
        let all = CalibrationConfig {
            keep_fraction: 1.0,
            ..config
        };
        let lenient = calibrate(&edits, Arc::new(Letters), all).unwrap().unwrap();
        assert_eq!((strict.pairs, lenient.pairs), (40, 40));
        assert!(
            lenient.threshold < strict.threshold,
            "{lenient:?} {strict:?}"
        );
        assert!(lenient.random_passed_fraction >= strict.random_passed_fraction);
        assert!(strict.refused_fraction > lenient.refused_fraction);
        assert_eq!(
            calibrate(&edits[..1], Arc::new(Letters), config).unwrap(),
            None
        );
    }
}
