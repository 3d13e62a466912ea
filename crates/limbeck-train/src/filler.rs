//! Words for gaps in a text, from a masked language model.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use limbeck_model::{Encoding, MaskedLanguageModel, Pieces, TextTokenizer, batches_by_tokens};
use limbeck_ops::serially;
use limbeck_text::{BoxError, Filling, Gap, MaskedLm, Text};
use rayon::prelude::*;

use crate::TrainError;
use crate::evaluate::TOKEN_BUDGET;

/// Tokens put in order at a time: most questions are answered by the first of them.
const FIRST_SELECTION: usize = 128;

/// A masked language model with its tokenizer: texts with gaps in, probable tokens out.
///
/// Gaps are answered in packed batches, and only the row of the mask goes through the vocabulary matrix.
#[derive(Debug, Clone)]
pub struct MaskedLmFiller {
    model: MaskedLanguageModel,
    tokenizer: TextTokenizer,
    pieces: Pieces,
    mask: MaskToken,
    max_tokens: usize,
    name: String,
}

#[derive(Debug, Clone)]
struct MaskToken {
    id: u32,
    text: String,
}

/// A gap as the model reads it; `None` where the mask was cut off.
type Question = Option<(Encoding, usize)>;

impl MaskedLmFiller {
    /// Opens a Hugging Face `*ForMaskedLM` folder; `name` is what results call the model.
    ///
    /// Inputs are cut to `max_tokens`, or to the model's own limit if that is less.
    pub fn open(
        folder: &Path,
        name: &str,
        max_tokens: usize,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let model = MaskedLanguageModel::open(folder, device)?;
        Self::new(model, TextTokenizer::open(folder)?, name, max_tokens)
    }

    /// From a model in memory.
    pub fn new(
        model: MaskedLanguageModel,
        tokenizer: TextTokenizer,
        name: &str,
        max_tokens: usize,
    ) -> Result<Self, TrainError> {
        let id = tokenizer.mask_id().ok_or(TrainError::NoMaskToken)?;
        let pieces = Pieces::of(&tokenizer);
        let max_tokens = max_tokens.min(model.config().max_tokens());
        let special = tokenizer.special_count(true);
        if max_tokens <= special {
            return Err(TrainError::Setting {
                setting: "max-tokens",
                found: max_tokens.to_string(),
                expected: format!("more than the {special} special tokens around a pair"),
            });
        }
        let text = pieces.text(id).to_owned();
        Ok(Self {
            model,
            tokenizer,
            pieces,
            mask: MaskToken { id, text },
            max_tokens,
            name: name.to_owned(),
        })
    }

    /// The model.
    pub fn model(&self) -> &MaskedLanguageModel {
        &self.model
    }

    /// The probability of every token of the vocabulary at each gap; `None` where the mask was cut off.
    pub fn probabilities(&self, gaps: &[Gap<'_>]) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
        self.answer(gaps, softmax)
    }

    /// Calls `read` with each gap's logits, on all threads, and returns the results in order.
    fn answer<R: Clone + Send>(
        &self,
        gaps: &[Gap<'_>],
        read: impl Fn(&[f32]) -> R + Sync,
    ) -> Result<Vec<Option<R>>, TrainError> {
        let questions = gaps.par_iter().map(|gap| self.question(gap));
        let questions: Vec<Question> = questions.collect::<Result<_, TrainError>>()?;
        let asked: Vec<(usize, &(Encoding, usize))> = questions
            .iter()
            .enumerate()
            .filter_map(|(index, question)| Some((index, question.as_ref()?)))
            .collect();
        let lengths: Vec<usize> = asked.iter().map(|(_, (e, _))| e.ids.len()).collect();
        let batches = batches_by_tokens(&lengths, TOKEN_BUDGET);
        let answers = Mutex::new(vec![None; gaps.len()]);
        let one = |batch: &Vec<usize>| -> Result<(), TrainError> {
            let sentences: Vec<(&Encoding, usize)> = batch
                .iter()
                .map(|&row| (&asked[row].1.0, asked[row].1.1))
                .collect();
            let logits = self.model.logits_at(&sentences)?.to_device(&Device::Cpu)?;
            let width = logits.dim(1)?;
            let logits = logits.flatten_all()?.to_vec1::<f32>()?;
            let found: Vec<R> = logits.par_chunks_exact(width).map(&read).collect();
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            for (&row, found) in batch.iter().zip(found) {
                answers[asked[row].0] = Some(found);
            }
            Ok(())
        };
        if self.model.is_on_cpu() && batches.len() >= rayon::current_num_threads() {
            batches
                .par_iter()
                .try_for_each(|batch| serially(|| one(batch)))?;
        } else {
            batches.iter().try_for_each(one)?;
        }
        Ok(answers.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the mask token into the text and finds it again among the tokens.
    fn question(&self, gap: &Gap<'_>) -> Result<Question, TrainError> {
        let mask = &self.mask;
        let text = Text {
            first: format!("{}{}{}", gap.before, mask.text, gap.after),
            second: gap.second.map(str::to_owned),
        };
        let encoding = self.tokenizer.encode(&text, self.max_tokens)?;
        // The text itself may hold the mask token before the gap.
        let earlier = gap.before.matches(&mask.text).count();
        let masks = encoding.ids.iter().enumerate();
        let place = masks
            .filter(|(_, id)| **id == mask.id)
            .map(|(place, _)| place)
            .nth(earlier)
            // A mask in the second sentence is none of ours.
            .filter(|&place| {
                gap.second.is_none() || is_in_first(&encoding, place, &self.tokenizer)
            });
        Ok(place.map(|place| (encoding, place)))
    }

    /// Walks tokens by falling probability, of equals the smaller id first, until `count` are accepted.
    fn fillings(
        &self,
        logits: &[f32],
        count: usize,
        accept: &(dyn Fn(&Filling) -> bool + Sync),
    ) -> Vec<Filling> {
        let probabilities = softmax(logits);
        let order = |a: &u32, b: &u32| -> Ordering {
            let p = |id: u32| probabilities[id as usize];
            p(*b).total_cmp(&p(*a)).then(a.cmp(b))
        };
        let mut rest: Vec<u32> = (0..logits.len().min(self.pieces.len()) as u32).collect();
        let mut rest = rest.as_mut_slice();
        let mut selection = FIRST_SELECTION.max(2 * count);
        let mut found = Vec::new();
        while found.len() < count && !rest.is_empty() {
            let size = selection.min(rest.len());
            if size < rest.len() {
                rest.select_nth_unstable_by(size, order);
            }
            let (best, others) = rest.split_at_mut(size);
            best.sort_unstable_by(order);
            for &id in best.iter() {
                if found.len() == count {
                    break;
                }
                let filling = Filling {
                    token: self.pieces.text(id).to_owned(),
                    continues: self.pieces.continues(id),
                    probability: probabilities[id as usize],
                };
                if !filling.token.is_empty() && accept(&filling) {
                    found.push(filling);
                }
            }
            rest = others;
            selection *= 4;
        }
        found
    }
}

impl MaskedLm for MaskedLmFiller {
    fn fill(
        &self,
        gaps: &[Gap<'_>],
        count: usize,
        accept: &(dyn Fn(&Filling) -> bool + Sync),
    ) -> Result<Vec<Vec<Filling>>, BoxError> {
        let answers = self.answer(gaps, |logits| self.fillings(logits, count, accept))?;
        Ok(answers.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn piece_count(&self, word: &str) -> Result<usize, BoxError> {
        let special = self.tokenizer.special_count(false);
        let encoding = self.tokenizer.encode(&Text::single(word), usize::MAX)?;
        Ok(encoding.ids.len().saturating_sub(special))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Whether a place of an encoded pair lies in its first sentence: before the first closing token.
fn is_in_first(encoding: &Encoding, place: usize, tokenizer: &TextTokenizer) -> bool {
    let closing = ["[SEP]", "</s>"]
        .iter()
        .find_map(|token| tokenizer.id(token));
    let end = encoding.ids.iter().position(|&id| Some(id) == closing);
    end.is_none_or(|end| place < end)
}

/// `p_i = exp(z_i − max z) / Σ_k exp(z_k − max z)`, the sum in double precision.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut values: Vec<f32> = logits.iter().map(|&z| (z - largest).exp()).collect();
    let total: f64 = values.iter().map(|&power| f64::from(power)).sum();
    for value in &mut values {
        *value = (f64::from(*value) / total) as f32;
    }
    values
}
