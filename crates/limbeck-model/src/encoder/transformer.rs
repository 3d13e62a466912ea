use candle_core::Tensor;
use limbeck_ops::{
    LayerNorm, LayerParameters, LayerSpec, Parameter, Pass, Queries, RelativePositionBias, dropout,
    layer_norm, transformer_layer, transformer_layer_with_maps,
};

use super::embeddings::Embeddings;
use super::{Encoded, HiddenStates, Input, Last, Needs};
use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Init};
use crate::config::{Architecture, TransformerConfig};

/// Distance from which on MPNet's relative positions share a bucket.
const RELATIVE_MAX_DISTANCE: usize = 128;
/// Dropout places: the embeddings', then four for each layer.
const EMBEDDING_SITE: u32 = 1;
const FIRST_LAYER_SITE: u32 = 16;
const SITES_PER_LAYER: u32 = 4;

/// A BERT-like encoder: embeddings and a stack of post-norm transformer layers.
#[derive(Debug, Clone)]
pub struct Transformer {
    config: TransformerConfig,
    embeddings: Embeddings,
    norm: LayerNorm,
    layers: Vec<LayerParameters>,
    specs: Vec<LayerSpec>,
}

impl Transformer {
    /// Builds the encoder from the tensors under `prefix` (empty, or `bert.` and the like).
    pub(crate) fn build(
        config: &TransformerConfig,
        prefix: &str,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let normal = Init::Normal(config.initializer_range);
        let embeddings = Embeddings::build(config, prefix, builder)?;
        let norm = build_norm(config, &format!("{prefix}embeddings.LayerNorm"), builder)?;
        let relative_bias = match config.relative_buckets {
            0 => None,
            buckets => Some(RelativePositionBias {
                table: builder.parameter(
                    &format!("{prefix}encoder.relative_attention_bias.weight"),
                    &[buckets, config.head_count],
                    normal,
                )?,
                max_distance: RELATIVE_MAX_DISTANCE,
            }),
        };
        let layers =
            (0..config.layer_count).map(|index| build_layer(config, prefix, index, builder));
        let layers = layers.collect::<Result<_, _>>()?;
        let specs = (0..config.layer_count as u32).map(|index| LayerSpec {
            heads: config.head_count,
            epsilon: config.epsilon,
            activation: config.activation,
            // DistilBERT has no dropout between the attention's output layer and its norm.
            attention_output_dropout: match config.architecture {
                Architecture::DistilBert => 0.0,
                _ => config.hidden_dropout,
            },
            hidden_dropout: config.hidden_dropout,
            attention_dropout: config.attention_dropout,
            site: FIRST_LAYER_SITE + index * SITES_PER_LAYER,
            relative_bias: relative_bias.clone(),
        });
        let specs = specs.collect();
        Ok(Self {
            config: config.clone(),
            embeddings,
            norm,
            layers,
            specs,
        })
    }

    /// Sizes and settings.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The word embedding table, `[V, H]`, or `[V, E]` where embeddings are reduced (of two copies
    /// the one that learns).
    pub fn word_embeddings(&self) -> &Parameter {
        self.embeddings.word()
    }

    /// The word embedding table, or its copies in the order in which [`Input::Words`] takes them side by side.
    pub(crate) fn word_tables(&self) -> Vec<&Parameter> {
        self.embeddings.word_tables()
    }

    /// The segment embedding table, as wide as that of the words; `None` where the family has none.
    pub fn segment_embeddings(&self) -> Option<&Parameter> {
        self.embeddings.segment()
    }

    /// Encodes a batch; `last` says which tokens of the last layer are needed.
    pub fn encode(
        &self,
        batch: &Batch,
        input: Input<'_>,
        needs: Needs,
        last: Queries,
        pass: &Pass,
    ) -> Result<Encoded, ModelError> {
        self.check_length(batch)?;
        let embeddings = match input {
            Input::Embeddings(sum) => sum.clone(),
            Input::Ids => self.embedding_sum(batch, None, pass)?,
            Input::Words(words) => self.embedding_sum(batch, Some(words), pass)?,
        };
        let normed = layer_norm(&embeddings, &self.norm, pass)?;
        let mut x = dropout(&normed, self.config.hidden_dropout, EMBEDDING_SITE, pass)?;
        let mut hidden = Vec::new();
        let mut attention = Vec::new();
        let keep = |x: &Tensor| match needs.hidden {
            HiddenStates::None => Ok(None),
            HiddenStates::All => Ok(Some(x.clone())),
            HiddenStates::First => first_rows(x, batch).map(Some),
        };
        hidden.extend(keep(&x)?);
        for (index, (layer, spec)) in self.layers.iter().zip(&self.specs).enumerate() {
            let is_last = index + 1 == self.layers.len();
            if needs.attention {
                let (y, maps) = transformer_layer_with_maps(&x, layer, &batch.starts, spec, pass)?;
                attention.push(maps);
                x = y;
            } else {
                let first_only =
                    is_last && last == Queries::First && needs.hidden != HiddenStates::All;
                let queries = if first_only {
                    Queries::First
                } else {
                    Queries::All
                };
                x = transformer_layer(&x, layer, &batch.starts, spec, queries, pass)?;
                if first_only {
                    if needs.hidden == HiddenStates::First {
                        hidden.push(x.clone());
                    }
                    return Ok(Encoded {
                        last: Last::First(x),
                        hidden,
                        attention,
                    });
                }
            }
            hidden.extend(keep(&x)?);
        }
        let last = match last {
            Queries::All => Last::All(x),
            Queries::First => Last::First(first_rows(&x, batch)?),
        };
        Ok(Encoded {
            last,
            hidden,
            attention,
        })
    }

    /// The words' embeddings, as [`Input::Words`] takes them.
    pub(crate) fn look_up_words(&self, batch: &Batch, pass: &Pass) -> Result<Tensor, ModelError> {
        self.embeddings.look_up_words(batch, pass)
    }

    /// Sum of word, position and segment embeddings, `[N, H]`, before norm and dropout.
    pub fn embedding_sum(
        &self,
        batch: &Batch,
        words: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        self.embeddings.sum(&self.config, batch, words, pass)
    }

    fn check_length(&self, batch: &Batch) -> Result<(), ModelError> {
        let (longest, limit) = (batch.starts.longest(), self.config.max_tokens());
        if longest > limit {
            return Err(ModelError::TooLong {
                tokens: longest,
                limit,
            });
        }
        Ok(())
    }
}

/// The first token's row of every sentence, `[B, H]`.
pub(crate) fn first_rows(x: &Tensor, batch: &Batch) -> Result<Tensor, ModelError> {
    let rows = Tensor::new(batch.starts.first_rows(), x.device())?;
    Ok(x.index_select(&rows, 0)?)
}

/// A norm's two vectors under `name`.
pub(crate) fn build_norm(
    config: &TransformerConfig,
    name: &str,
    builder: &mut Builder<'_>,
) -> Result<LayerNorm, ModelError> {
    Ok(LayerNorm {
        scale: builder.parameter(&format!("{name}.weight"), &[config.hidden_size], Init::Ones)?,
        shift: builder.parameter(&format!("{name}.bias"), &[config.hidden_size], Init::Zeros)?,
        epsilon: config.epsilon,
    })
}

/// Names of one layer's parts under `encoder.layer.N.` and the like.
struct LayerNames {
    stem: &'static str,
    query_key_value: [&'static str; 3],
    output: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    norm: &'static str,
}

impl Architecture {
    fn layer_names(self) -> LayerNames {
        let bert = LayerNames {
            stem: "encoder.layer",
            query_key_value: [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
            ],
            output: "attention.output.dense",
            attention_norm: "attention.output.LayerNorm",
            up: "intermediate.dense",
            down: "output.dense",
            norm: "output.LayerNorm",
        };
        match self {
            Self::Bert | Self::Roberta => bert,
            Self::MpNet => LayerNames {
                query_key_value: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
                output: "attention.attn.o",
                attention_norm: "attention.LayerNorm",
                ..bert
            },
            Self::DistilBert => LayerNames {
                stem: "transformer.layer",
                query_key_value: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
                output: "attention.out_lin",
                attention_norm: "sa_layer_norm",
                up: "ffn.lin1",
                down: "ffn.lin2",
                norm: "output_layer_norm",
            },
        }
    }

    /// What layer `N`'s names begin with, after the model's prefix and up to the number.
    pub(crate) fn layer_stem(self) -> &'static str {
        self.layer_names().stem
    }
}

fn build_layer(
    config: &TransformerConfig,
    prefix: &str,
    index: usize,
    builder: &mut Builder<'_>,
) -> Result<LayerParameters, ModelError> {
    let names = config.architecture.layer_names();
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let normal = Init::Normal(config.initializer_range);
    let full = |part: &str, kind: &str| format!("{prefix}{}.{index}.{part}.{kind}", names.stem);
    let merged = |kind: &str| names.query_key_value.map(|part| full(part, kind));
    let mut one = |part: &str, kind: &str, shape: &[usize], init| {
        builder.parameter(&full(part, kind), shape, init)
    };
    let output_weight = one(names.output, "weight", &[hidden, hidden], normal)?;
    let output_bias = one(names.output, "bias", &[hidden], Init::Zeros)?;
    let attention_norm_scale = one(names.attention_norm, "weight", &[hidden], Init::Ones)?;
    let attention_norm_shift = one(names.attention_norm, "bias", &[hidden], Init::Zeros)?;
    let up_weight = one(names.up, "weight", &[inner, hidden], normal)?;
    let up_bias = one(names.up, "bias", &[inner], Init::Zeros)?;
    let down_weight = one(names.down, "weight", &[hidden, inner], normal)?;
    let down_bias = one(names.down, "bias", &[hidden], Init::Zeros)?;
    let norm_scale = one(names.norm, "weight", &[hidden], Init::Ones)?;
    let norm_shift = one(names.norm, "bias", &[hidden], Init::Zeros)?;
    Ok(LayerParameters {
        qkv_weight: builder.stacked(&merged("weight"), &[3 * hidden, hidden], normal)?,
        qkv_bias: builder.stacked(&merged("bias"), &[3 * hidden], Init::Zeros)?,
        output_weight,
        output_bias,
        attention_norm_scale,
        attention_norm_shift,
        up_weight,
        up_bias,
        down_weight,
        down_bias,
        norm_scale,
        norm_shift,
    })
}
