//! A masked language model: encoder and tied vocabulary head.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use limbeck_ops::{Parameter, Pass, Queries};

use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Slot, Weights};
use crate::classifier::{load_slots, model_prefix, save_model, tensors_of};
use crate::config::TransformerConfig;
use crate::encoder::{Input, Last, Needs, Transformer};
use crate::head::{MaskedLmHead, MaskedLmNames};
use crate::seed::generator;
use crate::tokenizer::Encoding;

/// A masked language model (`BertForMaskedLM` and its relatives): an encoder, and a head whose vocabulary
/// matrix is the encoder's word embeddings.
#[derive(Debug, Clone)]
pub struct MaskedLanguageModel {
    encoder: Transformer,
    head: MaskedLmHead,
    /// The encoder's first, then the head's.
    slots: Vec<Slot>,
    encoder_slots: usize,
    learns: Learns,
    fresh: Vec<String>,
}

/// Which parameters of a masked language model learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learns {
    /// All of them.
    Everything,
    /// The head's own; the encoder stays as it is, and so does the vocabulary matrix tied to it.
    Head,
}

impl MaskedLanguageModel {
    /// Loads a Hugging Face `*ForMaskedLM` folder.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::build(folder, None, device)
    }

    /// The same, or an encoder without a head, which then gets one drawn from `seed`.
    pub fn open_or_draw_head(
        folder: &Path,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build(folder, Some(seed), device)
    }

    fn build(folder: &Path, seed: Option<u64>, device: &Device) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let config = TransformerConfig::open(&path)?;
        if config.reduced.is_some() {
            // The vocabulary layer is tied to a word table as wide as the layers.
            return Err(ModelError::UnsupportedModel {
                path,
                model_type: config.model_type().to_owned(),
            });
        }
        let weights = Weights::open(folder)?;
        let mut builder = Builder::new(Some(&weights), device);
        let prefix = model_prefix(config.architecture, &weights);
        let encoder = Transformer::build(&config, &prefix, &mut builder)?;
        let encoder_slots = builder.slots.len();
        let names = MaskedLmNames::of(config.architecture);
        let dense = format!("{}.weight", names.dense);
        if builder.has(&dense) {
            check_tied(&weights, &encoder, names.decoder)?;
        } else {
            let Some(seed) = seed else {
                return Err(ModelError::NoMaskedLmHead {
                    path: weights.path().to_owned(),
                    name: dense,
                });
            };
            builder.fresh = Some(generator(seed, "head"));
        }
        let head = MaskedLmHead::build(&config, encoder.word_embeddings(), &mut builder)?;
        let Builder {
            mut slots, drawn, ..
        } = builder;
        // Written under the prefix that transformers' models with a head have, whatever it was read from.
        let written = format!("{}.", config.architecture.model_type());
        for name in slots[..encoder_slots]
            .iter_mut()
            .flat_map(|slot| &mut slot.names)
        {
            *name = format!("{written}{}", name.strip_prefix(&prefix).unwrap_or(name));
        }
        Ok(Self {
            encoder,
            head,
            slots,
            encoder_slots,
            learns: Learns::Everything,
            fresh: drawn,
        })
    }

    /// The same model, of which only these parameters learn.
    #[must_use]
    pub fn learning(mut self, learns: Learns) -> Self {
        self.learns = learns;
        if learns == Learns::Head {
            self.head = self.head.with_frozen_words();
            for slot in &mut self.slots[..self.encoder_slots] {
                slot.parameter = slot.parameter.clone().frozen();
            }
        }
        self
    }

    /// The encoder.
    pub fn encoder(&self) -> &Transformer {
        &self.encoder
    }

    /// Sizes and settings.
    pub fn config(&self) -> &TransformerConfig {
        self.encoder.config()
    }

    /// All parameters with the names of their tensors in a checkpoint, in a fixed order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// All parameters, in a fixed order; those that do not learn are frozen.
    pub fn parameters(&self) -> Vec<Parameter> {
        let parameters = self.slots.iter().map(|slot| slot.parameter.clone());
        parameters.collect()
    }

    /// Names of the head's tensors where the checkpoint had none and they were drawn.
    pub fn fresh_tensors(&self) -> &[String] {
        &self.fresh
    }

    /// Whether it computes on the processor.
    pub fn is_on_cpu(&self) -> bool {
        let words = self.encoder.word_embeddings();
        words.value().device().is_cpu()
    }

    /// Number of parameters in all, and those of the embedding tables.
    pub fn parameter_count(&self) -> (usize, usize) {
        let count = |slots: &mut dyn Iterator<Item = &Slot>| slots.map(|s| s.parameter.len()).sum();
        let is_table = |slot: &&Slot| {
            let name = &slot.names[0];
            name.contains(".embeddings.") && !name.contains("LayerNorm")
        };
        (
            count(&mut self.slots.iter()),
            count(&mut self.slots.iter().filter(is_table)),
        )
    }

    /// Vocabulary logits at packed rows `rows` of the batch, `[M, V]`.
    ///
    /// Only these rows go through the head. Where the encoder does not learn it runs without dropout.
    pub fn logits(
        &self,
        batch: &Batch,
        input: Input<'_>,
        rows: &[u32],
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let encoder_pass = match self.learns {
            Learns::Everything => pass,
            Learns::Head => &Pass::EVALUATE,
        };
        let encoded =
            self.encoder
                .encode(batch, input, Needs::NOTHING, Queries::All, encoder_pass)?;
        let Last::All(x) = encoded.last else {
            unreachable!("all rows were asked for")
        };
        let rows = Tensor::new(rows, x.device())?;
        self.head.logits(&x.index_select(&rows, 0)?, pass)
    }

    /// Vocabulary logits at one place of each sentence, without gradients, `[B, V]`.
    ///
    /// Attention knows the order of tokens by their position numbers alone, so the asked token can be laid
    /// first in its sentence with its number kept; the last layer is then computed for it only. MPNet also
    /// looks at distances between rows, so there all rows are computed.
    pub fn logits_at(&self, sentences: &[(&Encoding, usize)]) -> Result<Tensor, ModelError> {
        let pass = &Pass::EVALUATE;
        if self.config().relative_buckets > 0 {
            let batch = Batch::new(sentences.iter().map(|(encoding, _)| (0, *encoding)));
            let first = batch.starts.first_rows().iter();
            let rows: Vec<u32> = first
                .zip(sentences)
                .map(|(first, (_, place))| first + *place as u32)
                .collect();
            return self.logits(&batch, Input::Ids, &rows, pass);
        }
        let swapped: Vec<Encoding> = sentences
            .iter()
            .map(|&(encoding, place)| {
                let mut encoding = encoding.clone();
                encoding.ids.swap(0, place);
                encoding.segments.swap(0, place);
                encoding
            })
            .collect();
        let mut batch = Batch::new(swapped.iter().map(|encoding| (0, encoding)));
        let mut places = batch.places.to_vec();
        for (&first, &(_, place)) in batch.starts.first_rows().iter().zip(sentences) {
            places.swap(first as usize, first as usize + place);
        }
        batch.places = places.into();
        let encoded =
            self.encoder
                .encode(&batch, Input::Ids, Needs::NOTHING, Queries::First, pass)?;
        let Last::First(x) = encoded.last else {
            unreachable!("the first rows were asked for")
        };
        self.head.logits(&x, pass)
    }

    /// The checkpoint's tensors by name.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        tensors_of(&self.slots)
    }

    /// Replaces all parameters by the tensors of a checkpoint that this model wrote.
    pub fn load(&self, weights: &Weights) -> Result<(), ModelError> {
        load_slots(&self.slots, weights)
    }

    /// Writes `config.json` and `model.safetensors`, which transformers can open.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        save_model(folder, &self.config().to_json(None), &self.tensors()?)
    }
}

/// Fails where a file holds another vocabulary matrix than the word embeddings.
fn check_tied(weights: &Weights, encoder: &Transformer, name: &str) -> Result<(), ModelError> {
    let Some(decoder) = weights.get(name) else {
        return Ok(());
    };
    let words = encoder.word_embeddings().value().to_device(&Device::Cpu)?;
    let is_tied = decoder.dims() == words.dims()
        && (decoder - words)?
            .abs()?
            .flatten_all()?
            .max(0)?
            .to_scalar::<f32>()?
            == 0.0;
    if is_tied {
        return Ok(());
    }
    Err(ModelError::UntiedHead {
        path: weights.path().to_owned(),
        name: name.to_owned(),
    })
}
