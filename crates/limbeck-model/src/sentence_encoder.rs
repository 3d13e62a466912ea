//! An encoder without a head, and the pooling that makes one vector of a sentence.

use std::path::Path;

use candle_core::{Device, Tensor};
use limbeck_ops::{Pass, Queries, mean_pool};

use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Weights};
use crate::classifier::model_prefix;
use crate::config::TransformerConfig;
use crate::encoder::{Input, Last, Needs, Transformer, first_rows};

/// Which of a sentence's token vectors make its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// The mean over all tokens, special ones included.
    #[default]
    Mean,
    /// The first token's.
    First,
}

/// An encoder that turns sentences into vectors.
#[derive(Debug, Clone)]
pub struct SentenceEncoder {
    encoder: Transformer,
    pooling: Pooling,
}

impl SentenceEncoder {
    /// Loads the encoder of a Hugging Face folder; a head, if there is one, is left aside.
    pub fn open(folder: &Path, pooling: Pooling, device: &Device) -> Result<Self, ModelError> {
        let config = TransformerConfig::open(&folder.join("config.json"))?;
        let weights = Weights::open(folder)?;
        let mut builder = Builder::new(Some(&weights), device);
        let prefix = model_prefix(config.architecture, &weights);
        Ok(Self {
            encoder: Transformer::build(&config, &prefix, &mut builder)?,
            pooling,
        })
    }

    /// Sizes and settings.
    pub fn config(&self) -> &TransformerConfig {
        self.encoder.config()
    }

    /// Whether it computes on the processor.
    pub fn is_on_cpu(&self) -> bool {
        let words = self.encoder.word_embeddings();
        words.value().device().is_cpu()
    }

    /// One vector per sentence, `[B, H]`, without gradients.
    pub fn encode(&self, batch: &Batch) -> Result<Tensor, ModelError> {
        let queries = match self.pooling {
            Pooling::Mean => Queries::All,
            Pooling::First => Queries::First,
        };
        let encoded =
            self.encoder
                .encode(batch, Input::Ids, Needs::NOTHING, queries, &Pass::EVALUATE)?;
        match (encoded.last, self.pooling) {
            (Last::First(x), _) => Ok(x),
            (Last::All(x), Pooling::Mean) => Ok(mean_pool(&x, &batch.starts)?),
            (Last::All(x), Pooling::First) => first_rows(&x, batch),
        }
    }
}
