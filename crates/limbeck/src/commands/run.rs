//! What every command that trains does around its training: provenance, folders, results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use limbeck_model::TextTokenizer;
use limbeck_report::{
    FinishedRun, Input, Provenance, RunDir, RunState, Selected, Summary as SeedSummary,
    TrainingSummary,
};
use limbeck_train::{Summary, TrainConfig};
use serde::Serialize;

use crate::cli::TrainArgs;
use crate::environment::now;
use crate::settings::BadSettings;

/// Where a run comes from.
pub(crate) fn provenance(
    seed: u64,
    device: &Device,
    inputs: BTreeMap<String, Input>,
) -> Provenance {
    Provenance {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("LIMBECK_COMMIT").map(str::to_owned),
        command_line: std::env::args().collect(),
        seed,
        device: if device.is_cpu() {
            "cpu".into()
        } else {
            "cuda:0".into()
        },
        threads: rayon::current_num_threads(),
        inputs,
        started: now(),
        resumed: Vec::new(),
    }
}

/// A finished run is never changed; asked for the same again, there is nothing to do.
pub(crate) fn already_finished(
    out: &Path,
    settings: &impl Serialize,
    provenance: &Provenance,
) -> anyhow::Result<FinishedRun> {
    let finished = FinishedRun::open(out)?;
    finished.check_same(settings, provenance).with_context(|| {
        let out = out.display();
        format!("{out}: holds a finished run with other settings or inputs; choose another `--out`, or remove the folder")
    })?;
    finished.tidy();
    tracing::info!("{}: already finished; nothing to do", out.display());
    Ok(finished)
}

/// Begins the run's folder, or goes on in it.
pub(crate) fn begin(
    out: &Path,
    settings: &impl Serialize,
    provenance: &Provenance,
) -> anyhow::Result<RunDir> {
    Ok(match RunState::of(out)? {
        RunState::Unfinished => RunDir::open_unfinished(out, settings, provenance)?,
        _ => RunDir::create(out, settings, provenance)?,
    })
}

/// Writes the tokenizer beside the models to come, and cuts the log to where training goes on from.
pub(crate) fn prepare(run: &mut RunDir, tokenizer: &TextTokenizer) -> anyhow::Result<()> {
    for folder in [run.model_path(), run.last_path()] {
        tokenizer.save(&folder)?;
    }
    let steps = limbeck_train::resume::steps_done(&run.checkpoint_path())?;
    if let Some(step) = steps {
        tracing::info!("{}: going on after step {step}", run.path().display());
    }
    run.truncate_log_after(steps.unwrap_or(0))?;
    Ok(())
}

/// The folder's own name, for bars.
pub(crate) fn label(out: &Path) -> String {
    out.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The result in one line on standard output.
pub(crate) fn announce(out: &Path, finished: &FinishedRun) {
    let metrics = finished.metrics();
    let scores: Vec<String> = metrics
        .splits
        .iter()
        .filter_map(|split| {
            Some(format!(
                "{} {:.4}",
                split.split,
                split.metrics.get(&metrics.headline.metric)?.value
            ))
        })
        .collect();
    print_line(&format!(
        "{}: {}: {} {}",
        out.display(),
        metrics.model.name,
        metrics.headline.metric,
        scores.join(", ")
    ));
}

/// One run, or one for each seed in a folder of its own with median and range in the end.
pub(crate) fn for_each_seed(
    args: &TrainArgs,
    usual: u64,
    run: impl Fn(u64, PathBuf) -> anyhow::Result<FinishedRun>,
) -> anyhow::Result<Vec<FinishedRun>> {
    let TrainArgs {
        seed, seeds, out, ..
    } = args;
    if seeds.is_empty() {
        return Ok(vec![run(seed.unwrap_or(usual), out.clone())?]);
    }
    check_distinct("--seeds", seeds)?;
    if matches!(
        RunState::of(out)?,
        RunState::Finished | RunState::Unfinished
    ) {
        let out = out.display();
        let problem = format!(
            "{out}: holds a run, expected a folder for a run of each seed; choose another `--out`"
        );
        return Err(BadSettings::new(problem).into());
    }
    let mut finished = Vec::new();
    for &seed in seeds {
        finished.push(run(seed, out.join(format!("seed-{seed}")))?);
    }
    let scores = finished
        .iter()
        .filter_map(|run| run.metrics().headline_score());
    let scores: Vec<f64> = scores.map(|score| score.value).collect();
    announce_seeds(&scores);
    Ok(finished)
}

/// Fails where a seed stands twice.
pub(crate) fn check_distinct(key: &str, seeds: &[u64]) -> anyhow::Result<()> {
    let mut sorted = seeds.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(BadSettings::new(format!(
            "`{key}`: found {} twice, expected each seed once",
            pair[0]
        ))
        .into()),
        None => Ok(()),
    }
}

/// Median and range over several seeds.
fn announce_seeds(scores: &[f64]) {
    if let Some(SeedSummary {
        median,
        min,
        max,
        count,
    }) = SeedSummary::of(scores)
    {
        print_line(&format!(
            "{count} seeds: median {median:.4}, from {min:.4} to {max:.4}"
        ));
    }
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn print_line(line: &str) {
    println!("{line}");
}

/// How training went, for `metrics.json`.
pub(crate) fn training_summary(
    summary: &Summary,
    examples: usize,
    config: &TrainConfig,
) -> TrainingSummary {
    let (steps_per_epoch, _) = config.steps(examples);
    let epoch = |step: u64| step.div_ceil(steps_per_epoch);
    TrainingSummary {
        best: Selected {
            step: summary.best.step,
            epoch: epoch(summary.best.step),
            metrics: summary.best.metrics.clone(),
        },
        last: Selected {
            step: summary.steps,
            epoch: epoch(summary.steps),
            metrics: summary.last.clone(),
        },
        samples_per_s: summary.samples_per_s,
    }
}

/// Bytes of the files in a folder.
pub(crate) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    for entry in fs_err::read_dir(folder)? {
        total += entry?.metadata()?.len();
    }
    Ok(total)
}
