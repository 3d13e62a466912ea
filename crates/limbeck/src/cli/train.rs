//! What training can be given.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DeviceKind;

/// What both kinds of training take.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrainArgs {
    /// The run file (see `limbeck init`).
    pub(crate) file: PathBuf,
    /// Folder of the run; running the same command again goes on where it stopped.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of all randomness.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Several runs, one folder each under the run's folder; prints median and range.
    #[arg(long, value_name = "N,N,..", value_delimiter = ',')]
    pub(crate) seeds: Vec<u64>,
    /// Another value for a key of the run file, such as `train.learning-rate=3e-5`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct FinetuneArgs {
    #[command(flatten)]
    pub(crate) train: TrainArgs,
    /// The model to begin with: a folder, a hub id, or a finished run.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DistillArgs {
    #[command(flatten)]
    pub(crate) train: TrainArgs,
    /// The teacher: a finished run, a folder, or a hub id.
    #[arg(long, value_name = "MODEL")]
    pub(crate) teacher: Option<String>,
    /// Learn also from a teacher that is no better than always giving the most frequent label.
    #[arg(long)]
    pub(crate) force_teacher: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// The study's file: places, tasks, students and methods.
    pub(crate) file: PathBuf,
    /// Folder of the study, a run in each of its sub-folders; the same command again goes on where it stopped, and given
    /// several times at once shares the work.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Another value for a key of the study's file, such as `place.glue=data/glue` or `run.train.epochs=2`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// These tasks only.
    #[arg(long = "task", value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// These students only.
    #[arg(long = "student", value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) students: Vec<String>,
    /// These methods only.
    #[arg(long = "method", value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) methods: Vec<String>,
    /// Runs with these seeds only; a task's teacher has the study's first.
    #[arg(long = "seed", value_name = "N,..", value_delimiter = ',')]
    pub(crate) seeds: Vec<u64>,
    /// Train nothing; put what is finished in the table.
    #[arg(long)]
    pub(crate) table_only: bool,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// A run file for `limbeck distill` with `[search] students = [..]`; each student is a run in a folder of its own.
    #[command(flatten)]
    pub(crate) distill: DistillArgs,
    /// Share of the teacher's dev score that is enough [default: the run file's, or 0.9].
    #[arg(long, value_name = "FRACTION")]
    pub(crate) share: Option<f64>,
    /// Try all students [default: stop at the first that keeps enough].
    #[arg(long)]
    pub(crate) all: bool,
}

/// Kinds of pretraining.
#[derive(Debug, Subcommand)]
pub(crate) enum PretrainCommand {
    /// A masked language model: hidden words are to be guessed.
    Mlm(PretrainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PretrainArgs {
    #[command(flatten)]
    pub(crate) train: TrainArgs,
    /// The encoder to begin with, with a masked-LM head or without: a folder, a hub id, or a finished run.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}
