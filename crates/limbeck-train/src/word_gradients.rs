//! How strongly a classifier's loss depends on each piece of a text.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};
use limbeck_model::{Batch, Input, Needs, SentenceClassifier, TextTokenizer, TokenPlace};
use limbeck_ops::{Pass, backward, loss};
use limbeck_text::Text;

use crate::TrainError;

/// The gradient of a classifier's loss with respect to the word embedding of each token that it reads.
///
/// The loss is the cross-entropy of the label that the classifier itself finds most probable (of equals the first), without
/// dropout. `TextAttack` leaves dropout on here, which makes its numbers chance where a model has any.
#[derive(Debug, Clone)]
pub struct PieceGradients {
    /// `[N, E]`, where `N` counts tokens and `E` is the width of the embeddings.
    gradients: Vec<f32>,
    width: usize,
    /// `[N]`; `None` for special tokens.
    places: Vec<Option<TokenPlace>>,
}

impl PieceGradients {
    /// One forward and one backward pass over `text`, cut to `max_tokens`; no parameter's gradient is touched.
    pub fn of(
        model: &SentenceClassifier,
        tokenizer: &TextTokenizer,
        text: &Text,
        max_tokens: usize,
    ) -> Result<Self, TrainError> {
        let (encoding, places) = tokenizer.encode_with_places(text, max_tokens)?;
        let batch = Batch::new([(0, &encoding)]);
        let words = Var::from_tensor(&model.look_up_words(&batch)?)?;
        let input = Input::Words(words.as_tensor());
        let output = model.forward_from(&batch, input, Needs::NOTHING, &Pass::EVALUATE)?;
        let label = most_probable(&output.logits)?;
        let loss = loss::cross_entropy(&output.logits, &[label])?;
        let store = backward(&loss, &[])?;
        let gradient = match store.get(words.as_tensor()) {
            Some(gradient) => gradient.to_device(&Device::Cpu)?.to_dtype(DType::F32)?,
            None => Tensor::zeros(words.shape(), DType::F32, &Device::Cpu)?,
        };
        Ok(Self {
            width: gradient.dim(1)?,
            gradients: gradient.flatten_all()?.to_vec1()?,
            places,
        })
    }

    /// Number of tokens, special ones included.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The token's gradient, `[E]`.
    pub fn gradient(&self, token: usize) -> &[f32] {
        &self.gradients[token * self.width..][..self.width]
    }

    /// Where the token stands; `None` for a special token.
    pub fn place(&self, token: usize) -> Option<&TokenPlace> {
        self.places[token].as_ref()
    }

    /// `‖mean over tokens of their gradients‖₁` over the tokens that share a byte with `bytes` of a sentence; 0 where none does.
    ///
    /// `sentence`: 0 for the first, 1 for the second. `TextAttack` finds a word's tokens by their letters instead, and so loses
    /// unknown words, words with accents and byte-level tokens; for the others the numbers are the same.
    pub fn norm_at(&self, sentence: usize, bytes: &Range<usize>) -> f64 {
        let mut sum = vec![0.0; self.width];
        let mut count = 0;
        for (token, place) in self.places.iter().enumerate() {
            let is_inside = place.as_ref().is_some_and(|place| {
                let shared = place.bytes.start.max(bytes.start)..place.bytes.end.min(bytes.end);
                place.sentence == sentence && !shared.is_empty()
            });
            if is_inside {
                count += 1;
                for (sum, &value) in sum.iter_mut().zip(self.gradient(token)) {
                    *sum += f64::from(value);
                }
            }
        }
        sum.iter().map(|value| value.abs()).sum::<f64>() / f64::from(count.max(1))
    }
}

/// The column of the largest logit of a single row, of equals the first.
fn most_probable(logits: &Tensor) -> Result<u32, TrainError> {
    let logits = logits
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    let best = (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
    Ok(best as u32)
}
