//! `limbeck calibrate`: a sentence encoder's threshold from attacks made with another encoder.

use std::sync::Arc;

use limbeck_attack::{Calibration, CalibrationConfig, calibrate, single_edits};
use limbeck_report::{AttackOutcome, read_attack_log};
use limbeck_train::TextEmbedder;
use serde::Serialize;

use crate::cli::CalibrateArgs;
use crate::commands::replay::logs_under;
use crate::environment::{device, model_folder};
use crate::settings::BadSettings;

/// Sentence vectors kept while pairs are compared.
const KEPT_VECTORS: usize = 1 << 14;

/// What the command found, for machines.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Found<'a> {
    encoder: &'a str,
    metric: limbeck_text::constraint::SimilarityMetric,
    window: usize,
    keep_fraction: f64,
    threshold: f32,
    pairs: usize,
    refused_fraction: f64,
    random_passed_fraction: f64,
    median_similarity: f32,
    random_median_similarity: f32,
}

/// Runs the command.
pub(crate) fn run(args: &CalibrateArgs, quiet: bool) -> anyhow::Result<()> {
    for &keep in &args.keep {
        if !(keep > 0.0 && keep <= 1.0) {
            return Err(BadSettings::new(format!(
                "`--keep`: found {keep}, expected a share above 0 and at most 1"
            ))
            .into());
        }
    }
    let mut pairs = Vec::new();
    for path in logs_under(&args.logs)? {
        let rows = read_attack_log(path)?.rows.into_iter();
        let attacked = rows.filter(|row| row.outcome != AttackOutcome::Skipped);
        pairs.extend(attacked.map(|row| (row.original.join("\n"), row.perturbed.join("\n"))));
    }
    let edits = single_edits(pairs, args.window);
    let folder = model_folder(&args.encoder, quiet)?;
    let encoder = Arc::new(TextEmbedder::open(
        &folder,
        &args.encoder,
        KEPT_VECTORS,
        &device(args.device)?,
    )?);
    let mut found = Vec::new();
    for &keep_fraction in &args.keep {
        let config = CalibrationConfig {
            metric: args.metric.into(),
            window: args.window,
            keep_fraction,
            seed: args.seed,
        };
        let encoder = Arc::clone(&encoder);
        let calibration = calibrate(&edits, encoder, config).map_err(anyhow::Error::from_boxed)?;
        let Some(calibration) = calibration else {
            let problem = format!(
                "the logs hold {} pairs of {} words or more that differ in one word, too few; give more logs, or a smaller `--window`",
                edits.len(),
                args.window
            );
            return Err(BadSettings::new(problem).into());
        };
        found.push(as_found(args, config, calibration));
    }
    print(&found, args.json)
}

fn as_found(args: &CalibrateArgs, config: CalibrationConfig, found: Calibration) -> Found<'_> {
    Found {
        encoder: &args.encoder,
        metric: config.metric,
        window: config.window,
        keep_fraction: config.keep_fraction,
        threshold: found.threshold,
        pairs: found.pairs,
        refused_fraction: found.refused_fraction,
        random_passed_fraction: found.random_passed_fraction,
        median_similarity: found.median_similarity,
        random_median_similarity: found.random_median_similarity,
    }
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn print(found: &[Found<'_>], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(found)?);
        return Ok(());
    }
    for found in found {
        println!(
            "keep {:.0} %: threshold {:.4} from {} accepted pairs; {:.1} % of them refused when read off other sentences, {:.1} % of random replacements pass (medians {:.4} and {:.4})",
            100.0 * found.keep_fraction,
            found.threshold,
            found.pairs,
            100.0 * found.refused_fraction,
            100.0 * found.random_passed_fraction,
            found.median_similarity,
            found.random_median_similarity,
        );
    }
    Ok(())
}
