//! What only the program may read: variables, cores, device, clock.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use limbeck_model::{HubSettings, resolve};
use limbeck_report::{RunState, Timestamp};

use crate::cli::DeviceKind;
use crate::settings::BadSettings;

/// Notes go to standard error, coloured on a terminal unless `NO_COLOR` is set.
pub(crate) fn start_logging(quiet: bool) {
    let level = if quiet { "error" } else { "info" };
    let filter =
        std::env::var("LIMBECK_LOG").unwrap_or_else(|_| format!("{level},hf_hub=error,ureq=error"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .without_time()
        .init();
}

/// One pool of threads for everything.
pub(crate) fn start_threads(threads: Option<usize>) -> anyhow::Result<()> {
    if threads == Some(0) {
        return Err(BadSettings::new("`--threads`: found 0, expected 1 or more").into());
    }
    let threads =
        threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    limbeck_ops::start_threads(threads).context("starting threads")
}

/// The device asked for.
pub(crate) fn device(kind: DeviceKind) -> anyhow::Result<Device> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda => Device::new_cuda(0).map_err(|e| {
            let build = "this build has no CUDA, or no GPU is at hand; build with `--features cuda`, or use `--device cpu`";
            BadSettings::new(format!("`--device cuda`: {build} ({e})")).into()
        }),
    }
}

/// The folder of a model given as folder, finished run or hub id; fetches what a hub's cache lacks.
pub(crate) fn model_folder(name: &str, quiet: bool) -> anyhow::Result<PathBuf> {
    let run = Path::new(name);
    if run.join("model").is_dir() && RunState::of(run)? == RunState::Unfinished {
        let inner = run.join("model");
        return Err(BadSettings::new(format!(
            "the model `{name}`: a run that is not finished; run its command again to finish it, or give `{}`, its best model so far",
            inner.display()
        ))
        .into());
    }
    let settings = HubSettings::from_env_map(|key| std::env::var(key).ok());
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    };
    bar.set_style(style(
        "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
    ));
    let mut shown = String::new();
    let folder = resolve(name, &settings, &mut |download| {
        if shown != download.file {
            download.file.clone_into(&mut shown);
            bar.set_message(shown.clone());
        }
        bar.set_length(download.total);
        bar.set_position(download.received);
    });
    bar.finish_and_clear();
    folder.with_context(|| format!("opening the model `{name}`"))
}

/// A bar's look.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("templates are constants")
        .progress_chars("━╸ ")
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_secs());
    Timestamp::from_unix(seconds)
}

/// The most memory the process has held, where the system tells.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
