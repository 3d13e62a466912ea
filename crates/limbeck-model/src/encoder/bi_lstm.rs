use std::path::Path;

use candle_core::Tensor;
use limbeck_ops::{Direction, LstmParameters, Parameter, Pass, dropout, lstm};
use serde_json::{Map, Value, json};

use super::embeddings::Channels;
use super::{EmbeddingMode, HiddenStates, Input, Needs};
use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Init};
use crate::config::{Keys, Target, read_target, write_target};
use crate::head::{Dense, HEAD_SITE, sentence_pass};

/// `model_type` in `config.json`.
pub(crate) const BI_LSTM: &str = "limbeck-bilstm";

/// Largest value of a word embedding drawn at random (Kim 2014, §3.2).
const WORD_BOUND: f64 = 0.25;

/// Sizes and settings of a [`BiLstm`].
#[derive(Debug, Clone, PartialEq)]
pub struct BiLstmConfig {
    /// Rows of the embedding table.
    pub vocabulary_size: usize,
    /// Width of one copy of the embeddings.
    pub embedding_size: usize,
    /// Which copies there are.
    pub embedding_mode: EmbeddingMode,
    /// Number of bidirectional layers.
    pub layer_count: usize,
    /// Width `H` of one direction.
    pub hidden_size: usize,
    /// Width between the two linear layers of the head.
    pub head_size: usize,
    /// Dropout before the last linear layer, in `[0, 1)`.
    pub dropout: f64,
    /// What the checkpoint predicts, if it says so.
    pub target: Option<Target>,
}

impl BiLstmConfig {
    /// From the keys of a `config.json`; `path` is for messages.
    pub(crate) fn from_json(raw: &Map<String, Value>, path: &Path) -> Result<Self, ModelError> {
        let keys = Keys { raw, path };
        Ok(Self {
            vocabulary_size: keys.count("vocab_size")?,
            embedding_size: keys.count("embedding_size")?,
            embedding_mode: keys.embedding_mode()?,
            layer_count: keys.count("num_hidden_layers")?,
            hidden_size: keys.count("hidden_size")?,
            head_size: keys.count("head_size")?,
            dropout: keys.number_or("classifier_dropout", 0.1)?,
            target: read_target(raw),
        })
    }

    /// Keys for `config.json`.
    pub(crate) fn to_json(&self, target: &Target) -> Value {
        let mut raw = Map::new();
        let mut set = |key: &str, value: Value| raw.insert(key.to_owned(), value);
        set("model_type", json!(BI_LSTM));
        set("vocab_size", json!(self.vocabulary_size));
        set("embedding_size", json!(self.embedding_size));
        set("embedding_mode", json!(self.embedding_mode));
        set("num_hidden_layers", json!(self.layer_count));
        set("hidden_size", json!(self.hidden_size));
        set("head_size", json!(self.head_size));
        set("classifier_dropout", json!(self.dropout));
        write_target(&mut raw, target);
        Value::Object(raw)
    }
}

/// Bidirectional LSTM layers over embeddings, and a head of two linear layers, as in Tang et al.
/// 2019 ("Distilling task-specific knowledge from BERT into simple neural networks", §3.1).
///
/// The head reads both directions of the last layer where each has seen the whole sentence: forward
/// at its last token, backward at its first.
#[derive(Debug, Clone)]
pub struct BiLstm {
    config: BiLstmConfig,
    embeddings: Channels,
    layers: Vec<[LstmParameters; 2]>,
    dense: Dense,
    classifier: Dense,
}

impl BiLstm {
    /// Builds the network from tensors with PyTorch's names for a module of `embedding`,
    /// `embedding_static`, `lstm`, `fc1` and `fc2`; fresh ones are drawn as PyTorch draws them.
    pub(crate) fn build(
        config: &BiLstmConfig,
        outputs: usize,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let embeddings = Channels::build(
            "embedding",
            config.embedding_mode,
            [config.vocabulary_size, config.embedding_size],
            Init::Uniform(WORD_BOUND),
            builder,
        )?;
        let mut inputs = config.embedding_size * config.embedding_mode.channel_count();
        let mut layers = Vec::new();
        for layer in 0..config.layer_count {
            let mut direction =
                |suffix| build_lstm(layer, suffix, inputs, config.hidden_size, builder);
            layers.push([direction("")?, direction("_reverse")?]);
            inputs = 2 * config.hidden_size;
        }
        Ok(Self {
            config: config.clone(),
            embeddings,
            layers,
            dense: Dense::build_uniform("fc1", config.head_size, inputs, builder)?,
            classifier: Dense::build_uniform("fc2", outputs, config.head_size, builder)?,
        })
    }

    /// Sizes and settings.
    pub fn config(&self) -> &BiLstmConfig {
        &self.config
    }

    /// The embedding table; of two copies the one that learns.
    pub(crate) fn word_embeddings(&self) -> &Parameter {
        self.embeddings.main()
    }

    /// The embedding table, or its copies in the order in which [`Input::Words`] takes them side by side.
    pub(crate) fn word_tables(&self) -> Vec<&Parameter> {
        self.embeddings.tables()
    }

    /// The last layer at every token, `[N, 2H]`: forward beside backward.
    pub(crate) fn encode(&self, batch: &Batch, pass: &Pass) -> Result<Tensor, ModelError> {
        let words = self.look_up_words(batch, pass)?;
        Ok(Tensor::cat(&self.directions(words, batch, pass)?, 1)?)
    }

    /// The last layer at every token, `[N, H]` for each direction.
    fn directions(
        &self,
        words: Tensor,
        batch: &Batch,
        pass: &Pass,
    ) -> Result<[Tensor; 2], ModelError> {
        let mut x = words;
        let (last, below) = self.layers.split_last().expect("a count above 0");
        for layer in below {
            x = Tensor::cat(&run_layer(&x, layer, batch, pass)?, 1)?;
        }
        run_layer(&x, last, batch, pass)
    }

    /// The words' embeddings, as [`Input::Words`] takes them.
    pub(crate) fn look_up_words(&self, batch: &Batch, pass: &Pass) -> Result<Tensor, ModelError> {
        self.embeddings.look_up(&batch.ids, pass)
    }

    /// Logits `[B, C]` and what the last linear layer reads before dropout, `[B, head size]`.
    pub(crate) fn apply(
        &self,
        batch: &Batch,
        input: Input<'_>,
        pass: &Pass,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let words = match input {
            Input::Words(words) => words.clone(),
            _ => self.look_up_words(batch, pass)?,
        };
        let [forward, backward] = self.directions(words, batch, pass)?;
        let offsets = batch.starts.offsets();
        let ends: Vec<u32> = offsets[1..].iter().map(|end| end - 1).collect();
        let rows = |x: &Tensor, rows: &[u32]| x.index_select(&Tensor::new(rows, x.device())?, 0);
        let states = [
            rows(&forward, &ends)?,
            rows(&backward, batch.starts.first_rows())?,
        ];
        let pass = &sentence_pass(batch, pass);
        let sentence = Tensor::cat(&states, 1)?;
        let pooled = self.dense.apply(&sentence, pass)?.relu()?;
        let dropped = dropout(&pooled, self.config.dropout, HEAD_SITE, pass)?;
        Ok((self.classifier.apply(&dropped, pass)?, pooled))
    }

    /// An error for what only a transformer has.
    pub(crate) fn check(input: Input<'_>, needs: Needs) -> Result<(), ModelError> {
        let what = match (input, needs) {
            (Input::Embeddings(_), _) => "takes no embedding sum from outside",
            (_, needs) if needs.attention => "has no attention",
            (_, needs) if needs.hidden != HiddenStates::None => "gives no hidden states",
            _ => return Ok(()),
        };
        Err(ModelError::NotProvided {
            network: "BiLSTM",
            what,
        })
    }
}

fn run_layer(
    x: &Tensor,
    [forward, backward]: &[LstmParameters; 2],
    batch: &Batch,
    pass: &Pass,
) -> Result<[Tensor; 2], ModelError> {
    Ok([
        lstm(x, forward, &batch.starts, Direction::Forward, pass)?,
        lstm(x, backward, &batch.starts, Direction::Backward, pass)?,
    ])
}

fn build_lstm(
    layer: usize,
    suffix: &str,
    inputs: usize,
    hidden: usize,
    builder: &mut Builder<'_>,
) -> Result<LstmParameters, ModelError> {
    let init = Init::Uniform(1.0 / (hidden as f64).sqrt());
    let mut parameter = |name: &str, shape: &[usize]| {
        builder.parameter(&format!("lstm.{name}_l{layer}{suffix}"), shape, init)
    };
    Ok(LstmParameters {
        input_weight: parameter("weight_ih", &[4 * hidden, inputs])?,
        recurrent_weight: parameter("weight_hh", &[4 * hidden, hidden])?,
        input_bias: parameter("bias_ih", &[4 * hidden])?,
        recurrent_bias: parameter("bias_hh", &[4 * hidden])?,
    })
}
