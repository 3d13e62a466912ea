//! GAN-BERT: a generator makes sentence vectors, the model's head tells them from real ones (Croce et al. 2020).

mod generator;
pub mod losses;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use limbeck_model::{Discriminator, ExtraClasses, SentenceClassifier, stream_key};
use limbeck_ops::{DropoutKey, Pass, mix64};
use limbeck_text::Label;
use serde::{Deserialize, Serialize};

pub use generator::Generator;

use super::{Lesson, Step, scalar, values};
use crate::TrainError;
use crate::group::{Group, Pace};
use crate::objective::{Objective, Pair, Terms};
use crate::schedule::Schedule;
use crate::train::{Run, StepLoss};

/// Settings of `step = { gan-bert = {} }`; the defaults are those of the published programs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GanBertConfig {
    /// Classes of the discriminator: the labels and "fake" (`k+1`), or "unknown" between them too (`k+2`).
    pub classes: ExtraClasses,
    /// Whom the two losses teach.
    pub updates: GanUpdates,
    /// Numbers of noise that the generator reads, above 0.
    pub noise_size: usize,
    /// Dropout in discriminator and generator, in `[0, 1)`.
    pub dropout: f64,
    /// Peak learning rate of the generator.
    pub learning_rate: f64,
    /// How it changes after warm-up.
    pub schedule: Schedule,
    /// Weight decay of the generator's matrices.
    pub weight_decay: f64,
}

impl Default for GanBertConfig {
    fn default() -> Self {
        Self {
            classes: ExtraClasses::Fake,
            updates: GanUpdates::Separate,
            noise_size: 100,
            dropout: 0.2,
            learning_rate: 5e-5,
            schedule: Schedule::Constant,
            weight_decay: 0.01,
        }
    }
}

/// Whom the losses of discriminator and generator teach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GanUpdates {
    /// Each its own: discriminator and encoder by `L_D`, the generator by `L_G` (Croce et al., TensorFlow).
    #[default]
    Separate,
    /// All of them by `L_D + L_G`, as the PyTorch port adds both gradients up before it steps: together the two
    /// losses of generated vectors are least where half of the mass is "fake".
    Leaky,
}

/// Discriminator and encoder against a generator; the labels are learnt from labelled rows.
#[derive(Debug)]
pub struct GanBert {
    config: GanBertConfig,
    generator: Generator,
}

/// How the real and the generated vectors of a batch pass.
#[derive(Debug, Clone)]
pub struct GanPasses {
    /// One row per sentence.
    pub real: Pass,
    /// One row per generated vector.
    pub generated: Pass,
}

/// The losses of a batch.
#[derive(Debug)]
pub struct GanLosses {
    /// What goes backward.
    pub total: Tensor,
    /// `L_D = supervised + real + generated`.
    pub discriminator: Tensor,
    /// Each part's value, and `L_G` as `generator`.
    pub terms: Terms,
}

impl GanBert {
    /// The step with a fresh generator, for a student whose head is a discriminator.
    pub fn new(config: GanBertConfig, pair: &Pair<'_>) -> Result<Self, TrainError> {
        config.check()?;
        let student = discriminator_of(pair.student)?;
        if student.classes() != config.classes {
            return Err(setting(
                "gan-bert.classes",
                format!("{:?}", config.classes),
                format!("those of the student's head, {:?}", student.classes()),
            ));
        }
        let hidden = pair.student.encoder().map_or(0, |e| e.config().hidden_size);
        let (dtype, device) = place(pair.student);
        let sizes = (config.noise_size, hidden);
        let generator = Generator::new(sizes, config.dropout, pair.seed, (dtype, &device))?;
        Ok(Self { config, generator })
    }

    /// The generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The losses of pooled vectors `[B, H]` against those generated from `noise` `[B, Z]`; `weight` is of the labels.
    pub fn losses(
        &self,
        discriminator: &Discriminator,
        pooled: &Tensor,
        noise: &Tensor,
        labels: (&[Option<u32>], f64),
        passes: &GanPasses,
    ) -> Result<GanLosses, TrainError> {
        let (labels, weight) = labels;
        let made = self.generator.generate(noise, &passes.generated)?;
        let real = discriminator.judge(pooled, &passes.real)?;
        // What the generator learns from, and what the discriminator does.
        let (seen, shown, real_features) = match self.config.updates {
            GanUpdates::Leaky => {
                let verdict = discriminator.judge(&made, &passes.generated)?;
                (verdict.clone(), verdict, real.features.clone())
            }
            GanUpdates::Separate => {
                let fixed = Pass {
                    learning: limbeck_ops::Learning::Off,
                    ..passes.generated.clone()
                };
                (
                    discriminator.judge(&made, &fixed)?,
                    discriminator.judge(&made.detach(), &passes.generated)?,
                    real.features.detach(),
                )
            }
        };
        let supervised = losses::supervised(&real.logits, labels)?;
        let taken_for_real = losses::taken_for_real(&real.logits)?;
        let taken_for_fake = losses::taken_for_fake(&shown.logits)?;
        let matching = losses::feature_matching(&real_features, &seen.features)?;
        let generator = (losses::taken_for_real(&seen.logits)? + &matching)?;
        let discriminator = (((&supervised * weight)? + &taken_for_real)? + &taken_for_fake)?;
        Ok(GanLosses {
            total: (&discriminator + &generator)?,
            discriminator,
            terms: vec![
                ("supervised", supervised.detach()),
                ("real", taken_for_real.detach()),
                ("generated", taken_for_fake.detach()),
                ("generator", generator.detach()),
                ("feature-matching", matching.detach()),
            ],
        })
    }
}

impl GanBertConfig {
    /// The student with the head that this step trains; fresh parts are drawn from `seed`.
    pub(crate) fn prepare(
        &self,
        student: &SentenceClassifier,
        seed: u64,
    ) -> Result<SentenceClassifier, TrainError> {
        self.check()?;
        Ok(student.with_discriminator(self.classes, self.dropout, seed)?)
    }

    fn check(&self) -> Result<(), TrainError> {
        let rules = [
            (
                "gan-bert.noise-size",
                self.noise_size > 0,
                self.noise_size.to_string(),
                "1 or more",
            ),
            (
                "gan-bert.dropout",
                (0.0..1.0).contains(&self.dropout),
                self.dropout.to_string(),
                "a number in [0, 1)",
            ),
            (
                "gan-bert.learning-rate",
                self.learning_rate > 0.0 && self.learning_rate.is_finite(),
                self.learning_rate.to_string(),
                "a number above 0",
            ),
            (
                "gan-bert.weight-decay",
                (0.0..1.0).contains(&self.weight_decay),
                self.weight_decay.to_string(),
                "a number in [0, 1)",
            ),
        ];
        match rules.into_iter().find(|(_, fits, ..)| !fits) {
            Some((name, _, found, expected)) => Err(setting(name, found, expected)),
            None => Ok(()),
        }
    }
}

impl Step for GanBert {
    fn name(&self) -> &'static str {
        "gan-bert"
    }

    fn takes_unlabelled(&self) -> bool {
        true
    }

    fn groups(&self) -> Vec<Group> {
        let pace = Pace {
            learning_rate: self.config.learning_rate,
            schedule: self.config.schedule,
            weight_decay: self.config.weight_decay,
        };
        vec![Group::beside(
            "generator",
            self.generator.parameters(),
            pace,
        )]
    }

    fn check(&self, run: &Run<'_>) -> Result<(), TrainError> {
        if run.config.token_budget > 0 {
            let expected = "0 with the step gan-bert, whose losses are not sums over sentences";
            return Err(setting(
                "token-budget",
                run.config.token_budget.to_string(),
                expected,
            ));
        }
        let others = run.objective.objectives().map(Objective::name);
        if let Some(other) = others.into_iter().find(|name| *name != "hard-labels") {
            let expected =
                "only hard-labels beside the step gan-bert; distil the finished model instead";
            return Err(setting("objective", other.into(), expected));
        }
        if run.train.labels().iter().all(Option::is_none) {
            return Err(setting(
                "train",
                "no labelled example".into(),
                "at least one, for gan-bert",
            ));
        }
        Ok(())
    }

    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError> {
        let pass = lesson.pass();
        let batch = &lesson.batch;
        let output = lesson.student.forward(batch, lesson.needs(), &pass)?;
        let passes = GanPasses {
            real: batch.by_sentence(&pass),
            generated: generated_pass(lesson),
        };
        let key = stream_key(lesson.run.seed, "gan noise");
        let key = mix64(key ^ mix64(lesson.keys.step));
        let (dtype, device) = place(lesson.student);
        let size = self.config.noise_size;
        let noise = generator::noise(key, lesson.ids(), size, (dtype, &device))?;
        let classes = lesson
            .labels()
            .iter()
            .map(|label| label.and_then(Label::class));
        let labels: Vec<Option<u32>> = classes.collect();
        let weight = lesson.run.objective.weight_of("hard-labels");
        let losses = self.losses(
            discriminator_of(lesson.student)?,
            &output.pooled,
            &noise,
            (&labels, weight),
            &passes,
        )?;
        lesson.backward(
            &losses.total,
            &[lesson.parameters(), self.generator.parameters()].concat(),
        )?;
        Ok(StepLoss {
            loss: scalar(&losses.discriminator)?,
            terms: values(losses.terms)?.into_iter().collect(),
            tokens: batch.ids.len(),
        })
    }
}

/// Dropout of generated vectors, a row for the example whose noise they are made of.
fn generated_pass(lesson: &Lesson<'_>) -> Pass {
    let rows = lesson.ids().iter().map(|&id| mix64(id)).collect();
    let key = stream_key(lesson.keys.dropout, "generated");
    Pass::train(DropoutKey::new(key, Arc::new(rows)))
}

fn discriminator_of(student: &SentenceClassifier) -> Result<&Discriminator, TrainError> {
    student.discriminator().ok_or_else(|| {
        let expected = "a head with a discriminator, as `StepConfig::prepare` gives it";
        setting("step", "gan-bert".into(), expected)
    })
}

fn place(student: &SentenceClassifier) -> (DType, Device) {
    let value = student.word_embeddings().value();
    (value.dtype(), value.device().clone())
}

fn setting(setting: &'static str, found: String, expected: impl Into<String>) -> TrainError {
    TrainError::Setting {
        setting,
        found,
        expected: expected.into(),
    }
}
