//! Students by their description in a run file.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use limbeck_text::Text;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Weights;
use crate::config::{ModelConfig, ReducedEmbeddings, Target, TransformerConfig};
use crate::encoder::{BiLstmConfig, EmbeddingMode, Transformer, frozen_name};
use crate::{Keep, LayerSelection, ModelError, SentenceClassifier, TextTokenizer, WordVectors};

/// Width of random word embeddings when no size is given: that of word2vec and GloVe.
const RANDOM_SIZE: usize = 300;

/// A student before training: `layers = { bottom = 3 }`, or `bi-lstm = { layers = 2 }`, in a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StudentConfig {
    /// Some of the teacher's layers, with its embeddings, head and vocabulary.
    Layers(LayerSelection),
    /// A BERT from scratch over the teacher's vocabulary.
    Bert(BertStudent),
    /// A BERT from scratch with embeddings of their own size, reduced to its width (`BERT_S`).
    SmallBert(SmallBertStudent),
    /// Bidirectional LSTM layers (`LSTM_S`).
    BiLstm(BiLstmStudent),
}

/// Sizes of a BERT from scratch; by default those of BERT-small (Turc et al. 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BertStudent {
    /// Number of layers.
    pub layers: usize,
    /// Width of the layers.
    pub hidden_size: usize,
    /// Attention heads of a layer; they divide the width.
    pub heads: usize,
    /// Width inside the feed-forward blocks.
    pub intermediate_size: usize,
    /// Longest sentence in tokens.
    pub max_tokens: usize,
}

impl Default for BertStudent {
    fn default() -> Self {
        Self {
            layers: 4,
            hidden_size: 512,
            heads: 8,
            intermediate_size: 2048,
            max_tokens: 512,
        }
    }
}

/// Sizes of a BERT with reduced embeddings; the defaults have 2.42 million parameters beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SmallBertStudent {
    /// Number of layers.
    pub layers: usize,
    /// Width of the layers.
    pub hidden_size: usize,
    /// Attention heads of a layer; they divide the width.
    pub heads: usize,
    /// Width inside the feed-forward blocks.
    pub intermediate_size: usize,
    /// Longest sentence in tokens.
    pub max_tokens: usize,
    /// Word embeddings.
    pub embeddings: EmbeddingConfig,
    /// What a token is.
    pub vocabulary: Vocabulary,
}

impl Default for SmallBertStudent {
    fn default() -> Self {
        Self {
            layers: 5,
            hidden_size: 204,
            heads: 3,
            intermediate_size: 750,
            max_tokens: 512,
            embeddings: EmbeddingConfig::default(),
            vocabulary: Vocabulary::Teacher,
        }
    }
}

/// Sizes of a BiLSTM; over two copies of 300-dimensional embeddings the defaults have 2.41 million
/// parameters beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BiLstmStudent {
    /// Number of bidirectional layers.
    pub layers: usize,
    /// Width of one direction.
    pub hidden_size: usize,
    /// Width between the two linear layers of the head.
    pub head_size: usize,
    /// Dropout before the last linear layer, in `[0, 1)`.
    pub dropout: f64,
    /// Word embeddings.
    pub embeddings: EmbeddingConfig,
    /// What a token is.
    pub vocabulary: Vocabulary,
}

impl Default for BiLstmStudent {
    fn default() -> Self {
        Self {
            layers: 1,
            hidden_size: 300,
            head_size: 400,
            dropout: 0.1,
            embeddings: EmbeddingConfig::default(),
            vocabulary: Vocabulary::Teacher,
        }
    }
}

/// A student's word embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EmbeddingConfig {
    /// Whether they learn.
    pub mode: EmbeddingMode,
    /// What they begin with.
    pub source: EmbeddingSource,
    /// Width of one copy; `None` takes that of the source, or 300 at random.
    pub size: Option<usize>,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            mode: EmbeddingMode::Multichannel,
            source: EmbeddingSource::Teacher,
            size: None,
        }
    }
}

/// What word embeddings begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum EmbeddingSource {
    /// Random numbers.
    Random,
    /// The teacher's own table.
    Teacher,
    /// A file of GloVe or word2vec; words without a vector are random.
    Vectors(PathBuf),
    /// The same as a `NumPy` array, with a list of its words.
    Numpy {
        /// The `.npy` file.
        vectors: PathBuf,
        /// One word to a line, or a JSON list.
        words: PathBuf,
    },
}

/// What a student takes for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vocabulary {
    /// Lower-cased words between spaces: all that occur in the transfer set.
    Words,
    /// The teacher's word pieces.
    Teacher,
}

/// A teacher with its tokenizer, where there is one.
type Teacher<'a> = Option<(&'a SentenceClassifier, &'a TextTokenizer)>;

impl StudentConfig {
    /// Makes the student and its tokenizer.
    ///
    /// `texts` is the transfer set, read only for a vocabulary of words, text by text; `seed` draws fresh weights.
    /// Without a teacher only students are possible that take nothing from one.
    pub fn build(
        &self,
        teacher: Teacher<'_>,
        texts: &mut dyn Iterator<Item = Text>,
        target: &Target,
        seed: u64,
        device: &Device,
    ) -> Result<(SentenceClassifier, TextTokenizer), ModelError> {
        match self {
            Self::Layers(selection) => {
                let (teacher, tokenizer) = needed(teacher, "`layers` takes its layers")?;
                if teacher.target() != target {
                    return Err(ModelError::LabelMismatch {
                        path: "the teacher".into(),
                        found: teacher.target().clone(),
                        expected: target.clone(),
                    });
                }
                Ok((teacher.cut(selection, device)?, tokenizer.clone()))
            }
            Self::Bert(student) => {
                let (teacher, tokenizer) = needed(teacher, "`bert` takes its vocabulary")?;
                let vocabulary = teacher.word_embeddings().shape().dims()[0];
                let config = student.config(vocabulary, tokenizer)?;
                let model = SentenceClassifier::fresh(config, target, seed, device)?;
                Ok((model, tokenizer.clone()))
            }
            Self::SmallBert(student) => {
                let words = Words::new(
                    &student.embeddings,
                    student.vocabulary,
                    teacher,
                    texts,
                    seed,
                )?;
                let mut config = student.sizes().config(words.rows, &words.tokenizer)?;
                config.reduced = Some(ReducedEmbeddings {
                    size: words.size,
                    mode: student.embeddings.mode,
                });
                let segments = words.segments(config.segment_count)?;
                let mut tensors = words.tensors("bert.embeddings.word_embeddings");
                if let Some(segments) = segments {
                    tensors.extend(both_copies(
                        "bert.embeddings.token_type_embeddings",
                        &segments,
                    ));
                }
                finish(
                    config.into(),
                    words.tokenizer,
                    tensors,
                    target,
                    seed,
                    device,
                )
            }
            Self::BiLstm(student) => {
                student.check()?;
                let words = Words::new(
                    &student.embeddings,
                    student.vocabulary,
                    teacher,
                    texts,
                    seed,
                )?;
                let config = BiLstmConfig {
                    vocabulary_size: words.rows,
                    embedding_size: words.size,
                    embedding_mode: student.embeddings.mode,
                    layer_count: student.layers,
                    hidden_size: student.hidden_size,
                    head_size: student.head_size,
                    dropout: student.dropout,
                    target: None,
                };
                let tensors = words.tensors("embedding");
                finish(
                    config.into(),
                    words.tokenizer,
                    tensors,
                    target,
                    seed,
                    device,
                )
            }
        }
    }
}

fn finish(
    config: ModelConfig,
    tokenizer: TextTokenizer,
    tensors: BTreeMap<String, Tensor>,
    target: &Target,
    seed: u64,
    device: &Device,
) -> Result<(SentenceClassifier, TextTokenizer), ModelError> {
    let weights = Weights::from_tensors(Path::new("the student's embeddings"), tensors);
    let model = SentenceClassifier::beginning_with(config, &weights, target, seed, device)?;
    Ok((model, tokenizer))
}

impl BertStudent {
    fn config(
        &self,
        vocabulary_size: usize,
        tokenizer: &TextTokenizer,
    ) -> Result<TransformerConfig, ModelError> {
        check_counts(&[
            ("layers", self.layers),
            ("hidden-size", self.hidden_size),
            ("heads", self.heads),
            ("intermediate-size", self.intermediate_size),
            ("max-tokens", self.max_tokens),
        ])?;
        if !self.hidden_size.is_multiple_of(self.heads) {
            return Err(problem(format!(
                "{} heads do not divide a hidden size of {}; change `heads` or `hidden-size`",
                self.heads, self.hidden_size
            )));
        }
        let mut config = TransformerConfig::bert(vocabulary_size, tokenizer.pad_id().unwrap_or(0));
        config.layer_count = self.layers;
        config.hidden_size = self.hidden_size;
        config.head_count = self.heads;
        config.intermediate_size = self.intermediate_size;
        config.max_positions = self.max_tokens;
        Ok(config)
    }
}

impl SmallBertStudent {
    fn sizes(&self) -> BertStudent {
        BertStudent {
            layers: self.layers,
            hidden_size: self.hidden_size,
            heads: self.heads,
            intermediate_size: self.intermediate_size,
            max_tokens: self.max_tokens,
        }
    }
}

impl BiLstmStudent {
    fn check(&self) -> Result<(), ModelError> {
        check_counts(&[
            ("layers", self.layers),
            ("hidden-size", self.hidden_size),
            ("head-size", self.head_size),
        ])?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(problem(format!(
                "`dropout` is {}; give a number in [0, 1)",
                self.dropout
            )));
        }
        Ok(())
    }
}

fn check_counts(counts: &[(&str, usize)]) -> Result<(), ModelError> {
    match counts.iter().find(|(_, count)| *count == 0) {
        Some((name, _)) => Err(problem(format!(
            "`{name}` is 0; give a whole number above 0"
        ))),
        None => Ok(()),
    }
}

/// A vocabulary and what its embeddings begin with.
struct Words<'a> {
    tokenizer: TextTokenizer,
    rows: usize,
    size: usize,
    /// `[rows, size]`; `None` is drawn later.
    table: Option<Tensor>,
    /// The teacher whose table it is.
    teacher: Option<&'a Transformer>,
}

impl<'a> Words<'a> {
    fn new(
        config: &EmbeddingConfig,
        vocabulary: Vocabulary,
        teacher: Teacher<'a>,
        texts: &mut dyn Iterator<Item = Text>,
        seed: u64,
    ) -> Result<Self, ModelError> {
        if let Some(size) = config.size {
            check_counts(&[("size", size)])?;
        }
        match (&config.source, vocabulary) {
            (EmbeddingSource::Teacher, Vocabulary::Words) => Err(problem(
                "the teacher has embeddings for its word pieces, not for words; set `vocabulary = \"teacher\"`, or another `source`",
            )),
            (EmbeddingSource::Vectors(_) | EmbeddingSource::Numpy { .. }, Vocabulary::Teacher) => {
                Err(problem(
                    "word vectors are for words, not for the teacher's word pieces; set `vocabulary = \"words\"`, or `source = \"teacher\"`",
                ))
            }
            (EmbeddingSource::Random, Vocabulary::Teacher) => {
                let (model, tokenizer) =
                    needed(teacher, "`vocabulary = \"teacher\"` takes its word pieces")?;
                let rows = model.word_embeddings().shape().dims()[0];
                Ok(Self::random(tokenizer.clone(), rows, config))
            }
            (EmbeddingSource::Random, Vocabulary::Words) => {
                let tokenizer = train_words(texts)?;
                let rows = tokenizer.vocabulary_size();
                Ok(Self::random(tokenizer, rows, config))
            }
            (EmbeddingSource::Teacher, Vocabulary::Teacher) => {
                let (model, tokenizer) =
                    needed(teacher, "`source = \"teacher\"` takes its embeddings")?;
                let table = model.word_embeddings().value().to_device(&Device::Cpu)?;
                let (rows, size) = table.dims2()?;
                check_size(config, size, "the teacher's embeddings")?;
                Ok(Self {
                    tokenizer: tokenizer.clone(),
                    rows,
                    size,
                    table: Some(table),
                    teacher: model.encoder(),
                })
            }
            (EmbeddingSource::Vectors(path), Vocabulary::Words) => {
                Self::from_vectors((path, None), config, train_words(texts)?, seed)
            }
            (EmbeddingSource::Numpy { vectors, words }, Vocabulary::Words) => {
                Self::from_vectors((vectors, Some(words)), config, train_words(texts)?, seed)
            }
        }
    }

    fn random(tokenizer: TextTokenizer, rows: usize, config: &EmbeddingConfig) -> Self {
        Self {
            tokenizer,
            rows,
            size: config.size.unwrap_or(RANDOM_SIZE),
            table: None,
            teacher: None,
        }
    }

    fn from_vectors(
        (path, words): (&Path, Option<&PathBuf>),
        config: &EmbeddingConfig,
        tokenizer: TextTokenizer,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let vocabulary = tokenizer.vocabulary();
        let wanted: HashSet<String> = vocabulary.iter().cloned().collect();
        let vectors = WordVectors::open(path, words.map(PathBuf::as_path), Keep::These(&wanted))?;
        let size = vectors.dimensions();
        check_size(config, size, &path.display().to_string())?;
        let table = vectors.embedding_table(&vocabulary, seed);
        if table.known_count == 0 {
            return Err(problem(format!(
                "{} has a vector for none of the {} words of the transfer set; is it of the same language, and lower-cased?",
                path.display(),
                vocabulary.len()
            )));
        }
        let rows = vocabulary.len();
        Ok(Self {
            tokenizer,
            rows,
            size,
            table: Some(Tensor::from_vec(table.values, (rows, size), &Device::Cpu)?),
            teacher: None,
        })
    }

    fn tensors(&self, stem: &str) -> BTreeMap<String, Tensor> {
        let table = self.table.iter();
        table.flat_map(|table| both_copies(stem, table)).collect()
    }

    /// The teacher's segment table where it has as many rows.
    fn segments(&self, rows: usize) -> Result<Option<Tensor>, ModelError> {
        let table = self.teacher.and_then(Transformer::segment_embeddings);
        let table = table.filter(|table| table.shape().dims() == [rows, self.size]);
        let table = table.map(|table| table.value().to_device(&Device::Cpu));
        Ok(table.transpose()?)
    }
}

/// A table under the names of its frozen and its trainable copy.
fn both_copies(stem: &str, table: &Tensor) -> [(String, Tensor); 2] {
    [frozen_name(stem), format!("{stem}.weight")].map(|name| (name, table.clone()))
}

fn train_words(texts: &mut dyn Iterator<Item = Text>) -> Result<TextTokenizer, ModelError> {
    let mut texts = texts.peekable();
    if texts.peek().is_none() {
        return Err(problem(
            "a vocabulary of words needs the texts of the transfer set, and there are none",
        ));
    }
    TextTokenizer::train_words(texts, 1)
}

fn check_size(config: &EmbeddingConfig, found: usize, source: &str) -> Result<(), ModelError> {
    match config.size {
        Some(size) if size != found => Err(problem(format!(
            "`size` is {size}, but {source} have {found} numbers to a word; leave `size` out"
        ))),
        _ => Ok(()),
    }
}

fn needed<'a>(
    teacher: Teacher<'a>,
    what: &str,
) -> Result<(&'a SentenceClassifier, &'a TextTokenizer), ModelError> {
    teacher.ok_or_else(|| {
        problem(format!(
            "{what} from a teacher, and there is none; name a teacher"
        ))
    })
}

fn problem(problem: impl Into<String>) -> ModelError {
    ModelError::Student {
        problem: problem.into(),
    }
}
