//! What attacks, and what comes after them, can be given.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{DeviceKind, one_or_more};

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
    #[arg(long, value_name = "N", conflicts_with = "num_successful", value_parser = one_or_more::<u64>())]
    pub(crate) limit: Option<u64>,
    /// Leave out so many examples at the beginning.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Go on until so many attacks have succeeded.
    #[arg(long, value_name = "N", value_parser = one_or_more::<u64>())]
    pub(crate) num_successful: Option<u64>,
    /// For each example that the model gets wrong without any attack take another, so that `--limit` are attacked.
    #[arg(long, requires = "limit")]
    pub(crate) attack_n: bool,
    /// Take the examples in random order.
    #[arg(long)]
    pub(crate) shuffle: bool,
    /// Seed of all randomness.
    #[arg(long, value_name = "N", default_value_t = 765)]
    pub(crate) seed: u64,
    /// Most questions to the model for one example.
    #[arg(long, value_name = "N", value_parser = one_or_more::<u64>())]
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
    #[arg(long, value_enum, default_value_t = AverageKind::Probabilities, requires = "ensemble")]
    pub(crate) average: AverageKind,
    /// Classes between which a model trained with GAN-BERT chooses.
    #[arg(long, value_enum, default_value_t = GanClassesKind::Labels, conflicts_with = "endpoint")]
    pub(crate) gan_classes: GanClassesKind,
    /// Attack a classifier behind HTTP: `POST {"texts": [["a"], ["first", "second"]]}` gives
    /// `{"probabilities": [[0.1, 0.9], [0.7, 0.3]]}`, labels in the order of `data.labels`.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Longest wait for the endpoint's answer.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30.0,
        requires = "endpoint"
    )]
    pub(crate) endpoint_timeout_s: f64,
    /// Tries after a failed one.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "endpoint")]
    pub(crate) endpoint_retries: u32,
    /// Texts in one request.
    #[arg(long, value_name = "N", default_value_t = 32, requires = "endpoint", value_parser = one_or_more::<usize>())]
    pub(crate) endpoint_batch: usize,
    /// Most requests per second [default: no limit].
    #[arg(long, value_name = "N", requires = "endpoint")]
    pub(crate) requests_per_s: Option<f64>,
    /// Examples attacked at once; changes no result.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = one_or_more::<usize>())]
    pub(crate) in_flight: usize,
    /// Most texts the model is asked at once; changes no result.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = one_or_more::<usize>())]
    pub(crate) batch: usize,
    /// Where `limbeck resources` keeps word lists, vectors and models.
    #[arg(long, default_value = ".limbeck", value_name = "DIR")]
    pub(crate) resources: PathBuf,
    /// Folder of WordNet's database files.
    #[arg(long, value_name = "DIR")]
    pub(crate) wordnet: Option<PathBuf>,
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
    /// Longest sentence in tokens; longer ones are cut [default: as a run was trained, or `train.max-tokens` of the run file].
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
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
    /// Longest sentence in tokens; longer ones are cut [default: as a run was trained, or 128].
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
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
