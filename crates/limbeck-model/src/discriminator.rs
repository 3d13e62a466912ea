//! GAN-BERT's discriminator, which is the head of a model trained with it.

use candle_core::Tensor;
use limbeck_ops::{Pass, dropout, leaky_relu};

use crate::checkpoint::{Builder, Weights};
use crate::config::{ExtraClasses, HeadKind, ModelConfig};
use crate::head::{Dense, HEAD_SITE};
use crate::{ModelError, SentenceClassifier, Target};

/// Where tensors of a discriminator lie in a checkpoint.
pub(crate) const DISCRIMINATOR: &str = "discriminator.";
const FEATURE_SITE: u32 = HEAD_SITE + 1;
const SLOPE: f64 = 0.2;

/// Tells labels, generated vectors and perhaps unlabelled sentences apart (Croce et al. 2020, §3):
/// `dropout, linear(H, H), leaky ReLU(0.2), dropout, linear(H, k + 1 or k + 2)`.
///
/// Classes are the labels, then "unknown" where there is one, then "fake".
#[derive(Debug, Clone)]
pub struct Discriminator {
    dense: Dense,
    classifier: Dense,
    label_count: usize,
    classes: ExtraClasses,
    /// Whether the logits are of the other classes too.
    shows_all: bool,
    dropout: f64,
}

/// What a discriminator makes of sentences, or of generated vectors.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Of all classes, `[B, k + 1]` or `[B, k + 2]`.
    pub logits: Tensor,
    /// What the last linear layer reads, after dropout, `[B, H]`.
    pub features: Tensor,
}

impl Discriminator {
    pub(crate) fn build(
        (hidden, label_count): (usize, usize),
        classes: ExtraClasses,
        dropout: f64,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let outputs = label_count + classes.count();
        let mut dense = |part: &str, outputs| {
            Dense::build_uniform(&format!("{DISCRIMINATOR}{part}"), outputs, hidden, builder)
        };
        Ok(Self {
            dense: dense("dense", hidden)?,
            classifier: dense("classifier", outputs)?,
            label_count,
            classes,
            shows_all: false,
            dropout,
        })
    }

    /// The classes beside the labels.
    pub fn classes(&self) -> ExtraClasses {
        self.classes
    }

    /// Judges pooled or generated vectors, `[B, H]`; dropout rows of `pass` are those of the vectors.
    pub fn judge(&self, vectors: &Tensor, pass: &Pass) -> Result<Verdict, ModelError> {
        let dropped = dropout(vectors, self.dropout, HEAD_SITE, pass)?;
        let hidden = leaky_relu(&self.dense.apply(&dropped, pass)?, SLOPE)?;
        let features = dropout(&hidden, self.dropout, FEATURE_SITE, pass)?;
        Ok(Verdict {
            logits: self.classifier.apply(&features, pass)?,
            features,
        })
    }

    /// The labels' logits alone, `[B, k]`, which make the model a classifier; all of them after
    /// [`SentenceClassifier::with_all_classes`].
    pub fn shown_logits(&self, verdict: &Verdict) -> Result<Tensor, ModelError> {
        if self.shows_all {
            return Ok(verdict.logits.clone());
        }
        Ok(verdict
            .logits
            .narrow(1, 0, self.label_count)?
            .contiguous()?)
    }
}

impl SentenceClassifier {
    /// The discriminator, where the head is one.
    pub fn discriminator(&self) -> Option<&Discriminator> {
        self.head().and_then(crate::Head::discriminator)
    }

    /// The same weights as a classifier of the labels and of the discriminator's further classes, `[unknown]` where it
    /// has one and `[fake]`: a softmax over all of them, as the released programs of papers/000 attack it.
    pub fn with_all_classes(mut self) -> Result<Self, ModelError> {
        let model = self.kind_name();
        let (Some(discriminator), Target::Labels(labels)) = self.discriminator_and_target() else {
            return Err(ModelError::NoDiscriminator { model });
        };
        let further: &[&str] = match discriminator.classes {
            ExtraClasses::Fake => &["[fake]"],
            ExtraClasses::UnknownAndFake => &["[unknown]", "[fake]"],
        };
        if !std::mem::replace(&mut discriminator.shows_all, true) {
            labels.extend(further.iter().map(ToString::to_string));
        }
        Ok(self)
    }

    /// The same model with a discriminator for a head: its own if it has one with these classes, else one drawn
    /// from `seed`.
    pub fn with_discriminator(
        &self,
        classes: ExtraClasses,
        dropout: f64,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let ModelConfig::Transformer(config) = self.config() else {
            return Err(problem(format!(
                "GAN-BERT's discriminator reads a transformer's pooled vector, and this is a {}; choose `layers`, `bert` or `small-bert`",
                self.kind_name()
            )));
        };
        if *self.target() == Target::Regression {
            return Err(problem(
                "GAN-BERT's discriminator tells classes apart, and the task is to predict a number; choose a task with labels",
            ));
        }
        let keeps = config.head == HeadKind::Discriminator(classes);
        let mut tensors = self.tensors()?;
        tensors.retain(|name, _| keeps || !name.starts_with(DISCRIMINATOR));
        let weights = Weights::from_tensors(std::path::Path::new("the student"), tensors);
        let config = config.clone().with_discriminator(classes, dropout);
        let target = Some(self.target());
        let made = Self::from_weights(config, &weights, target, seed, &self.device())?;
        Ok(made.with_earlier_fresh(self.fresh_tensors()))
    }
}

fn problem(problem: impl Into<String>) -> ModelError {
    ModelError::Student {
        problem: problem.into(),
    }
}
