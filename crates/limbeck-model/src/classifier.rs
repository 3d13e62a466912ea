//! Encoder and head: teacher and student alike.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use limbeck_ops::{Parameter, Pass, Queries, mean_pool};

use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Slot, WEIGHTS_FILE, Weights, write_tensors};
use crate::config::{Architecture, Target, TransformerConfig};
use crate::encoder::{HiddenStates, Input, Last, Needs, Transformer};
use crate::head::{Head, MaskedLmHead};
use crate::seed::generator;

/// A classifier's results for a batch.
#[derive(Debug, Clone)]
pub struct Output {
    /// `[B, C]`; one column for regression.
    pub logits: Tensor,
    /// What the last linear layer reads, before dropout, `[B, H]`.
    pub pooled: Tensor,
    /// Embedding output and each layer's output, if asked for.
    pub hidden: Vec<Tensor>,
    /// Each layer's attention, if asked for.
    pub attention: Vec<limbeck_ops::AttentionMaps>,
}

/// A sentence classifier or regressor.
#[derive(Debug, Clone)]
pub struct SentenceClassifier {
    encoder: Transformer,
    head: Head,
    target: Target,
    slots: Vec<Slot>,
    fresh: Vec<String>,
}

impl SentenceClassifier {
    /// Loads a Hugging Face folder.
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
        let path = folder.join("config.json");
        let config = TransformerConfig::open(&path)?;
        let weights = Weights::open(folder)?;
        Self::from_weights(&config, &weights, target, seed, device)
    }

    /// The same from weights in memory.
    pub fn from_weights(
        config: &TransformerConfig,
        weights: &Weights,
        target: Option<&Target>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let has_head = has_trained_head(config.architecture, weights);
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
        Self::build(config, Some(weights), &target, seed, device)
    }

    /// A model with fresh weights only.
    pub fn fresh(
        config: &TransformerConfig,
        target: &Target,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, None, target, seed, device)
    }

    fn build(
        config: &TransformerConfig,
        weights: Option<&Weights>,
        target: &Target,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let prefix = match weights {
            Some(weights) => model_prefix(config.architecture, weights),
            None => format!("{}.", config.architecture.model_type()),
        };
        let mut builder = Builder::new(weights, device);
        let has_pooler = builder.has(&format!("{prefix}pooler.dense.weight"));
        if weights.is_none() {
            builder.fresh = Some(generator(seed, "encoder"));
        }
        let encoder = Transformer::build(config, &prefix, &mut builder)?;
        // A base model has no classifier yet, and some lack a pooler too; its encoder must be whole.
        if weights.is_none_or(|w| !has_trained_head(config.architecture, w))
            || (config.architecture == Architecture::Bert && !has_pooler)
        {
            builder.fresh = Some(generator(seed, "head"));
        }
        let head = Head::build(config, &prefix, target.outputs(), &mut builder)?;
        let Builder {
            mut slots, drawn, ..
        } = builder;
        // Written under the prefix that transformers' classifiers have, whatever it was read from.
        let written = format!("{}.", config.architecture.model_type());
        for name in slots.iter_mut().flat_map(|slot| &mut slot.names) {
            let is_head = name.starts_with("classifier") || name.starts_with("pre_classifier");
            if !is_head {
                *name = format!("{written}{}", name.strip_prefix(&prefix).unwrap_or(name));
            }
        }
        Ok(Self {
            encoder,
            head,
            target: target.clone(),
            slots,
            fresh: drawn,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Transformer {
        &self.encoder
    }

    /// Sizes and settings.
    pub fn config(&self) -> &TransformerConfig {
        self.encoder.config()
    }

    /// What it predicts.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Names of tensors that the checkpoint lacked and that were drawn instead.
    pub fn fresh_tensors(&self) -> &[String] {
        &self.fresh
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

    /// Number of parameters in all, and without the embedding tables.
    pub fn parameter_count(&self) -> (usize, usize) {
        let all: usize = self.slots.iter().map(|slot| slot.parameter.len()).sum();
        let embeddings = self
            .slots
            .iter()
            .filter(|slot| slot.names[0].contains("_embeddings."));
        let embeddings: usize = embeddings.map(|slot| slot.parameter.len()).sum();
        (all, all - embeddings)
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
        let encoded = self
            .encoder
            .encode(batch, input, needs, self.head.reads(), pass)?;
        let (logits, pooled) = self.head.apply(&encoded.last, batch, pass)?;
        Ok(Output {
            logits,
            pooled,
            hidden: encoded.hidden,
            attention: encoded.attention,
        })
    }

    /// Sentence embeddings: the mean over tokens of the last layer, `[B, H]`, without gradients.
    pub fn mean_embeddings(&self, batch: &Batch) -> Result<Tensor, ModelError> {
        let encoded = self.encoder.encode(
            batch,
            Input::Ids,
            Needs::NOTHING,
            Queries::All,
            &Pass::EVALUATE,
        )?;
        match encoded.last {
            Last::All(x) => Ok(mean_pool(&x, &batch.starts)?),
            Last::First(_) => unreachable!("all rows were asked for"),
        }
    }

    /// The checkpoint's tensors by name.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        tensors_of(&self.slots)
    }

    /// Replaces all parameters by the tensors of a checkpoint of the same model.
    pub fn load(&self, weights: &Weights) -> Result<(), ModelError> {
        for slot in &self.slots {
            let mut parts = Vec::new();
            for name in &slot.names {
                let shape = || slot.parameter.shape().dims().to_vec();
                let part = weights.get(name).cloned();
                parts.push(part.ok_or_else(|| ModelError::MissingTensor {
                    path: weights.path().to_owned(),
                    name: name.clone(),
                    shape: shape(),
                })?);
            }
            slot.parameter.set(&Tensor::cat(&parts, 0)?)?;
        }
        Ok(())
    }

    /// Writes `config.json` and `model.safetensors`, which transformers can open.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        save_model(
            folder,
            &self.config().to_json(Some(&self.target)),
            &self.tensors()?,
        )
    }

    /// Hidden states that forward passes can return.
    pub fn provides() -> Needs {
        Needs {
            hidden: HiddenStates::All,
            attention: true,
        }
    }
}

/// A masked language model: encoder and tied vocabulary head.
#[derive(Debug, Clone)]
pub struct MaskedLanguageModel {
    encoder: Transformer,
    head: MaskedLmHead,
    slots: Vec<Slot>,
}

impl MaskedLanguageModel {
    /// Loads a Hugging Face `*ForMaskedLM` folder.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        let config = TransformerConfig::open(&folder.join("config.json"))?;
        let weights = Weights::open(folder)?;
        let mut builder = Builder::new(Some(&weights), device);
        let encoder = Transformer::build(
            &config,
            &model_prefix(config.architecture, &weights),
            &mut builder,
        )?;
        let head = MaskedLmHead::build(&config, encoder.word_embeddings(), &mut builder)?;
        Ok(Self {
            encoder,
            head,
            slots: builder.slots,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Transformer {
        &self.encoder
    }

    /// All parameters, in a fixed order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Vocabulary logits at packed rows `rows` of the batch, `[M, V]`.
    pub fn logits(
        &self,
        batch: &Batch,
        input: Input<'_>,
        rows: &[u32],
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let encoded = self
            .encoder
            .encode(batch, input, Needs::NOTHING, Queries::All, pass)?;
        let Last::All(x) = encoded.last else {
            unreachable!("all rows were asked for")
        };
        let rows = Tensor::new(rows, x.device())?;
        self.head.logits(&x.index_select(&rows, 0)?, pass)
    }

    /// Writes `config.json` and `model.safetensors`, which transformers can open.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        save_model(
            folder,
            &self.encoder.config().to_json(None),
            &tensors_of(&self.slots)?,
        )
    }
}

fn tensors_of(slots: &[Slot]) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut tensors = BTreeMap::new();
    for slot in slots {
        tensors.extend(slot.split(&slot.parameter.value())?);
    }
    Ok(tensors)
}

fn save_model(
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
    limbeck_text::atomic_write(&folder.join("config.json"), text.as_bytes())
        .map_err(|source| ModelError::Write { source })
}

/// `bert.` and the like when the checkpoint's names have it, nothing when they are bare.
fn model_prefix(architecture: Architecture, weights: &Weights) -> String {
    let prefix = format!("{}.", architecture.model_type());
    if weights.has_prefix(&prefix) {
        prefix
    } else {
        String::new()
    }
}

fn has_trained_head(architecture: Architecture, weights: &Weights) -> bool {
    let name = match architecture {
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
