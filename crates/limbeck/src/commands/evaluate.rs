//! `limbeck evaluate`: a model's scores on labelled sets.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::path::Path;

use limbeck_model::Target;
use limbeck_report::{SplitMetrics, atomic_write};
use limbeck_text::{ConfusionMatrix, Label, LabelMap, TextError, write_submission};
use limbeck_train::{EncodedSet, Predictor, divergence, predict};
use serde_json::json;

use crate::cli::EvaluateArgs;
use crate::commands::inputs::{NamedSet, Sets};
use crate::commands::scores::score_mapped;
use crate::environment::{device, model_folder};
use crate::settings::{BadSettings, RunFile, max_tokens};

/// Runs the command.
pub(crate) fn run(args: &EvaluateArgs, quiet: bool) -> anyhow::Result<()> {
    let file = RunFile::read(&args.data, &args.overrides)?;
    let folder = model_folder(&args.model, quiet)?;
    let tokens = max_tokens(args.max_tokens, Some(&args.model), file.train.max_tokens);
    let predictor = Predictor::open(&folder, tokens, &device(args.device)?)?;
    let target = predictor.model.target();
    let map = args.label_map.as_deref().map(read_label_map).transpose()?;
    let (sets, metrics) = Sets::open_for_scoring(&file.data, target, map.as_ref())?;
    let teacher = args.against.as_deref();
    let teacher = teacher.map(|name| open_against(name, args, &file, target, quiet));
    let teacher = teacher.transpose()?;
    if let Some(out) = &args.out {
        fs_err::create_dir_all(out)?;
    }
    let mut all = Vec::new();
    for NamedSet {
        name,
        spec,
        examples,
        map,
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
            let path = write_submission(out, task, &predictions.labels(target))?;
            tracing::info!("{name}: unlabelled; leaderboard file {}", path.display());
            continue;
        }
        let map = map.as_ref();
        let (evaluation, mut scores) =
            score_mapped(name, &predictor.model, &set, &metrics, map, quiet)?;
        if let Some(teacher) = &teacher {
            let set = EncodedSet::new(examples, &teacher.tokenizer, teacher.max_tokens)?;
            let answers = predict(&teacher.model, &set, |_| {})?;
            scores.divergence = Some(divergence(&answers, &evaluation.predictions));
        }
        if let Some(out) = &args.out {
            let text = predictions_tsv(&mapped_target(target, map), &set, &evaluation.predicted);
            atomic_write(out.join(format!("{name}.tsv")), text.as_bytes())?;
        }
        all.push(scores);
    }
    print(&all, target, args.json)
}

/// What the labels of a set are.
fn mapped_target(target: &Target, map: Option<&LabelMap>) -> Target {
    map.map_or_else(
        || target.clone(),
        |map| Target::Labels(map.names().to_vec()),
    )
}

/// A label map from a file: TOML, or JSON by its name.
fn read_label_map(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = fs_err::read_to_string(path)?;
    let bad = |problem: &dyn Display| {
        let expected = "expected a name for each of the model's labels, such as `neutral = \"non-entailment\"`";
        BadSettings::new(format!("{}: {problem}; {expected}", path.display()))
    };
    let is_json = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("json"));
    Ok(if is_json {
        serde_json::from_str(&text).map_err(|e| bad(&e))?
    } else {
        toml::from_str(&text).map_err(|e| bad(&e.message()))?
    })
}

/// The model that another is compared with: it has to predict the same labels.
fn open_against(
    name: &str,
    args: &EvaluateArgs,
    file: &RunFile,
    target: &Target,
    quiet: bool,
) -> anyhow::Result<Predictor> {
    let folder = model_folder(name, quiet)?;
    let tokens = max_tokens(args.max_tokens, Some(name), file.train.max_tokens);
    let teacher = Predictor::open(&folder, tokens, &device(args.device)?)?;
    let found = teacher.model.target();
    if found != target {
        return Err(BadSettings::new(format!(
            "`--against`: predicts {found}, the model {target}; give a model with the same labels in the same order"
        ))
        .into());
    }
    if *target == Target::Regression {
        return Err(BadSettings::new("`--against`: found a regression, expected labels: a divergence is between probabilities").into());
    }
    Ok(teacher)
}

fn predictions_tsv(target: &Target, set: &EncodedSet, predicted: &[Label]) -> String {
    let name = |label: Label| match (label, target) {
        (Label::Class(class), Target::Labels(labels)) => labels[class as usize].clone(),
        (Label::Class(class), Target::Regression) => class.to_string(),
        (Label::Score(score), _) => score.to_string(),
    };
    let mut text = "id\tgold\tpredicted\n".to_owned();
    for (row, &predicted) in predicted.iter().enumerate() {
        let id = set.id(row);
        let gold = set.label(row).map(name).unwrap_or_default();
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
        if let Some(divergence) = set.divergence {
            println!("  {:<12} {divergence:.4}", "divergence");
        }
        if let (Some(counts), Target::Labels(labels)) = (&set.confusion, target) {
            let labels = if set.labels.is_empty() {
                labels
            } else {
                &set.labels
            };
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
