//! A model with its tokenizer: texts in, probabilities out.

use std::path::Path;

use candle_core::Device;
use limbeck_model::{SentenceClassifier, TextTokenizer};
use limbeck_text::{BoxError, Classifier, Example, Probabilities, Text};

use crate::TrainError;
use crate::data::EncodedSet;
use crate::evaluate::{Predictions, predict};

/// A classifier that reads text.
pub struct Predictor {
    /// The model.
    pub model: SentenceClassifier,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// Longest sentence in tokens.
    pub max_tokens: usize,
}

impl Predictor {
    /// Opens a Hugging Face folder that holds a trained classifier.
    pub fn open(folder: &Path, max_tokens: usize, device: &Device) -> Result<Self, TrainError> {
        let model = SentenceClassifier::open(folder, None, 0, device)?;
        let max_tokens = max_tokens.min(model.max_tokens());
        Ok(Self {
            model,
            tokenizer: TextTokenizer::open(folder)?,
            max_tokens,
        })
    }

    /// The texts as the model reads them.
    pub fn encode(&self, texts: &[Text]) -> Result<EncodedSet, TrainError> {
        let example = |(id, text): (usize, &Text)| Example {
            id: id as u64,
            text: text.clone(),
            label: None,
        };
        let examples: Vec<Example> = texts.iter().enumerate().map(example).collect();
        EncodedSet::new(&examples, &self.tokenizer, self.max_tokens)
    }

    /// Logits of every text.
    pub fn logits(&self, texts: &[Text]) -> Result<Predictions, TrainError> {
        predict(&self.model, &self.encode(texts)?, |_| {})
    }
}

impl Classifier for Predictor {
    fn predict(&self, texts: &[Text]) -> Result<Probabilities, BoxError> {
        let predictions = self.logits(texts)?;
        Ok(Probabilities::from_logits(
            &predictions.logits,
            predictions.outputs,
        )?)
    }
}
