//! How the thresholds of the sentence encoder in the recipes were found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use limbeck_report::read_attack_log;
use limbeck_text::SentenceEmbedder;
use limbeck_text::constraint::{
    Constraint, Reference, SentenceSimilarity, SimilarityMetric, SimilarityScope,
};
use limbeck_text::edit::WordText;
use limbeck_train::TextEmbedder;

const LOGS: &str = "../../../shared/data/attack-logs/sst2-dev-2022";

/// Prints quantiles of MiniLM's similarities over the edits of one word that the peer's own encoder accepted, in texts of 15
/// words or more: `LIMBECK_MINILM=FOLDER cargo test --release -p limbeck --test calibration -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement on real logs and weights"]
fn thresholds_of_minilm() {
    let folder = PathBuf::from(std::env::var_os("LIMBECK_MINILM").unwrap());
    let encoder = TextEmbedder::open(&folder, "MiniLM", 0, &Device::Cpu).unwrap();
    let encoder: Arc<dyn SentenceEmbedder> = Arc::new(encoder);
    for (recipe, metric) in [
        ("TextFooler", SimilarityMetric::Angular),
        ("BAE", SimilarityMetric::Cosine),
    ] {
        let mut similarities = similarities(recipe, metric, &encoder);
        similarities.sort_by(f32::total_cmp);
        let quantile = |share: f64| similarities[(share * similarities.len() as f64) as usize];
        println!(
            "{recipe}: {} edits; 1 % {:.4}, 5 % {:.4}, 10 % {:.4}, median {:.4}",
            similarities.len(),
            quantile(0.01),
            quantile(0.05),
            quantile(0.10),
            quantile(0.50)
        );
    }
}

fn similarities(
    recipe: &str,
    metric: SimilarityMetric,
    encoder: &Arc<dyn SentenceEmbedder>,
) -> Vec<f32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(LOGS)
        .join(recipe);
    let mut paths: Vec<PathBuf> = fs_err::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut pairs: Vec<(String, String)> = paths
        .iter()
        .flat_map(|path| read_attack_log(path).unwrap().rows)
        .map(|row| (row.original.join("\n"), row.perturbed.join("\n")))
        .collect();
    // Models often fall to the same edit.
    pairs.sort();
    pairs.dedup();
    let mut found = Vec::new();
    for (original, perturbed) in pairs {
        let (old, new) = (WordText::new(&original), WordText::new(&perturbed));
        let changed: Vec<usize> = new.differing_words(&old).collect();
        let [index] = changed[..] else {
            continue;
        };
        if old.word_count() < 15 || old.word_count() != new.word_count() {
            continue;
        }
        // The same edit made anew, so that the text knows which word it changed.
        let mut candidates = [old.replace(index, new.word(index))];
        let constraint = SentenceSimilarity {
            encoder: Arc::clone(encoder),
            threshold: -1.0,
            metric,
            scope: SimilarityScope::Window {
                size: 15,
                passes_short_texts: true,
            },
            reference: Reference::Current,
        };
        constraint.allows(&old, &mut candidates).unwrap();
        found.extend(candidates[0].similarity);
    }
    found
}
