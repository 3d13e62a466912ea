//! The numbers of real attack logs, recomputed and compared with those that `TextAttack` printed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod golden;

use std::path::Path;

use limbeck_report::{AttackTotals, WordRule, read_attack_log};
use serde::Deserialize;

#[derive(Deserialize)]
struct Printed {
    recipe: String,
    model: String,
    n: u64,
    successful: u64,
    failed: u64,
    skipped: u64,
    original_accuracy: f64,
    accuracy_under_attack: f64,
    attack_success_rate: f64,
    avg_perturbed_word_pct: f64,
    avg_words: f64,
    avg_queries: f64,
}

/// Python's `round(value, 2)`.
fn rounded(value: f64) -> f64 {
    format!("{value:.2}").parse().unwrap()
}

#[test]
fn golden_attack_log_metrics() {
    let Some(printed) = golden::read::<Vec<Printed>>("attack_log_metrics.json") else {
        return;
    };
    let logs = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/attack-logs/sst2-dev-2022");
    if !logs.exists() {
        eprintln!("skipped: no attack logs at {}", logs.display());
        return;
    }
    assert!(!printed.is_empty());
    for expected in &printed {
        let (recipe, model) = (&expected.recipe, &expected.model);
        let log = read_attack_log(logs.join(recipe).join(format!("{model}_{recipe}.csv"))).unwrap();
        // The logs were written by 0.3.5.
        let counts = log.rows.iter().map(|row| row.counts(WordRule::LeadingOnly));
        let found = counts.collect::<AttackTotals>().summary();
        let name = format!("{recipe} {model}");
        assert_eq!(found.examples, expected.n, "{name}");
        assert_eq!(found.succeeded, expected.successful, "{name}");
        assert_eq!(found.failed, expected.failed, "{name}");
        assert_eq!(found.skipped, expected.skipped, "{name}");
        for (found, expected) in [
            (
                100.0 * found.original_accuracy.value,
                expected.original_accuracy,
            ),
            (
                100.0 * found.accuracy_under_attack.value,
                expected.accuracy_under_attack,
            ),
            (
                100.0 * found.attack_success_rate.value,
                expected.attack_success_rate,
            ),
            (
                100.0 * found.perturbed_word_fraction,
                expected.avg_perturbed_word_pct,
            ),
            (found.words_per_input, expected.avg_words),
            (found.queries_per_attack, expected.avg_queries),
        ] {
            assert_eq!(rounded(found), expected, "{name}");
        }
    }
    eprintln!("{} logs", printed.len());
}
