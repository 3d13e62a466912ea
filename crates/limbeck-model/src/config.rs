//! Hugging Face's `config.json`, read into what the encoders need and kept whole for writing back.

use std::path::Path;

use limbeck_ops::Activation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::encoder::{BI_LSTM, BiLstmConfig, EmbeddingMode};

/// The four families of encoder that one implementation covers; they differ in names and details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// BERT: segments, tanh pooler (Devlin et al. 2019).
    Bert,
    /// RoBERTa: positions start at 2, own classification head (Liu et al. 2019).
    Roberta,
    /// DistilBERT: no segments, no pooler (Sanh et al. 2019).
    DistilBert,
    /// MPNet: relative position bias (Song et al. 2020).
    MpNet,
}

impl Architecture {
    const ALL: [Self; 4] = [Self::Bert, Self::Roberta, Self::DistilBert, Self::MpNet];

    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::DistilBert => "distilbert",
            Self::MpNet => "mpnet",
        }
    }

    /// Name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "BERT",
            Self::Roberta => "RoBERTa",
            Self::DistilBert => "DistilBERT",
            Self::MpNet => "MPNet",
        }
    }

    /// What transformers calls a model of this family with a head of the given kind.
    pub(crate) fn class_name(self, task: &str) -> String {
        let family = match self {
            Self::Bert => "Bert",
            Self::Roberta => "Roberta",
            Self::DistilBert => "DistilBert",
            Self::MpNet => "MPNet",
        };
        format!("{family}{task}")
    }
}

/// What a classifier pools before its linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// The family's own: tanh pooler (BERT), dense layer on the first token (the others).
    Standard,
    /// BERT's pooler followed by `ReLU`, as TinyBERT's released code has it, in teacher and student.
    TinyBertRelu,
    /// The mean over all tokens, then one linear layer.
    Mean,
    /// The family's pooled vector, then GAN-BERT's discriminator, of whose classes the logits are the labels'.
    Discriminator(ExtraClasses),
}

/// The classes that a GAN-BERT's discriminator tells apart beside the `k` labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ExtraClasses {
    /// Generated vectors (Croce et al. 2020, Salimans et al. 2016).
    #[default]
    #[serde(rename = "k+1")]
    Fake,
    /// Unlabelled sentences, a class that is never a target, then generated vectors, as the released programs have it.
    #[serde(rename = "k+2")]
    UnknownAndFake,
}

impl ExtraClasses {
    /// How many they are.
    pub fn count(self) -> usize {
        match self {
            Self::Fake => 1,
            Self::UnknownAndFake => 2,
        }
    }
}

impl HeadKind {
    const KEY: &'static str = "limbeck_head";

    fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::TinyBertRelu => "tinybert-relu",
            Self::Mean => "mean",
            Self::Discriminator(ExtraClasses::Fake) => "gan-k+1",
            Self::Discriminator(ExtraClasses::UnknownAndFake) => "gan-k+2",
        }
    }
}

/// What a model predicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One of these labels; the order is the order of the logits.
    Labels(Vec<String>),
    /// One number.
    Regression,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Labels(labels) => write!(f, "the labels {labels:?}"),
            Self::Regression => f.write_str("a number"),
        }
    }
}

impl Target {
    /// Number of logits.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Regression => 1,
        }
    }
}

/// Word and segment embeddings of their own size, reduced to the layers' width by a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReducedEmbeddings {
    /// Width `E` of one copy.
    pub size: usize,
    /// Which copies there are.
    pub mode: EmbeddingMode,
}

/// `model_type` of a transformer with reduced embeddings.
const BERT_S: &str = "limbeck-bert-s";

/// Sizes and settings of any network that a checkpoint can hold.
#[derive(Debug, Clone)]
pub enum ModelConfig {
    /// BERT and its relatives, with full or reduced embeddings.
    Transformer(TransformerConfig),
    /// A bidirectional LSTM.
    BiLstm(BiLstmConfig),
}

impl ModelConfig {
    /// Reads `config.json`; `model_type` decides.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let raw = read_object(path)?;
        match raw.get("model_type").and_then(Value::as_str) {
            Some(BI_LSTM) => BiLstmConfig::from_json(&raw, path).map(Self::BiLstm),
            _ => TransformerConfig::from_json(&raw, path).map(Self::Transformer),
        }
    }

    /// `model_type` in `config.json`.
    pub fn model_type(&self) -> &'static str {
        match self {
            Self::Transformer(config) => config.model_type(),
            Self::BiLstm(_) => BI_LSTM,
        }
    }

    /// What the checkpoint predicts, if it has a classifier.
    pub fn target(&self) -> Option<Target> {
        match self {
            Self::Transformer(config) => config.target(),
            Self::BiLstm(config) => config.target.clone(),
        }
    }

    /// Longest sentence in tokens, special tokens included; no limit is `usize::MAX`.
    pub fn max_tokens(&self) -> usize {
        match self {
            Self::Transformer(config) => config.max_tokens(),
            Self::BiLstm(_) => usize::MAX,
        }
    }

    /// Number of layers between embeddings and head.
    pub fn layer_count(&self) -> usize {
        match self {
            Self::Transformer(config) => config.layer_count,
            Self::BiLstm(config) => config.layer_count,
        }
    }

    /// Kind, layers and width in words, for tables.
    pub fn kind_name(&self) -> String {
        let (kind, width) = match self {
            Self::Transformer(config) => (config.kind(), config.hidden_size),
            Self::BiLstm(config) => ("BiLSTM", config.hidden_size),
        };
        let layers = self.layer_count();
        let plural = if layers == 1 { "layer" } else { "layers" };
        format!("{kind}, {layers} {plural}, width {width}")
    }

    /// Keys for `config.json` of a classifier.
    pub fn to_json(&self, target: &Target) -> Value {
        match self {
            Self::Transformer(config) => config.to_json(Some(target)),
            Self::BiLstm(config) => config.to_json(target),
        }
    }
}

impl From<BiLstmConfig> for ModelConfig {
    fn from(config: BiLstmConfig) -> Self {
        Self::BiLstm(config)
    }
}

impl From<TransformerConfig> for ModelConfig {
    fn from(config: TransformerConfig) -> Self {
        Self::Transformer(config)
    }
}

impl From<&TransformerConfig> for ModelConfig {
    fn from(config: &TransformerConfig) -> Self {
        Self::Transformer(config.clone())
    }
}

/// Sizes and settings of a transformer encoder.
#[derive(Debug, Clone)]
pub struct TransformerConfig {
    /// Family.
    pub architecture: Architecture,
    /// Rows of the word embedding table.
    pub vocabulary_size: usize,
    /// Width `H`.
    pub hidden_size: usize,
    /// Number of layers.
    pub layer_count: usize,
    /// Attention heads per layer; divides the width.
    pub head_count: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Rows of the position table.
    pub max_positions: usize,
    /// Rows of the segment table; 0 for none.
    pub segment_count: usize,
    /// Row of the padding token, from which RoBERTa and MPNet count positions.
    pub pad_id: u32,
    /// Constant under the root of the norms.
    pub epsilon: f64,
    /// Function inside the feed-forward block.
    pub activation: Activation,
    /// Dropout after embeddings and blocks, in `[0, 1)`.
    pub hidden_dropout: f64,
    /// Dropout of attention probabilities, in `[0, 1)`.
    pub attention_dropout: f64,
    /// Dropout before the classifier, in `[0, 1)`.
    pub classifier_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Buckets of the relative position bias; 0 for none.
    pub relative_buckets: usize,
    /// Pooling and layers of the classifier.
    pub head: HeadKind,
    /// Embeddings of another size than the layers (`BERT_S`); only with [`Architecture::Bert`].
    pub reduced: Option<ReducedEmbeddings>,
    /// Every key of `config.json`, known or not.
    raw: Map<String, Value>,
}

impl TransformerConfig {
    /// Reads `config.json`.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let raw = read_object(path)?;
        Self::from_json(&raw, path)
    }

    /// From the keys of a `config.json`; `path` is for messages.
    pub fn from_json(raw: &Map<String, Value>, path: &Path) -> Result<Self, ModelError> {
        let keys = Keys { raw, path };
        let model_type = keys.text("model_type")?;
        let family = match model_type.as_str() {
            BERT_S => Architecture::Bert.model_type(),
            other => other,
        };
        let Some(architecture) = Architecture::ALL
            .into_iter()
            .find(|a| a.model_type() == family)
        else {
            return Err(ModelError::UnsupportedModel {
                path: path.to_owned(),
                model_type,
            });
        };
        let distil = architecture == Architecture::DistilBert;
        let name =
            |plain: &'static str, distilbert: &'static str| if distil { distilbert } else { plain };
        let hidden_dropout = keys.number_or(name("hidden_dropout_prob", "dropout"), 0.1)?;
        let classifier_dropout = if distil {
            keys.number_or("seq_classif_dropout", 0.2)?
        } else {
            keys.number_or("classifier_dropout", hidden_dropout)?
        };
        let pad_default = u32::from(matches!(
            architecture,
            Architecture::Roberta | Architecture::MpNet
        ));
        let config = Self {
            architecture,
            vocabulary_size: keys.count("vocab_size")?,
            hidden_size: keys.count(name("hidden_size", "dim"))?,
            layer_count: keys.count(name("num_hidden_layers", "n_layers"))?,
            head_count: keys.count(name("num_attention_heads", "n_heads"))?,
            intermediate_size: keys.count(name("intermediate_size", "hidden_dim"))?,
            max_positions: keys.count("max_position_embeddings")?,
            segment_count: match architecture {
                Architecture::Bert | Architecture::Roberta => {
                    keys.count_or("type_vocab_size", 2)?
                }
                Architecture::DistilBert | Architecture::MpNet => 0,
            },
            pad_id: keys.id_or("pad_token_id", pad_default)?,
            epsilon: keys.number_or("layer_norm_eps", 1e-12)?,
            activation: keys.activation(name("hidden_act", "activation"))?,
            hidden_dropout,
            attention_dropout: keys.number_or(
                name("attention_probs_dropout_prob", "attention_dropout"),
                0.1,
            )?,
            classifier_dropout,
            initializer_range: keys.number_or("initializer_range", 0.02)?,
            relative_buckets: match architecture {
                Architecture::MpNet => keys.count_or("relative_attention_num_buckets", 32)?,
                _ => 0,
            },
            head: keys.head()?,
            reduced: match model_type.as_str() {
                BERT_S => Some(ReducedEmbeddings {
                    size: keys.count("embedding_size")?,
                    mode: keys.embedding_mode()?,
                }),
                _ => None,
            },
            raw: raw.clone(),
        };
        if config.head_count == 0 || !config.hidden_size.is_multiple_of(config.head_count) {
            return Err(keys.wrong(
                name("num_attention_heads", "n_heads"),
                &config.head_count.to_string(),
                &format!("a divisor of the hidden size {}", config.hidden_size),
            ));
        }
        let first_position = config.first_position() as usize;
        if config.max_positions <= first_position {
            return Err(keys.wrong(
                "max_position_embeddings",
                &config.max_positions.to_string(),
                &format!("more than {first_position}, the position of the first token"),
            ));
        }
        if let Some(kind) = raw
            .get("position_embedding_type")
            .and_then(Value::as_str)
            .filter(|k| *k != "absolute")
        {
            return Err(keys.wrong("position_embedding_type", kind, "`absolute`"));
        }
        Ok(config)
    }

    /// `model_type` in `config.json`.
    pub fn model_type(&self) -> &'static str {
        match self.reduced {
            Some(_) => BERT_S,
            None => self.architecture.model_type(),
        }
    }

    /// BERT-base over another vocabulary; its sizes are there to be changed.
    pub fn bert(vocabulary_size: usize, pad_id: u32) -> Self {
        let settings = json!({
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
            "layer_norm_eps": 1e-12,
            "pad_token_id": pad_id,
            "type_vocab_size": 2,
        });
        let Value::Object(raw) = settings else {
            unreachable!("an object literal")
        };
        Self {
            architecture: Architecture::Bert,
            vocabulary_size,
            hidden_size: 768,
            layer_count: 12,
            head_count: 12,
            intermediate_size: 3072,
            max_positions: 512,
            segment_count: 2,
            pad_id,
            epsilon: 1e-12,
            activation: Activation::Gelu,
            hidden_dropout: 0.1,
            attention_dropout: 0.1,
            classifier_dropout: 0.1,
            initializer_range: 0.02,
            relative_buckets: 0,
            head: HeadKind::Standard,
            reduced: None,
            raw,
        }
    }

    fn kind(&self) -> &'static str {
        match self.reduced {
            Some(_) => "BERT_S",
            None => self.architecture.name(),
        }
    }

    /// The labels in `id2label`, if the checkpoint has a classifier.
    pub fn target(&self) -> Option<Target> {
        read_target(&self.raw)
    }

    /// Longest sentence in tokens, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_positions - self.first_position() as usize
    }

    /// Position number of the first token.
    pub fn first_position(&self) -> u32 {
        match self.architecture {
            Architecture::Roberta | Architecture::MpNet => self.pad_id + 1,
            Architecture::Bert | Architecture::DistilBert => 0,
        }
    }

    /// The same model with another number of layers.
    #[must_use]
    pub fn with_layers(mut self, layer_count: usize) -> Self {
        self.layer_count = layer_count;
        self
    }

    /// The same model with a discriminator for a head.
    pub(crate) fn with_discriminator(mut self, classes: ExtraClasses, dropout: f64) -> Self {
        self.head = HeadKind::Discriminator(classes);
        self.classifier_dropout = dropout;
        self
    }

    /// Keys for `config.json`, those read updated and the others as they were.
    pub fn to_json(&self, target: Option<&Target>) -> Value {
        let mut raw = self.raw.clone();
        let distil = self.architecture == Architecture::DistilBert;
        let mut set = |key: &str, value: Value| raw.insert(key.to_owned(), value);
        set("model_type", json!(self.model_type()));
        set("vocab_size", json!(self.vocabulary_size));
        set(
            if distil { "dim" } else { "hidden_size" },
            json!(self.hidden_size),
        );
        set(
            if distil {
                "n_layers"
            } else {
                "num_hidden_layers"
            },
            json!(self.layer_count),
        );
        set(
            if distil {
                "n_heads"
            } else {
                "num_attention_heads"
            },
            json!(self.head_count),
        );
        set(
            if distil {
                "hidden_dim"
            } else {
                "intermediate_size"
            },
            json!(self.intermediate_size),
        );
        set("max_position_embeddings", json!(self.max_positions));
        if let Some(reduced) = self.reduced {
            set("embedding_size", json!(reduced.size));
            set("embedding_mode", json!(reduced.mode));
        }
        let task = match target {
            Some(_) => "ForSequenceClassification",
            None => "ForMaskedLM",
        };
        if self.reduced.is_none() {
            set("architectures", json!([self.architecture.class_name(task)]));
        }
        if self.head != HeadKind::Standard {
            set(HeadKind::KEY, json!(self.head.name()));
        }
        if matches!(self.head, HeadKind::Discriminator(_)) {
            let key = if distil {
                "seq_classif_dropout"
            } else {
                "classifier_dropout"
            };
            set(key, json!(self.classifier_dropout));
            // No class of transformers has this head.
            raw.remove("architectures");
        }
        if let Some(target) = target {
            write_target(&mut raw, target);
        }
        Value::Object(raw)
    }
}

pub(crate) fn read_target(raw: &Map<String, Value>) -> Option<Target> {
    if raw.get("problem_type").and_then(Value::as_str) == Some("regression") {
        return Some(Target::Regression);
    }
    let labels = raw.get("id2label")?.as_object()?;
    let mut numbered: Vec<(usize, String)> = labels
        .iter()
        .filter_map(|(id, label)| Some((id.parse().ok()?, label.as_str()?.to_owned())))
        .collect();
    numbered.sort();
    match numbered.len() {
        0 => None,
        1 => Some(Target::Regression),
        _ => Some(Target::Labels(
            numbered.into_iter().map(|(_, label)| label).collect(),
        )),
    }
}

pub(crate) fn write_target(raw: &mut Map<String, Value>, target: &Target) {
    let unnamed = ["LABEL_0".to_owned()];
    let (labels, problem) = match target {
        Target::Labels(labels) => (labels.as_slice(), "single_label_classification"),
        Target::Regression => (unnamed.as_slice(), "regression"),
    };
    let numbered = || labels.iter().enumerate();
    let by_id: Map<_, _> = numbered().map(|(i, l)| (i.to_string(), json!(l))).collect();
    let by_label: Map<_, _> = numbered().map(|(i, l)| (l.clone(), json!(i))).collect();
    raw.insert("id2label".to_owned(), Value::Object(by_id));
    raw.insert("label2id".to_owned(), Value::Object(by_label));
    raw.insert("problem_type".to_owned(), json!(problem));
}

fn read_object(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let text = fs_err::read_to_string(path).map_err(|source| ModelError::Read { source })?;
    let value: Value = serde_json::from_str(&text).map_err(|source| ModelError::ConfigSyntax {
        path: path.to_owned(),
        source,
    })?;
    let Value::Object(raw) = value else {
        return Err(ModelError::ConfigKey {
            path: path.to_owned(),
            key: "model_type".into(),
            found: "no object".into(),
            expected: "a JSON object with the model's settings".into(),
        });
    };
    Ok(raw)
}

/// Typed access to the keys of a configuration, with errors that name file and key.
pub(crate) struct Keys<'a> {
    pub(crate) raw: &'a Map<String, Value>,
    pub(crate) path: &'a Path,
}

impl Keys<'_> {
    pub(crate) fn wrong(&self, key: &str, found: &str, expected: &str) -> ModelError {
        ModelError::ConfigKey {
            path: self.path.to_owned(),
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    fn present(&self, key: &str) -> Option<&Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    fn required(&self, key: &str, expected: &str) -> Result<&Value, ModelError> {
        self.present(key)
            .ok_or_else(|| self.wrong(key, "nothing", expected))
    }

    pub(crate) fn text(&self, key: &str) -> Result<String, ModelError> {
        let value = self.required(key, "a string")?;
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| self.wrong(key, &value.to_string(), "a string"))
    }

    pub(crate) fn count(&self, key: &str) -> Result<usize, ModelError> {
        let value = self.required(key, "a whole number above 0")?;
        match value.as_u64() {
            Some(count) if count > 0 => Ok(count as usize),
            _ => Err(self.wrong(key, &value.to_string(), "a whole number above 0")),
        }
    }

    pub(crate) fn count_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        let Some(value) = self.present(key) else {
            return Ok(default);
        };
        let count = value
            .as_u64()
            .ok_or_else(|| self.wrong(key, &value.to_string(), "a whole number"))?;
        Ok(count as usize)
    }

    /// The number of a token.
    fn id_or(&self, key: &str, default: u32) -> Result<u32, ModelError> {
        let Some(value) = self.present(key) else {
            return Ok(default);
        };
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.filter(|&id| id < u32::MAX)
            .ok_or_else(|| self.wrong(key, &value.to_string(), "the number of a token"))
    }

    pub(crate) fn number_or(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        let Some(value) = self.present(key) else {
            return Ok(default);
        };
        let number = value.as_f64().filter(|n| (0.0..1.0).contains(n));
        number.ok_or_else(|| self.wrong(key, &value.to_string(), "a number in [0, 1)"))
    }

    pub(crate) fn embedding_mode(&self) -> Result<EmbeddingMode, ModelError> {
        let key = "embedding_mode";
        let expected = "`static`, `non-static` or `multichannel`";
        let value = self.required(key, expected)?;
        EmbeddingMode::deserialize(value).map_err(|_| self.wrong(key, &value.to_string(), expected))
    }

    fn activation(&self, key: &str) -> Result<Activation, ModelError> {
        match self.present(key).and_then(Value::as_str).unwrap_or("gelu") {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(self.wrong(key, other, "one of `gelu`, `gelu_new`, `relu`")),
        }
    }

    fn head(&self) -> Result<HeadKind, ModelError> {
        let Some(value) = self.present(HeadKind::KEY) else {
            return Ok(HeadKind::Standard);
        };
        let kinds = [
            HeadKind::Standard,
            HeadKind::TinyBertRelu,
            HeadKind::Mean,
            HeadKind::Discriminator(ExtraClasses::Fake),
            HeadKind::Discriminator(ExtraClasses::UnknownAndFake),
        ];
        let kind = kinds
            .into_iter()
            .find(|kind| value.as_str() == Some(kind.name()));
        kind.ok_or_else(|| {
            self.wrong(
                HeadKind::KEY,
                &value.to_string(),
                "`standard`, `tinybert-relu`, `mean`, `gan-k+1` or `gan-k+2`",
            )
        })
    }
}
