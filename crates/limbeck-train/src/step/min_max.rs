//! The game that MATE-KD and CILDA are: a generator looks for texts on which student and teacher differ, the student learns them.
//!
//! Both models read what the generator wrote through their own word tables. On the way forward that is a look-up; on the way
//! back a choice counts as the soft one that it was drawn as, for the gaps alone, so neither a mixture over the vocabulary nor its
//! gradient is ever held for a whole batch.

mod contrast;
mod divergence;
pub mod gumbel;
mod masked;
mod vocabulary;
mod writer;

use candle_core::{Tensor, Var};
use limbeck_model::{Batch, Input, Needs, Output, SentenceClassifier, stream_key};
use limbeck_ops::{Learning, Parameter, Pass, backward, linear, mix64};

pub use contrast::{Contrast, Contrasted, all_layers, contrastive_loss, cosines};
pub use divergence::{Divergence, DivergenceKind};
pub use masked::Masked;
pub use vocabulary::Beside;
pub use writer::{GeneratorConfig, GeneratorModelConfig};

use super::{Lesson, Plain, Step, above_zero, scalar};
use crate::TrainError;
use crate::group::{Group, Updates};
use crate::objective::Pair;
use crate::train::{Run, StepLoss};
use gumbel::{choose, noise, straight_through};
use vocabulary::check_vocabularies;
use writer::Writer;

/// Number of the student's second pass over a batch, on the text as written.
const WRITTEN: u64 = 1;
/// Number of the generator's pass.
const WRITING: u64 = 2;

/// What tells one game from another.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) name: &'static str,
    pub(super) student_steps: u64,
    pub(super) mask_fraction: f64,
    pub(super) divergence: Divergence,
    /// Weight of the divergence in what the generator makes large.
    pub(super) gain: f64,
    /// Weight of the divergence in the student's loss.
    pub(super) weight: f64,
    pub(super) contrast: Option<WeighedContrast>,
}

/// A contrastive loss with its weights for generator and student.
#[derive(Debug)]
pub(super) struct WeighedContrast {
    pub(super) contrast: Contrast,
    pub(super) gain: f64,
    pub(super) weight: f64,
}

/// The step that MATE-KD and CILDA share.
#[derive(Debug)]
pub struct MinMax {
    rules: Rules,
    teacher: SentenceClassifier,
    writer: Writer,
    vocabulary: usize,
    special: Vec<u32>,
    mask_id: u32,
    masks: u64,
    choices: u64,
}

/// How generator and student run while the generator learns.
#[derive(Debug, Clone, Copy)]
pub struct Passes<'a> {
    /// The generator's.
    pub generator: &'a Pass,
    /// The student's; its parameters do not learn, whatever it says.
    pub student: &'a Pass,
}

/// Whose loss on written texts it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Generator,
    Student,
}

/// Whether a batch is one that the contrastive loss is for: all sentences of a whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// It is.
    Yes,
    /// It is the epoch's last and shorter.
    No,
}

/// Parts of a loss by name.
type Parts = Vec<(&'static str, f64)>;

impl MinMax {
    /// For these models; fails unless they share a vocabulary.
    pub(super) fn new(
        rules: Rules,
        generator: Option<&GeneratorConfig>,
        pair: &Pair<'_>,
        beside: Beside<'_>,
    ) -> Result<Self, TrainError> {
        check_rules(&rules)?;
        let missing = |what: &str, expected: &str| TrainError::Setting {
            setting: "step",
            found: format!("`{}` without {what}", rules.name),
            expected: expected.to_owned(),
        };
        let generator = generator.ok_or_else(|| {
            let expected = "`generator = { model = { from = \"..\" } }`, or the controls `\"random\"` and `\"mask\"`";
            missing("a generator", expected)
        })?;
        let (Some(teacher), Some(student_tokenizer), Some(teacher_tokenizer)) = (
            pair.teacher,
            beside.student_tokenizer,
            beside.teacher_tokenizer,
        ) else {
            return Err(missing("a teacher", "`limbeck distill` with a teacher"));
        };
        let vocabulary = check_vocabularies(
            pair,
            student_tokenizer,
            (teacher, teacher_tokenizer),
            beside.generator,
        )?;
        let mask_id = student_tokenizer.mask_id().ok_or(TrainError::NoMaskToken)?;
        let model = beside.generator.map(|(model, _)| model);
        Ok(Self {
            writer: Writer::new(generator, model, student_tokenizer, mask_id)?,
            teacher: teacher.clone(),
            vocabulary,
            special: student_tokenizer.special_ids(),
            mask_id,
            masks: stream_key(pair.seed, "min-max masks"),
            choices: stream_key(pair.seed, "min-max choices"),
            rules,
        })
    }

    /// Whether the 0-based `step` is one from which the generator learns.
    pub fn is_generators(&self, step: u64) -> bool {
        let own = self.writer.steps();
        step % (own + self.rules.student_steps) < own
    }

    /// Adds the generator's gradients for `−(divergence + contrastive loss)` of what it writes, times `share`.
    ///
    /// `noise`: Gumbel's, `[M, V]`. Gradients pass through student and teacher, which do not learn.
    pub fn maximise(
        &self,
        student: &SentenceClassifier,
        (masked, noise): (&Masked, &Tensor),
        passes: Passes<'_>,
        whole: Whole,
        share: f64,
    ) -> Result<StepLoss, TrainError> {
        let Some((generator, config)) = self.writer.model().filter(|_| !masked.rows.is_empty())
        else {
            return Ok(StepLoss::default());
        };
        let (batch, rows) = (&masked.batch, &masked.rows);
        let logits = generator.logits(batch, Input::Ids, rows, passes.generator)?;
        let logits = logits.narrow(1, 0, self.vocabulary)?;
        let choices = choose(&logits, noise, config.temperature)?;
        let written = masked.filled(&choices.ids);
        let (gain, terms, gradient) =
            self.gain(student, (&written, rows), passes.student, whole)?;
        let gradient = straight_through(&choices.soft, &gradient, config.temperature)?;
        let loss = ((logits * gradient.detach())?.sum_all()? * -share)?;
        backward(&loss, &self.writer.parameters())?;
        Ok(StepLoss {
            loss: -scalar(&gain)?,
            terms: terms.into_iter().collect(),
            tokens: batch.ids.len(),
        })
    }

    /// What the generator makes large, its parts, and its gradient at the choices that stand at `rows` of a written text, `[M, V]`.
    fn gain(
        &self,
        student: &SentenceClassifier,
        (written, rows): (&Batch, &[u32]),
        pass: &Pass,
        whole: Whole,
    ) -> Result<(Tensor, Parts, Tensor), TrainError> {
        let frozen = Pass {
            learning: Learning::Off,
            ..pass.clone()
        };
        let read = |model: &SentenceClassifier, pass: &Pass| -> Result<_, TrainError> {
            let words = Var::from_tensor(&model.look_up_words(written)?)?;
            let input = Input::Words(words.as_tensor());
            let output = model.forward_from(written, input, self.needs_inside(whole), pass)?;
            Ok((words, output))
        };
        let (teacher_words, teacher) = read(&self.teacher, &Pass::EVALUATE)?;
        let (student_words, own) = read(student, &frozen)?;
        let (gain, terms) = self.judge(&teacher, &own, Side::Generator, &frozen)?;
        let store = backward(&gain, &[])?;
        let gradient = |model, words: &Var| match store.get(words.as_tensor()) {
            Some(words) => self.at_choices(model, words, rows),
            None => Ok(Tensor::zeros(
                (rows.len(), self.vocabulary),
                words.dtype(),
                words.device(),
            )?),
        };
        let gradient =
            (gradient(&self.teacher, &teacher_words)? + gradient(student, &student_words)?)?;
        Ok((gain, terms, gradient))
    }

    /// A loss's gradient at the choices, `[M, V]`, from that at all words, `[N, E]`: `Σ over copies g · tableᵀ`, for the gaps alone.
    fn at_choices(
        &self,
        model: &SentenceClassifier,
        words: &Tensor,
        rows: &[u32],
    ) -> Result<Tensor, TrainError> {
        let gaps = words.index_select(&Tensor::new(rows, words.device())?, 0)?;
        let (mut sum, mut first) = (None, 0);
        for table in model.word_tables() {
            let width = table.row_len();
            let part = gaps.narrow(1, first, width)?.contiguous()?;
            let part =
                linear(&part, table, None, &Pass::EVALUATE)?.narrow(1, 0, self.vocabulary)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
            first += width;
        }
        Ok(sum.expect("a model has a word table"))
    }

    /// The student's loss on a written text, the divergence and the contrastive loss with their weights, and its parts.
    pub fn on_written(
        &self,
        student: &SentenceClassifier,
        written: &Batch,
        pass: &Pass,
        whole: Whole,
    ) -> Result<(Tensor, Parts), TrainError> {
        let needs = self.needs_inside(whole);
        let teacher = self.teacher.forward(written, needs, &Pass::EVALUATE)?;
        let own = student.forward(written, needs, pass)?;
        self.judge(&teacher, &own, Side::Student, pass)
    }

    /// The weighted sum of a side's losses, and each one's own value.
    fn judge(
        &self,
        teacher: &Output,
        student: &Output,
        side: Side,
        pass: &Pass,
    ) -> Result<(Tensor, Parts), TrainError> {
        let rules = &self.rules;
        let (weight, name) = match side {
            Side::Generator => (rules.gain, "generator-divergence"),
            Side::Student => (rules.weight, "written-divergence"),
        };
        let divergence = rules.divergence.between(&teacher.logits, &student.logits)?;
        let mut terms = vec![(name, scalar(&divergence)?)];
        let mut loss = (divergence * weight)?;
        if let Some(weighed) = rules
            .contrast
            .as_ref()
            .filter(|_| !student.hidden.is_empty())
        {
            let (weight, name) = match side {
                Side::Generator => (weighed.gain, "generator-contrastive"),
                Side::Student => (weighed.weight, "contrastive"),
            };
            let contrasted = weighed.contrast.loss(teacher, student, pass)?;
            terms.push((name, scalar(&contrasted.loss)?));
            terms.extend(contrasted.range());
            loss = (loss + (contrasted.loss * weight)?)?;
        }
        Ok((loss, terms))
    }

    /// What the game itself needs of both models; nothing of the teacher's outputs on the training set.
    fn needs_inside(&self, whole: Whole) -> Needs {
        match (&self.rules.contrast, whole) {
            (Some(_), Whole::Yes) => Contrast::NEEDS,
            _ => Needs::NOTHING,
        }
    }

    /// The lesson's texts with gaps.
    fn masked(&self, lesson: &Lesson<'_>) -> Masked {
        Masked::new(
            &lesson.batch,
            lesson.ids(),
            &self.special,
            self.mask_id,
            self.rules.mask_fraction,
            mix64(self.masks ^ mix64(lesson.keys.step)),
        )
    }

    /// A step of the generator.
    fn challenge(
        &self,
        lesson: &Lesson<'_>,
        masked: &Masked,
        key: u64,
    ) -> Result<StepLoss, TrainError> {
        let noise = noise(&masked.keys(key), self.vocabulary)?;
        let noise = noise.to_device(&lesson.student.device())?;
        let passes = Passes {
            generator: &lesson.another_pass(WRITING),
            student: &lesson.another_pass(WRITTEN),
        };
        let whole = whole(lesson);
        self.maximise(
            lesson.student,
            (masked, &noise),
            passes,
            whole,
            lesson.share,
        )
    }

    /// A step of the student: the objectives on the text itself, the game's losses on the text as written.
    fn teach(
        &self,
        lesson: &Lesson<'_>,
        masked: &Masked,
        key: u64,
    ) -> Result<StepLoss, TrainError> {
        let parameters = lesson.parameters();
        let mut total = Plain.accumulate(lesson)?;
        let written = masked.filled(&self.writer.write(masked, self.vocabulary, key)?);
        let pass = lesson.another_pass(WRITTEN);
        let (loss, terms) = self.on_written(lesson.student, &written, &pass, whole(lesson))?;
        lesson.backward(&loss, &parameters)?;
        total.loss += scalar(&loss)?;
        total.terms.extend(terms);
        total.tokens += written.ids.len();
        Ok(total)
    }
}

impl Step for MinMax {
    fn name(&self) -> &'static str {
        self.rules.name
    }

    fn needs_teacher(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Parameter> {
        let contrast = self.rules.contrast.as_ref();
        contrast.map_or_else(Vec::new, |weighed| weighed.contrast.parameters())
    }

    fn groups(&self) -> Vec<Group> {
        self.writer.group().into_iter().collect()
    }

    fn updates(&self, step: u64) -> Updates {
        match (self.writer.steps(), self.is_generators(step)) {
            (0, _) => Updates::All,
            (_, true) => Updates::Only(1),
            (_, false) => Updates::Only(0),
        }
    }

    fn check(&self, run: &Run<'_>) -> Result<(), TrainError> {
        let longest = run.train.lengths().into_iter().max().unwrap_or(0);
        let generator = self.writer.model();
        let limits = [
            Some(("the teacher", self.teacher.max_tokens())),
            generator.map(|(model, _)| ("the generator", model.config().max_tokens())),
        ];
        for (who, limit) in limits.into_iter().flatten() {
            if longest > limit {
                return Err(TrainError::Setting {
                    setting: "max-tokens",
                    found: format!("sentences of {longest} tokens"),
                    expected: format!("at most {limit}, what {who} reads"),
                });
            }
        }
        self.rules
            .contrast
            .as_ref()
            .map_or(Ok(()), |_| check_batches(run))
    }

    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError> {
        let masked = self.masked(lesson);
        let key = mix64(self.choices ^ mix64(lesson.keys.step));
        if self.is_generators(lesson.keys.step) {
            self.challenge(lesson, &masked, key)
        } else {
            self.teach(lesson, &masked, key)
        }
    }
}

fn whole(lesson: &Lesson<'_>) -> Whole {
    if lesson.rows.len() == lesson.run.config.batch_size {
        Whole::Yes
    } else {
        Whole::No
    }
}

fn check_rules(rules: &Rules) -> Result<(), TrainError> {
    above_zero("step.student-steps", rules.student_steps as f64)?;
    above_zero("step.mask-fraction", rules.mask_fraction)?;
    above_zero("step.temperature", rules.divergence.temperature)?;
    if rules.mask_fraction > 1.0 {
        return Err(TrainError::Setting {
            setting: "step.mask-fraction",
            found: rules.mask_fraction.to_string(),
            expected: "a share in (0, 1]".into(),
        });
    }
    let mut weights = vec![rules.gain, rules.weight];
    if let Some(contrast) = &rules.contrast {
        weights.extend([contrast.gain, contrast.weight]);
    }
    match weights.into_iter().find(|w| !(*w >= 0.0 && w.is_finite())) {
        Some(weight) => Err(TrainError::Setting {
            setting: "step.weight",
            found: weight.to_string(),
            expected: "weights of 0 or more".into(),
        }),
        None => Ok(()),
    }
}

/// Fails where no batch is one that the contrastive loss is for.
fn check_batches(run: &Run<'_>) -> Result<(), TrainError> {
    let config = run.config;
    let size = config.batch_size;
    let (setting, found, expected) = if config.token_budget > 0 {
        (
            "token-budget",
            config.token_budget.to_string(),
            "0: the contrastive loss of `cilda` compares the sentences of whole batches".to_owned(),
        )
    } else if size < 2 || size > run.train.len() {
        (
            "batch-size",
            size.to_string(),
            format!(
                "2 to {}, the size of the training set: the contrastive loss of `cilda` compares the sentences of whole batches",
                run.train.len()
            ),
        )
    } else {
        return Ok(());
    };
    Err(TrainError::Setting {
        setting,
        found,
        expected,
    })
}
