//! What can be asked about word vectors.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
