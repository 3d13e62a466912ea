use std::error::Error;
use std::path::PathBuf;

use crate::config::Target;

/// What can go wrong with models, their files and their inputs.
///
/// A message says where, what was found, what was expected and what to do about it; the source, where there is one, says why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file or folder could not be read; the source names it.
    #[error(transparent)]
    Read {
        /// The error with the path.
        source: std::io::Error,
    },

    /// A file or folder could not be written; the source names it.
    #[error(transparent)]
    Write {
        /// The error with the path.
        source: std::io::Error,
    },

    /// A folder holds no tokenizer.
    #[error("{}: no tokenizer; wanted `tokenizer.json`, or `vocab.txt`, or `vocab.json` with `merges.txt`, found {found:?}", .folder.display())]
    MissingTokenizer {
        /// The folder asked for.
        folder: PathBuf,
        /// Names of the files there are.
        found: Vec<String>,
    },

    /// A tokenizer's file is damaged or of an unknown kind.
    #[error("{}: not a tokenizer's file; fetch it again", .path.display())]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A vocabulary lacks a token that every text needs.
    #[error("{}: no token `{token}` ({role}) among the {size} of the vocabulary; name the right one in `tokenizer_config.json`", .path.display())]
    MissingToken {
        /// The vocabulary.
        path: PathBuf,
        /// The key in `tokenizer_config.json`.
        role: &'static str,
        /// The token looked for.
        token: String,
        /// Number of tokens there are.
        size: usize,
    },

    /// A text could not be cut into tokens.
    #[error("cannot cut {text:?} into tokens")]
    Encode {
        /// The beginning of the text.
        text: String,
        /// The tokenizer's reason.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A length limit is used up by the special tokens alone.
    #[error(
        "a limit of {max_len} tokens leaves no room for text beside {special} special tokens; raise the maximum length"
    )]
    NoRoom {
        /// The limit.
        max_len: usize,
        /// Special tokens around a text, or a pair.
        special: usize,
    },

    /// A tokenizer could not be saved.
    #[error("{}: cannot save the tokenizer", .folder.display())]
    SaveTokenizer {
        /// The folder to hold it.
        folder: PathBuf,
        /// The tokenizer's reason.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A model's name is neither a folder with a model nor a hub id.
    #[error(
        "{name}: no model; wanted a folder with `config.json`, a run with `model/config.json`, or a hub id like `organisation/name@revision`, {found}"
    )]
    UnknownModel {
        /// The name as given.
        name: String,
        /// What is there instead.
        found: String,
    },

    /// Downloads are off and the cache lacks the model.
    #[error("{id}@{revision}: no such folder, not in the cache {} either, and downloads are off; unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or give a folder that holds the model", .cache.display())]
    NotCached {
        /// The hub id.
        id: String,
        /// The branch, tag or commit.
        revision: String,
        /// The cache's folder.
        cache: PathBuf,
    },

    /// The hub knows no such model, or shows it only to some.
    #[error(
        "{id}@{revision}: no such folder, and {endpoint} shows no such model (status {status}); check the name, and set HF_TOKEN if the model is private or gated"
    )]
    NotOnHub {
        /// The hub id.
        id: String,
        /// The branch, tag or commit.
        revision: String,
        /// The hub's address.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },

    /// The hub's model lacks files.
    #[error("{id}@{revision}: no {wanted} on the hub; {advice}")]
    NotUsable {
        /// The hub id.
        id: String,
        /// The branch, tag or commit.
        revision: String,
        /// The files looked for.
        wanted: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// A download failed.
    #[error(
        "{id}@{revision}: no such folder, and {file} cannot be fetched from {endpoint}; check the connection and run again, or give a folder that holds the model"
    )]
    Download {
        /// The hub id.
        id: String,
        /// The branch, tag or commit.
        revision: String,
        /// The file, or the list of files.
        file: String,
        /// The hub's address.
        endpoint: String,
        /// What the network said.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A JSON file is malformed.
    #[error("{}: not valid JSON: {source}; fetch the file again or mend it at that line", .path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// Line and column.
        source: serde_json::Error,
    },

    /// A key of a configuration is missing or has a value of the wrong kind.
    #[error("{}: key `{key}`: found {found}, expected {expected}; correct the key", .path.display())]
    ConfigKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: String,
    },

    /// A model family that limbeck does not have.
    #[error("{}: model type `{model_type}` is not supported here; use one of `bert`, `roberta`, `distilbert`, `mpnet`, or a student that limbeck wrote", .path.display())]
    UnsupportedModel {
        /// The configuration file.
        path: PathBuf,
        /// Its `model_type`.
        model_type: String,
    },

    /// A folder without weights that can be read.
    #[error("{}: no weights; expected `model.safetensors` or `model.safetensors.index.json` (convert a `pytorch_model.bin` to safetensors first)", .folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },

    /// A part of the weights that the index lists.
    #[error("{}: no such file, but `model.safetensors.index.json` lists it; fetch the whole model again", .path.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
    },

    /// A weights file that is cut short or damaged.
    #[error("{}: damaged or truncated safetensors file of {bytes} bytes: {source}; fetch it again", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
        /// What the reader found.
        source: safetensors::SafeTensorError,
    },

    /// A tensor that the configuration promises is not there.
    #[error("{}: tensor `{name}` of shape {shape:?} is missing; is this the checkpoint that config.json describes?", .path.display())]
    MissingTensor {
        /// The weights file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its expected shape.
        shape: Vec<usize>,
    },

    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor `{name}` has shape {found:?}, expected {expected:?} from config.json; the two files do not belong together", .path.display())]
    WrongShape {
        /// The weights file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },

    /// A checkpoint without a classifier where a trained one is needed.
    #[error("{}: the checkpoint has no trained classifier; fine-tune it first, or give a finished run", .path.display())]
    NoHead {
        /// The weights file.
        path: PathBuf,
    },

    /// A checkpoint without a masked-language-model head.
    #[error("{}: the checkpoint has no masked-language-model head (tensor `{name}`); train one with `limbeck pretrain mlm`, or give a `*ForMaskedLM` checkpoint", .path.display())]
    NoMaskedLmHead {
        /// The weights file.
        path: PathBuf,
        /// A tensor that every such head has.
        name: String,
    },

    /// A vocabulary matrix that is not the word embeddings.
    #[error("{}: tensor `{name}` differs from the word embeddings; only heads tied to them are supported", .path.display())]
    UntiedHead {
        /// The weights file.
        path: PathBuf,
        /// The matrix.
        name: String,
    },

    /// A checkpoint's labels are not the task's.
    #[error("{}: the checkpoint predicts {found}, the task has {expected}; give the task these labels in this order, or fine-tune from the base model", .path.display())]
    LabelMismatch {
        /// The weights file.
        path: PathBuf,
        /// The checkpoint's labels.
        found: Target,
        /// The task's labels.
        expected: Target,
    },

    /// A sentence longer than the model's position table.
    #[error("a sentence has {tokens} tokens, the model takes {limit}; lower `max-tokens`")]
    TooLong {
        /// Its length.
        tokens: usize,
        /// The model's limit.
        limit: usize,
    },

    /// Something asked of a network that only others have.
    #[error("a {network} {what}; ask for logits from token ids alone, or use a transformer")]
    NotProvided {
        /// The network.
        network: &'static str,
        /// What it does not do.
        what: &'static str,
    },

    /// A student's settings that do not fit each other or the teacher.
    #[error("student: {problem}")]
    Student {
        /// What does not fit, and what to do.
        problem: String,
    },

    /// The classes of a GAN-BERT's discriminator, asked of another model.
    #[error(
        "found a {model}, which has no classes beside its labels; expected one trained with `step.gan-bert`"
    )]
    NoDiscriminator {
        /// Its kind.
        model: String,
    },

    /// Layers asked for that the teacher does not have.
    #[error("layer selection: {problem}")]
    LayerSelection {
        /// What does not fit.
        problem: String,
    },

    /// A tensor operation failed: a bug, or a device out of memory.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),

    /// A line of word vectors is malformed.
    #[error("{}:{line}: {problem}", .path.display())]
    WordVectorLine {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// What was found and what was expected.
        problem: String,
    },

    /// A file of word vectors, or its list of words, is malformed.
    #[error("{}: {problem}", .path.display())]
    WordVectorFile {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },

    /// Word vectors or settings of theirs that do not fit each other.
    #[error("word vectors: {problem}")]
    Vectors {
        /// What was found, what was expected and what to do.
        problem: String,
    },

    /// A file of words, such as constraints or ratings, is malformed.
    #[error("{}:{line}: {problem}", .path.display())]
    LexiconLine {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What was found, what was expected and what to do.
        problem: String,
    },
}
