//! Pretraining of masked language models on raw text.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use limbeck_model::{Input, MaskedLanguageModel, batches_by_tokens};
use limbeck_ops::loss::cross_entropy;
use limbeck_ops::{Pass, backward, serially};
use rayon::prelude::*;

use crate::TrainError;
use crate::config::TrainConfig;
use crate::corpus::TextRows;
use crate::evaluate::TOKEN_BUDGET;
use crate::group::Group;
use crate::masking::{MaskedBatch, MaskedRow, Masker};
use crate::resume::Checkpointed;
use crate::train::{
    DevScores, Folders, Observer, StepKeys, StepLoss, Summary, Trainee, parts, train_loop,
};

/// Name of the share of hidden tokens that are guessed right.
pub const MASKED_ACCURACY: &str = "masked-accuracy";
/// Name of `exp(mean loss)`.
pub const PERPLEXITY: &str = "perplexity";

/// Texts, masks and settings of a pretraining.
#[derive(Clone, Copy)]
pub struct Pretraining<'a> {
    /// Rows to learn from.
    pub train: &'a TextRows,
    /// Rows to choose the best model by, under masks that never change.
    pub dev: &'a TextRows,
    /// Chooses and hides tokens, others in every epoch.
    pub masker: &'a Masker,
    /// Settings; a batch holds `batch_size` rows.
    pub config: &'a TrainConfig,
    /// Decides order, masks and dropout.
    pub seed: u64,
}

/// What a masked language model scores on held-out text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskedScores {
    /// Tokens that had to be predicted.
    pub predicted: usize,
    /// Mean of `−log p(token)` over them.
    pub loss: f64,
    /// Share for which the most probable token is the right one.
    pub accuracy: f64,
}

impl MaskedScores {
    /// `exp(loss)`.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }

    /// Accuracy and perplexity by name.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([
            (MASKED_ACCURACY.to_owned(), self.accuracy),
            (PERPLEXITY.to_owned(), self.perplexity()),
        ])
    }
}

/// Trains `model` to predict hidden tokens, going on from the state in `folders` if there is one.
///
/// The loss of a step is the mean cross-entropy over all its hidden tokens, computed for these alone. Ends
/// with the model of the lowest dev loss in `folders.best` and in `model`, and the last in `folders.last`.
pub fn pretrain(
    model: &MaskedLanguageModel,
    run: &Pretraining<'_>,
    folders: Folders<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    run.config.check()?;
    for (setting, rows) in [("train", run.train), ("dev", run.dev)] {
        if rows.is_empty() {
            return Err(TrainError::Setting {
                setting,
                found: "no text".into(),
                expected: "at least one sentence".into(),
            });
        }
    }
    let learner = Learner {
        model,
        run,
        lengths: run.train.lengths(),
    };
    train_loop(&learner, run.config, run.seed, folders, observer)
}

struct Learner<'a> {
    model: &'a MaskedLanguageModel,
    run: &'a Pretraining<'a>,
    lengths: Vec<usize>,
}

impl Trainee for Learner<'_> {
    fn model(&self) -> &dyn Checkpointed {
        self.model
    }

    fn groups(&self) -> Vec<Group> {
        vec![Group::of_model(
            "model",
            self.model.parameters(),
            Vec::new(),
        )]
    }

    fn example_count(&self) -> usize {
        self.run.train.len()
    }

    fn example_id(&self, row: usize) -> u64 {
        self.run.train.row(row).first().map_or(0, |first| first.id)
    }

    fn accumulate(&self, rows: &[usize], keys: StepKeys) -> Result<StepLoss, TrainError> {
        let key = Masker::epoch_key(self.run.seed, keys.epoch);
        let mask = |&row: &usize| self.run.masker.mask(self.run.train.row(row), key);
        let parameters = self.model.parameters();
        let masked: Vec<Vec<MaskedRow>> = parts(self.run.config, rows, |row| self.lengths[row])
            .into_iter()
            .map(|part| part.iter().map(mask).collect())
            .collect();
        let predicted: usize = masked.iter().flatten().map(MaskedRow::target_count).sum();
        let mut sum = StepLoss::default();
        for part in &masked {
            let MaskedBatch {
                batch,
                rows,
                targets,
            } = MaskedBatch::new(part);
            let share = targets.len() as f64 / predicted as f64;
            let pass = Pass::train(batch.dropout(keys.dropout));
            let logits = self.model.logits(&batch, Input::Ids, &rows, &pass)?;
            let loss = cross_entropy(&logits, &targets)?;
            backward(&(&loss * share)?, &parameters)?;
            sum.loss += share * f64::from(loss.to_scalar::<f32>()?);
            sum.tokens += batch.ids.len();
        }
        Ok(sum)
    }

    fn evaluate(&self) -> Result<DevScores, TrainError> {
        let scores = evaluate_masked(self.model, self.run.dev, self.run.masker)?;
        Ok(DevScores {
            score: -scores.loss,
            metrics: scores.metrics(),
            loss: scores.loss,
        })
    }
}

/// Scores a model on held-out text, whose masks are the same in every evaluation.
pub fn evaluate_masked(
    model: &MaskedLanguageModel,
    rows: &TextRows,
    masker: &Masker,
) -> Result<MaskedScores, TrainError> {
    let batches = batches_by_tokens(&rows.lengths(), TOKEN_BUDGET);
    let results = Mutex::new(vec![(0.0, 0, 0); rows.len()]);
    let one = |batch: &Vec<usize>| -> Result<(), TrainError> {
        let mask = |&row: &usize| masker.mask(rows.row(row), Masker::held_out_key());
        let masked: Vec<MaskedRow> = batch.iter().map(mask).collect();
        let packed = MaskedBatch::new(&masked);
        let logits = model
            .logits(&packed.batch, Input::Ids, &packed.rows, &Pass::EVALUATE)?
            .to_device(&Device::Cpu)?;
        let width = logits.dim(1)?;
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        let mut logits = logits.chunks_exact(width).zip(&packed.targets);
        for (&row, masked) in batch.iter().zip(&masked) {
            // A sum of its own for each row: which rows share a batch does not matter.
            let (mut loss, mut hits) = (0.0, 0);
            for (logits, &target) in logits.by_ref().take(masked.target_count()) {
                loss += negative_log_probability(logits, target);
                hits += usize::from(most_probable(logits) == target);
            }
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results[row] = (loss, hits, masked.target_count());
        }
        Ok(())
    };
    if model.is_on_cpu() && batches.len() >= rayon::current_num_threads() {
        batches
            .par_iter()
            .try_for_each(|batch| serially(|| one(batch)))?;
    } else {
        batches.iter().try_for_each(one)?;
    }
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let predicted: usize = results.iter().map(|(.., count)| count).sum();
    let total: f64 = results.iter().map(|(loss, ..)| loss).sum();
    let hits: usize = results.iter().map(|(_, hits, _)| hits).sum();
    Ok(MaskedScores {
        predicted,
        loss: total / predicted.max(1) as f64,
        accuracy: hits as f64 / predicted.max(1) as f64,
    })
}

/// `log Σ exp(z) − z[target]`.
fn negative_log_probability(logits: &[f32], target: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.iter().map(|&z| f64::from((z - largest).exp()));
    powers.sum::<f64>().ln() + f64::from(largest) - f64::from(logits[target as usize])
}

/// The first of the largest.
fn most_probable(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best as u32
}
