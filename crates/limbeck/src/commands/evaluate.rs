//! `limbeck evaluate`: a model's scores on labelled sets.

use std::fmt::Write as _;

use limbeck_model::Target;
use limbeck_report::{SplitMetrics, atomic_write};
use limbeck_text::{ConfusionMatrix, Label, TextError, write_submission};
use limbeck_train::{EncodedSet, Predictor, predict};
use serde_json::json;

use crate::cli::EvaluateArgs;
use crate::commands::inputs::{NamedSet, Sets};
use crate::commands::scores::score;
use crate::environment::{device, model_folder};
use crate::settings::RunFile;

/// Runs the command.
pub(crate) fn run(args: &EvaluateArgs, quiet: bool) -> anyhow::Result<()> {
    let file = RunFile::read(&args.data, &args.overrides)?;
    let folder = model_folder(&args.model, quiet)?;
    let predictor = Predictor::open(&folder, args.max_tokens, &device(args.device)?)?;
    let (sets, metrics) = Sets::open_for_scoring(&file.data, predictor.model.target())?;
    if let Some(out) = &args.out {
        fs_err::create_dir_all(out)?;
    }
    let mut all = Vec::new();
    for NamedSet {
        name,
        spec,
        examples,
    } in &sets
    {
        let set = EncodedSet::new(examples, &predictor.tokenizer, predictor.max_tokens)?;
        let missing = set.labels().iter().filter(|label| label.is_none()).count();
        if missing > 0 {
            let glue = spec.layout_task().filter(|_| missing == set.len());
            let Some((out, task)) = args.out.as_ref().zip(glue) else {
                return Err(TextError::Unlabelled {
                    path: spec.path.clone(),
                    missing,
                    total: set.len(),
                }
                .into());
            };
            let predictions = predict(&predictor.model, &set, |_| {})?;
            let path = write_submission(out, task, &predictions.labels(predictor.model.target()))?;
            tracing::info!("{name}: unlabelled; leaderboard file {}", path.display());
            continue;
        }
        let (evaluation, scores) = score(name, &predictor.model, &set, &metrics, quiet)?;
        if let Some(out) = &args.out {
            let text = predictions_tsv(
                predictor.model.target(),
                &set,
                &evaluation.predictions.labels(predictor.model.target()),
            );
            atomic_write(out.join(format!("{name}.tsv")), text.as_bytes())?;
        }
        all.push(scores);
    }
    print(&all, predictor.model.target(), args.json)
}

fn predictions_tsv(target: &Target, set: &EncodedSet, predicted: &[Label]) -> String {
    let name = |label: Label| match (label, target) {
        (Label::Class(class), Target::Labels(labels)) => labels[class as usize].clone(),
        (Label::Class(class), Target::Regression) => class.to_string(),
        (Label::Score(score), _) => score.to_string(),
    };
    let mut text = "id\tgold\tpredicted\n".to_owned();
    for ((id, gold), &predicted) in set.ids().iter().zip(set.labels()).zip(predicted) {
        let gold = gold.map(name).unwrap_or_default();
        let _ = writeln!(text, "{id}\t{gold}\t{}", name(predicted));
    }
    text
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn print(sets: &[SplitMetrics], target: &Target, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "sets": sets }))?
        );
        return Ok(());
    }
    for set in sets {
        println!(
            "{} ({} examples), loss {:.4}",
            set.split,
            set.examples,
            set.loss.unwrap_or_default()
        );
        for (metric, score) in &set.metrics {
            let interval = score
                .interval
                .map_or_else(String::new, |i| format!("  [{:.4}, {:.4}]", i.low, i.high));
            println!("  {metric:<12} {:.4}{interval}", score.value);
        }
        if let (Some(counts), Target::Labels(labels)) = (&set.confusion, target) {
            print_classes(
                &ConfusionMatrix {
                    counts: counts.clone(),
                },
                labels,
            );
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn print_classes(matrix: &ConfusionMatrix, labels: &[String]) {
    let width = labels
        .iter()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0)
        .max(5);
    println!(
        "  {:<width$} {:>9} {:>9} {:>9} {:>8}   predicted as {}",
        "label",
        "precision",
        "recall",
        "f1",
        "support",
        labels.join(" ")
    );
    for (class, counts) in matrix.report().iter().zip(&matrix.counts) {
        let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
        let label = &labels[class.class as usize];
        println!(
            "  {label:<width$} {:>9.4} {:>9.4} {:>9.4} {:>8}   {}",
            class.precision,
            class.recall,
            class.f1,
            class.support,
            counts.join(" ")
        );
    }
}
