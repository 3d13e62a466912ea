//! From an encoder's output to logits.

use candle_core::Tensor;
use limbeck_ops::{LayerNorm, Parameter, Pass, Queries, dropout, layer_norm, linear, mean_pool};

use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Init};
use crate::config::{Architecture, HeadKind, TransformerConfig};
use crate::discriminator::Discriminator;
use crate::encoder::{Last, build_norm, first_rows};

const FIRST_SITE: u32 = 4;
/// Where dropout before the last linear layer takes place.
pub(crate) const HEAD_SITE: u32 = 5;

/// A linear layer's two parameters.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    weight: Parameter,
    bias: Parameter,
}

impl Dense {
    pub(crate) fn build(
        name: &str,
        outputs: usize,
        inputs: usize,
        init: Init,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            weight: builder.parameter(&format!("{name}.weight"), &[outputs, inputs], init)?,
            bias: builder.parameter(&format!("{name}.bias"), &[outputs], Init::Zeros)?,
        })
    }

    /// Fresh weights as `torch.nn.Linear` draws them, both evenly within `1/√inputs`.
    pub(crate) fn build_uniform(
        name: &str,
        outputs: usize,
        inputs: usize,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let init = Init::Uniform(1.0 / (inputs as f64).sqrt());
        Ok(Self {
            weight: builder.parameter(&format!("{name}.weight"), &[outputs, inputs], init)?,
            bias: builder.parameter(&format!("{name}.bias"), &[outputs], init)?,
        })
    }

    pub(crate) fn apply(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        Ok(linear(x, &self.weight, Some(&self.bias), pass)?)
    }
}

/// A classification (or regression) head.
#[derive(Debug, Clone)]
pub struct Head {
    layers: Layers,
    dropout: f64,
}

#[derive(Debug, Clone)]
enum Layers {
    /// tanh pooler, optional `ReLU` (TinyBERT), dropout, linear.
    Pooler {
        pooler: Dense,
        relu: bool,
        classifier: Dense,
    },
    /// dropout, dense, tanh, dropout, linear (RoBERTa, MPNet).
    Tanh { dense: Dense, classifier: Dense },
    /// dense, `ReLU`, dropout, linear (DistilBERT).
    Relu { dense: Dense, classifier: Dense },
    /// mean over tokens, dropout, linear.
    Mean { classifier: Dense },
    /// the family's dense layer, then a discriminator (GAN-BERT).
    Discriminator {
        pooler: Dense,
        relu: bool,
        discriminator: Discriminator,
    },
}

impl Head {
    pub(crate) fn build(
        config: &TransformerConfig,
        prefix: &str,
        outputs: usize,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let hidden = config.hidden_size;
        let init = Init::Normal(config.initializer_range);
        let mut dense = |name: &str, outputs| Dense::build(name, outputs, hidden, init, builder);
        let layers = match (config.head, config.architecture) {
            (HeadKind::Discriminator(classes), architecture) => Layers::Discriminator {
                pooler: match architecture {
                    Architecture::Bert => dense(&format!("{prefix}pooler.dense"), hidden)?,
                    Architecture::Roberta | Architecture::MpNet => {
                        dense("classifier.dense", hidden)?
                    }
                    Architecture::DistilBert => dense("pre_classifier", hidden)?,
                },
                relu: architecture == Architecture::DistilBert,
                discriminator: Discriminator::build(
                    (hidden, outputs),
                    classes,
                    config.classifier_dropout,
                    builder,
                )?,
            },
            (HeadKind::Mean, _) => Layers::Mean {
                classifier: dense("classifier", outputs)?,
            },
            (kind, Architecture::Bert) => Layers::Pooler {
                pooler: dense(&format!("{prefix}pooler.dense"), hidden)?,
                relu: kind == HeadKind::TinyBertRelu,
                classifier: dense("classifier", outputs)?,
            },
            (_, Architecture::Roberta | Architecture::MpNet) => Layers::Tanh {
                dense: dense("classifier.dense", hidden)?,
                classifier: dense("classifier.out_proj", outputs)?,
            },
            (_, Architecture::DistilBert) => Layers::Relu {
                dense: dense("pre_classifier", hidden)?,
                classifier: dense("classifier", outputs)?,
            },
        };
        Ok(Self {
            layers,
            dropout: config.classifier_dropout,
        })
    }

    /// Which tokens of the last layer it reads.
    pub fn reads(&self) -> Queries {
        match self.layers {
            Layers::Mean { .. } => Queries::All,
            _ => Queries::First,
        }
    }

    /// The discriminator, if this head has one.
    pub fn discriminator(&self) -> Option<&Discriminator> {
        match &self.layers {
            Layers::Discriminator { discriminator, .. } => Some(discriminator),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn discriminator_mut(&mut self) -> Option<&mut Discriminator> {
        match &mut self.layers {
            Layers::Discriminator { discriminator, .. } => Some(discriminator),
            _ => None,
        }
    }

    /// Logits `[B, C]` and the vector that the last linear layer reads before dropout, `[B, H]`.
    pub(crate) fn apply(
        &self,
        last: &Last,
        batch: &Batch,
        pass: &Pass,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let by_sentence = sentence_pass(batch, pass);
        let pass = &by_sentence;
        let first = match last {
            Last::First(x) => x.clone(),
            Last::All(x) if matches!(self.layers, Layers::Mean { .. }) => {
                mean_pool(x, &batch.starts)?
            }
            Last::All(x) => first_rows(x, batch)?,
        };
        if let Layers::Discriminator {
            pooler,
            relu,
            discriminator,
        } = &self.layers
        {
            let dense = pooler.apply(&first, pass)?;
            let pooled = if *relu { dense.relu()? } else { dense.tanh()? };
            let verdict = discriminator.judge(&pooled, pass)?;
            return Ok((discriminator.shown_logits(&verdict)?, pooled));
        }
        let (pooled, classifier) = match &self.layers {
            Layers::Pooler {
                pooler,
                relu,
                classifier,
            } => {
                let pooled = pooler.apply(&first, pass)?.tanh()?;
                (if *relu { pooled.relu()? } else { pooled }, classifier)
            }
            Layers::Tanh { dense, classifier } => {
                let dropped = dropout(&first, self.dropout, FIRST_SITE, pass)?;
                (dense.apply(&dropped, pass)?.tanh()?, classifier)
            }
            Layers::Relu { dense, classifier } => (dense.apply(&first, pass)?.relu()?, classifier),
            Layers::Mean { classifier } => (first, classifier),
            Layers::Discriminator { .. } => unreachable!("returned above"),
        };
        let logits = classifier.apply(&dropout(&pooled, self.dropout, HEAD_SITE, pass)?, pass)?;
        Ok((logits, pooled))
    }
}

/// The same pass with dropout rows of the sentences instead of the tokens.
pub(crate) fn sentence_pass(batch: &Batch, pass: &Pass) -> Pass {
    Pass {
        dropout: pass
            .dropout
            .as_ref()
            .map(|key| key.select(batch.starts.first_rows())),
        learning: pass.learning,
    }
}

/// What the parts of a masked-language-model head are called in a checkpoint.
pub(crate) struct MaskedLmNames {
    pub(crate) dense: &'static str,
    pub(crate) norm: &'static str,
    pub(crate) bias: &'static str,
    /// The vocabulary matrix, where a file holds it beside the word embeddings that it is tied to.
    pub(crate) decoder: &'static str,
}

impl MaskedLmNames {
    pub(crate) fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Bert => Self {
                dense: "cls.predictions.transform.dense",
                norm: "cls.predictions.transform.LayerNorm",
                bias: "cls.predictions.bias",
                decoder: "cls.predictions.decoder.weight",
            },
            Architecture::Roberta | Architecture::MpNet => Self {
                dense: "lm_head.dense",
                norm: "lm_head.layer_norm",
                bias: "lm_head.bias",
                decoder: "lm_head.decoder.weight",
            },
            Architecture::DistilBert => Self {
                dense: "vocab_transform",
                norm: "vocab_layer_norm",
                bias: "vocab_projector.bias",
                decoder: "vocab_projector.weight",
            },
        }
    }
}

/// The masked-language-model head: dense, GELU, norm, and the tied word embeddings.
#[derive(Debug, Clone)]
pub struct MaskedLmHead {
    dense: Dense,
    norm: LayerNorm,
    decoder: Parameter,
    bias: Parameter,
    activation: limbeck_ops::Activation,
}

impl MaskedLmHead {
    pub(crate) fn build(
        config: &TransformerConfig,
        words: &Parameter,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let names = MaskedLmNames::of(config.architecture);
        let hidden = config.hidden_size;
        Ok(Self {
            dense: Dense::build(
                names.dense,
                hidden,
                hidden,
                Init::Normal(config.initializer_range),
                builder,
            )?,
            norm: build_norm(config, names.norm, builder)?,
            decoder: words.clone(),
            bias: builder.parameter(names.bias, &[config.vocabulary_size], Init::Zeros)?,
            activation: config.activation,
        })
    }

    /// The same head, through which the word embeddings do not learn.
    pub(crate) fn with_frozen_words(mut self) -> Self {
        self.decoder = self.decoder.frozen();
        self
    }

    /// Vocabulary logits of the given rows; `hidden`: `[M, H]`. Returns `[M, V]`.
    pub fn logits(&self, hidden: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let x = self.dense.apply(hidden, pass)?;
        let x = limbeck_ops::activation(&x, self.activation)?;
        let x = layer_norm(&x, &self.norm, pass)?;
        Ok(linear(&x, &self.decoder, Some(&self.bias), pass)?)
    }
}
