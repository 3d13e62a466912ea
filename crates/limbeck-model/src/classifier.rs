//! Encoder and head: teacher and student alike.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use limbeck_ops::{Parameter, Pass, Queries, mean_pool};

use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Slot, WEIGHTS_FILE, Weights, write_tensors};
use crate::config::{Architecture, HeadKind, ModelConfig, Target, TransformerConfig};
use crate::discriminator::{DISCRIMINATOR, Discriminator};
use crate::encoder::{BiLstm, HiddenStates, Input, Last, Needs, Transformer};
use crate::head::Head;
use crate::seed::generator;

/// A classifier's results for a batch.
#[derive(Debug, Clone)]
pub struct Output {
    /// `[B, C]`; one column for regression.
    pub logits: Tensor,
    /// What the last linear layer (or a discriminator) reads, before dropout, `[B, H]`.
    pub pooled: Tensor,
    /// Embedding output and each layer's output, if asked for.
    pub hidden: Vec<Tensor>,
    /// Each layer's attention, if asked for.
    pub attention: Vec<limbeck_ops::AttentionMaps>,
}

/// A sentence classifier or regressor.
#[derive(Debug, Clone)]
pub struct SentenceClassifier {
    body: Body,
    config: ModelConfig,
    target: Target,
    slots: Vec<Slot>,
    fresh: Vec<String>,
}

/// The networks there are.
#[derive(Debug, Clone)]
enum Body {
    Transformer {
        encoder: Box<Transformer>,
        head: Head,
    },
    BiLstm(BiLstm),
}

/// Where parameters come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// A trained encoder, whose head may be missing.
    Checkpoint(&'a Weights),
    /// A few tensors to begin with; all others are drawn.
    Beginning(&'a Weights),
}

impl SentenceClassifier {
    /// Loads a Hugging Face folder, or a student's in the same form; `model_type` in `config.json` decides.
    ///
    /// With `target = None` the checkpoint must hold a trained head. With a target, the checkpoint's
    /// head is taken if its labels are the same; a checkpoint without a head gets a fresh one drawn
    /// from `seed`; other labels are an error.
    pub fn open(
        folder: &Path,
        target: Option<&Target>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let config = ModelConfig::open(&folder.join("config.json"))?;
        let weights = Weights::open(folder)?;
        Self::from_weights(config, &weights, target, seed, device)
    }

    /// The same from weights in memory; `config`: a [`ModelConfig`] or `&TransformerConfig`.
    pub fn from_weights(
        config: impl Into<ModelConfig>,
        weights: &Weights,
        target: Option<&Target>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let config = config.into();
        let has_head = has_trained_head(&config, weights);
        let own = config.target();
        let target = match (target, own) {
            (None, Some(own)) if has_head => own,
            (None, _) => {
                return Err(ModelError::NoHead {
                    path: weights.path().to_owned(),
                });
            }
            (Some(target), own) => {
                if has_head {
                    check_labels(weights.path(), own.as_ref(), target)?;
                }
                target.clone()
            }
        };
        Self::build(config, Origin::Checkpoint(weights), &target, seed, device)
    }

    /// A model with fresh weights only.
    pub fn fresh(
        config: impl Into<ModelConfig>,
        target: &Target,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let nothing = Weights::from_tensors(Path::new("fresh weights"), BTreeMap::new());
        Self::beginning_with(config.into(), &nothing, target, seed, device)
    }

    /// A model with these tensors, and fresh ones for all others.
    pub(crate) fn beginning_with(
        config: ModelConfig,
        weights: &Weights,
        target: &Target,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, Origin::Beginning(weights), target, seed, device)
    }

    fn build(
        config: ModelConfig,
        origin: Origin<'_>,
        target: &Target,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let (Origin::Checkpoint(weights) | Origin::Beginning(weights)) = origin;
        let mut builder = Builder::new(Some(weights), device);
        if matches!(origin, Origin::Beginning(_)) {
            builder.fresh = Some(generator(seed, "encoder"));
        }
        let body = match &config {
            ModelConfig::Transformer(config) => {
                build_transformer(config, origin, target.outputs(), seed, &mut builder)?
            }
            ModelConfig::BiLstm(config) => {
                Body::BiLstm(BiLstm::build(config, target.outputs(), &mut builder)?)
            }
        };
        let Builder { slots, drawn, .. } = builder;
        Ok(Self {
            body,
            config,
            target: target.clone(),
            slots,
            fresh: drawn,
        })
    }

    /// The transformer; `None` where the network is another.
    pub fn encoder(&self) -> Option<&Transformer> {
        match &self.body {
            Body::Transformer { encoder, .. } => Some(encoder),
            Body::BiLstm(_) => None,
        }
    }

    /// The word embedding table, `[V, E]`; of two copies the one that learns.
    pub fn word_embeddings(&self) -> &Parameter {
        match &self.body {
            Body::Transformer { encoder, .. } => encoder.word_embeddings(),
            Body::BiLstm(network) => network.word_embeddings(),
        }
    }

    /// The word embedding table, `[V, E]`, or its copies in the order in which [`Input::Words`] takes them side by side.
    pub fn word_tables(&self) -> Vec<&Parameter> {
        match &self.body {
            Body::Transformer { encoder, .. } => encoder.word_tables(),
            Body::BiLstm(network) => network.word_tables(),
        }
    }

    /// Sizes and settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What it predicts.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Longest sentence in tokens, special tokens included; no limit is `usize::MAX`.
    pub fn max_tokens(&self) -> usize {
        self.config.max_tokens()
    }

    /// Number of layers between embeddings and head.
    pub fn layer_count(&self) -> usize {
        self.config.layer_count()
    }

    /// Kind, layers and width for tables: `BERT, 3 layers, width 384`.
    pub fn kind_name(&self) -> String {
        self.config.kind_name()
    }

    /// Names of tensors that the checkpoint lacked and that were drawn instead.
    pub fn fresh_tensors(&self) -> &[String] {
        &self.fresh
    }

    /// The head, of a transformer.
    pub(crate) fn head(&self) -> Option<&Head> {
        match &self.body {
            Body::Transformer { head, .. } => Some(head),
            Body::BiLstm(_) => None,
        }
    }

    /// The discriminator, where the head is one, and what the model predicts, both to be changed.
    pub(crate) fn discriminator_and_target(&mut self) -> (Option<&mut Discriminator>, &mut Target) {
        let head = match &mut self.body {
            Body::Transformer { head, .. } => Some(head),
            Body::BiLstm(_) => None,
        };
        (head.and_then(Head::discriminator_mut), &mut self.target)
    }

    /// Counts those as fresh too that were drawn before and are still there.
    pub(crate) fn with_earlier_fresh(mut self, earlier: &[String]) -> Self {
        let is_there = |name: &&String| self.slots.iter().any(|slot| slot.names.contains(name));
        let earlier: Vec<String> = earlier.iter().filter(is_there).cloned().collect();
        self.fresh.extend(earlier);
        self
    }

    /// All parameters, in a fixed order.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.slots
            .iter()
            .map(|slot| slot.parameter.clone())
            .collect()
    }

    /// Parameters with the names of their tensors in a checkpoint.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        let first = self.slots.first();
        first.map_or(Device::Cpu, |slot| slot.parameter.value().device().clone())
    }

    /// Whether it computes on the processor.
    pub fn is_on_cpu(&self) -> bool {
        self.device().is_cpu()
    }

    /// Number of parameters in all, and without the embedding tables (and what reduces their width).
    pub fn parameter_count(&self) -> (usize, usize) {
        let is_embedding = |name: &str| {
            name.starts_with("embedding")
                || (name.contains(".embeddings.") && !name.contains("LayerNorm"))
        };
        let count = |slot: &Slot| slot.parameter.len();
        let all: usize = self.slots.iter().map(count).sum();
        let embeddings = self
            .slots
            .iter()
            .filter(|slot| is_embedding(&slot.names[0]));
        (all, all - embeddings.map(count).sum::<usize>())
    }

    /// Logits and whatever else is asked for.
    pub fn forward(&self, batch: &Batch, needs: Needs, pass: &Pass) -> Result<Output, ModelError> {
        self.forward_from(batch, Input::Ids, needs, pass)
    }

    /// Like [`SentenceClassifier::forward`], from embeddings given from outside.
    pub fn forward_from(
        &self,
        batch: &Batch,
        input: Input<'_>,
        needs: Needs,
        pass: &Pass,
    ) -> Result<Output, ModelError> {
        match &self.body {
            Body::Transformer { encoder, head } => {
                let encoded = encoder.encode(batch, input, needs, head.reads(), pass)?;
                let (logits, pooled) = head.apply(&encoded.last, batch, pass)?;
                Ok(Output {
                    logits,
                    pooled,
                    hidden: encoded.hidden,
                    attention: encoded.attention,
                })
            }
            Body::BiLstm(network) => {
                BiLstm::check(input, needs)?;
                let (logits, pooled) = network.apply(batch, input, pass)?;
                Ok(Output {
                    logits,
                    pooled,
                    hidden: Vec::new(),
                    attention: Vec::new(),
                })
            }
        }
    }

    /// What a perturbation is added to: a transformer's embedding sum before norm and dropout,
    /// `[N, H]`; a BiLSTM's word embeddings, `[N, E]`.
    pub fn embed(&self, batch: &Batch, pass: &Pass) -> Result<Tensor, ModelError> {
        match &self.body {
            Body::Transformer { encoder, .. } => encoder.embedding_sum(batch, None, pass),
            Body::BiLstm(network) => network.look_up_words(batch, pass),
        }
    }

    /// Like [`SentenceClassifier::forward`], from what [`SentenceClassifier::embed`] gave.
    pub fn forward_embedded(
        &self,
        batch: &Batch,
        embeddings: &Tensor,
        needs: Needs,
        pass: &Pass,
    ) -> Result<Output, ModelError> {
        let input = match &self.body {
            Body::Transformer { .. } => Input::Embeddings(embeddings),
            Body::BiLstm(_) => Input::Words(embeddings),
        };
        self.forward_from(batch, input, needs, pass)
    }

    /// The embeddings of a batch's words, as [`Input::Words`] takes them, without gradients.
    pub fn look_up_words(&self, batch: &Batch) -> Result<Tensor, ModelError> {
        match &self.body {
            Body::Transformer { encoder, .. } => encoder.look_up_words(batch, &Pass::EVALUATE),
            Body::BiLstm(network) => network.look_up_words(batch, &Pass::EVALUATE),
        }
    }

    /// Sentence embeddings: the mean over tokens of the last layer, `[B, H]`, without gradients.
    pub fn mean_embeddings(&self, batch: &Batch) -> Result<Tensor, ModelError> {
        let pass = &Pass::EVALUATE;
        let last = match &self.body {
            Body::Transformer { encoder, .. } => {
                let encoded =
                    encoder.encode(batch, Input::Ids, Needs::NOTHING, Queries::All, pass)?;
                let Last::All(last) = encoded.last else {
                    unreachable!("all rows were asked for")
                };
                last
            }
            Body::BiLstm(network) => network.encode(batch, pass)?,
        };
        Ok(mean_pool(&last, &batch.starts)?)
    }

    /// The checkpoint's tensors by name.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        tensors_of(&self.slots)
    }

    /// Replaces all parameters by the tensors of a checkpoint of the same model.
    pub fn load(&self, weights: &Weights) -> Result<(), ModelError> {
        load_slots(&self.slots, weights)
    }

    /// Writes `config.json` and `model.safetensors`, which transformers can open.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        save_model(folder, &self.config.to_json(&self.target), &self.tensors()?)
    }

    /// What forward passes can return beside logits.
    pub fn provides(&self) -> Needs {
        match &self.body {
            Body::Transformer { .. } => Needs {
                hidden: HiddenStates::All,
                attention: true,
            },
            Body::BiLstm(_) => Needs::NOTHING,
        }
    }
}

fn build_transformer(
    config: &TransformerConfig,
    origin: Origin<'_>,
    outputs: usize,
    seed: u64,
    builder: &mut Builder<'_>,
) -> Result<Body, ModelError> {
    // Written under the prefix that transformers' classifiers have, whatever it was read from.
    let written = format!("{}.", config.architecture.model_type());
    let prefix = match origin {
        Origin::Checkpoint(weights) => model_prefix(config.architecture, weights),
        Origin::Beginning(_) => written.clone(),
    };
    let encoder = Transformer::build(config, &prefix, builder)?;
    // A base model has no classifier yet, and some lack a pooler too; its encoder must be whole.
    let has_head = match origin {
        Origin::Checkpoint(weights) => {
            let has_pooler = builder.has(&format!("{prefix}pooler.dense.weight"));
            let needs_pooler = config.architecture == Architecture::Bert;
            has_trained_transformer_head(config, weights) && (has_pooler || !needs_pooler)
        }
        Origin::Beginning(_) => false,
    };
    if !has_head {
        builder.fresh = Some(generator(seed, "head"));
    }
    let head = Head::build(config, &prefix, outputs, builder)?;
    for name in builder.slots.iter_mut().flat_map(|slot| &mut slot.names) {
        let is_head = ["classifier", "pre_classifier", DISCRIMINATOR]
            .iter()
            .any(|start| name.starts_with(start));
        if !is_head {
            *name = format!("{written}{}", name.strip_prefix(&prefix).unwrap_or(name));
        }
    }
    Ok(Body::Transformer {
        encoder: Box::new(encoder),
        head,
    })
}

/// Replaces all parameters by a checkpoint's tensors.
pub(crate) fn load_slots(slots: &[Slot], weights: &Weights) -> Result<(), ModelError> {
    for slot in slots {
        let mut parts = Vec::new();
        for name in &slot.names {
            let part = weights.get(name).cloned();
            parts.push(part.ok_or_else(|| ModelError::MissingTensor {
                path: weights.path().to_owned(),
                name: name.clone(),
                shape: slot.parameter.shape().dims().to_vec(),
            })?);
        }
        slot.parameter.set(&Tensor::cat(&parts, 0)?)?;
    }
    Ok(())
}

pub(crate) fn tensors_of(slots: &[Slot]) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut tensors = BTreeMap::new();
    for slot in slots {
        tensors.extend(slot.split(&slot.parameter.value())?);
    }
    Ok(tensors)
}

pub(crate) fn save_model(
    folder: &Path,
    config: &serde_json::Value,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), ModelError> {
    fs_err::create_dir_all(folder).map_err(|source| ModelError::Write { source })?;
    write_tensors(
        &folder.join(WEIGHTS_FILE),
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor)),
    )?;
    let text = format!("{config:#}\n");
    limbeck_text::atomic_write(folder.join("config.json"), text.as_bytes())
        .map_err(|source| ModelError::Write { source })
}

/// `bert.` and the like when the checkpoint's names have it, nothing when they are bare.
pub(crate) fn model_prefix(architecture: Architecture, weights: &Weights) -> String {
    let prefix = format!("{}.", architecture.model_type());
    if weights.has_prefix(&prefix) {
        prefix
    } else {
        String::new()
    }
}

fn has_trained_head(config: &ModelConfig, weights: &Weights) -> bool {
    match config {
        ModelConfig::Transformer(config) => has_trained_transformer_head(config, weights),
        ModelConfig::BiLstm(_) => weights.get("fc2.weight").is_some(),
    }
}

fn has_trained_transformer_head(config: &TransformerConfig, weights: &Weights) -> bool {
    if matches!(config.head, HeadKind::Discriminator(_)) {
        return weights
            .get(&format!("{DISCRIMINATOR}classifier.weight"))
            .is_some();
    }
    let name = match config.architecture {
        Architecture::Bert | Architecture::DistilBert => "classifier.weight",
        Architecture::Roberta | Architecture::MpNet => "classifier.out_proj.weight",
    };
    weights.get(name).is_some() || weights.get("classifier.weight").is_some()
}

fn check_labels(path: &Path, found: Option<&Target>, expected: &Target) -> Result<(), ModelError> {
    // A head that nobody named its labels for (`LABEL_0`, ..) is taken when their number fits.
    let unnamed = |labels: &[String]| {
        labels
            .iter()
            .enumerate()
            .all(|(i, label)| *label == format!("LABEL_{i}"))
    };
    match (found, expected) {
        (None, _) | (Some(Target::Regression), Target::Regression) => Ok(()),
        (Some(Target::Labels(found)), Target::Labels(expected))
            if found == expected || (found.len() == expected.len() && unnamed(found)) =>
        {
            Ok(())
        }
        (Some(found), expected) => Err(ModelError::LabelMismatch {
            path: path.to_owned(),
            found: found.clone(),
            expected: expected.clone(),
        }),
    }
}
