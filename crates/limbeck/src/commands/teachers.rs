//! The teachers of a run: none, one, or several that answer as one.

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use limbeck_model::{HiddenStates, Needs, SentenceClassifier, Target, TextTokenizer};
use limbeck_text::Example;
use limbeck_train::{
    CacheHeader, EncodedSet, EnsembleTeacher, LiveTeacher, Predictions, SetHeader, StoredSet,
    StoredTeacher, Survey, Teacher, TrainError, predict,
};

use crate::commands::training_set::TrainingSet;
use crate::environment::model_folder;
use crate::interrupt;
use crate::progress::example_bar;
use crate::settings::{BadSettings, TeacherSettings};

/// All teachers of a run.
pub(crate) struct Teachers(Vec<Member>);

struct Member {
    folder: PathBuf,
    model: SentenceClassifier,
    tokenizer: TextTokenizer,
}

impl Member {
    fn max_tokens(&self, settings: &TeacherSettings) -> usize {
        settings.max_tokens.min(self.model.max_tokens())
    }
}

impl Teachers {
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Opens all of them; they have to predict the same labels in the same order.
    pub(crate) fn open(
        settings: &TeacherSettings,
        device: &Device,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        let mut members: Vec<Member> = Vec::new();
        for name in std::iter::once(&settings.from).chain(&settings.ensemble) {
            let folder = model_folder(name, quiet)?;
            let model = SentenceClassifier::open(&folder, None, 0, device)
                .context("opening the teacher")?;
            if let Some(first) = members.first()
                && first.model.target() != model.target()
            {
                return Err(BadSettings::new(format!(
                    "`teacher.ensemble`: `{name}` predicts {}, `{}` {}; give teachers with the same labels in the same order",
                    model.target(), settings.from, first.model.target()
                ))
                .into());
            }
            members.push(Member {
                tokenizer: TextTokenizer::open(&folder)?,
                folder,
                model,
            });
        }
        Ok(Self(members))
    }

    /// What they predict.
    pub(crate) fn target(&self) -> Option<&Target> {
        Some(self.0.first()?.model.target())
    }

    /// The first, whose layers and vocabulary a student takes.
    pub(crate) fn first(&self) -> Option<(&SentenceClassifier, &TextTokenizer)> {
        let first = self.0.first()?;
        Some((&first.model, &first.tokenizer))
    }

    /// The teacher, where there is exactly one: objectives may then see inside.
    pub(crate) fn only(&self) -> Option<&SentenceClassifier> {
        match &self.0[..] {
            [only] => Some(&only.model),
            _ => None,
        }
    }

    /// Whether there is more than one.
    pub(crate) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// What they give beside logits; `None` without any.
    pub(crate) fn provides(&self) -> Option<Needs> {
        match &self.0[..] {
            [] => None,
            [only] => Some(only.model.provides()),
            _ => Some(Needs::NOTHING),
        }
    }

    /// Their folders by the part they play.
    pub(crate) fn folders(&self) -> Vec<(String, &Path)> {
        let name = |number: usize| match number {
            1 => "teacher".to_owned(),
            _ => format!("teacher-{number}"),
        };
        let members = (1..).zip(&self.0);
        members
            .map(|(number, member)| (name(number), member.folder.as_path()))
            .collect()
    }

    /// With where their outputs are kept.
    pub(crate) fn place<'a>(
        &'a self,
        settings: &'a TeacherSettings,
        parent: &'a Path,
        quiet: bool,
    ) -> TeacherPlace<'a> {
        TeacherPlace {
            teachers: self,
            settings,
            parent,
            quiet,
        }
    }
}

/// A folder, and what it is to hold.
type Place = (PathBuf, CacheHeader);

/// Answers of single teachers on the dev set that are not stored yet.
pub(crate) struct Unkept(Vec<(Place, Predictions)>);

impl Unkept {
    /// Stores them for the runs to come.
    pub(crate) fn keep(&self) -> anyhow::Result<()> {
        for ((folder, header), answers) in &self.0 {
            StoredTeacher::keep(folder, header, answers)?;
        }
        Ok(())
    }
}

/// Teachers, and where their outputs are kept.
pub(crate) struct TeacherPlace<'a> {
    teachers: &'a Teachers,
    settings: &'a TeacherSettings,
    parent: &'a Path,
    quiet: bool,
}

impl TeacherPlace<'_> {
    /// Their answers to the examples of the dev set, averaged; nothing is written before what comes with them is kept.
    pub(crate) fn answers(&self, dev: &[Example]) -> anyhow::Result<(Predictions, Unkept)> {
        let members = self.teachers.0.iter();
        let (answers, places): (Vec<_>, Vec<_>) = members
            .map(|member| self.answers_of(member, dev))
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        let average = match &answers[..] {
            [only] => only.clone(),
            several => self.settings.average.of_predictions(several),
        };
        let places = places.into_iter().zip(answers);
        let fresh = places.filter_map(|(place, answers)| Some((place?, answers)));
        Ok((average, Unkept(fresh.collect())))
    }

    /// With where to keep them, unless they come from there.
    fn answers_of(
        &self,
        member: &Member,
        dev: &[Example],
    ) -> anyhow::Result<(Predictions, Option<Place>)> {
        const TITLE: &str = "teacher on dev";
        let Member {
            model, tokenizer, ..
        } = member;
        let max_tokens = member.max_tokens(self.settings);
        let set = EncodedSet::new(dev, tokenizer, max_tokens)?;
        let mut place = None;
        if self.settings.store {
            let fingerprint = tokenizer.fingerprint()?;
            let header = CacheHeader::new(model, &fingerprint, dev, max_tokens, Needs::NOTHING)?;
            let folder = self.folder(&header);
            if header.is_whole(&folder) {
                let stored = self.stored(TITLE, header, model, &set)?;
                return Ok((stored.predictions(), None));
            }
            place = Some((folder, header));
        }
        let bar = example_bar(TITLE, set.len(), self.quiet);
        let answers = predict(model, &set, |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        Ok((answers, place))
    }

    /// The teachers' outputs on the training set: stored once, or asked for at every step.
    ///
    /// `student_set` is the training set as the student reads it: where all tokens are compared, in the same tokens.
    pub(crate) fn signals(
        &self,
        train: &TrainingSet,
        student_set: &EncodedSet,
        needs: Needs,
    ) -> anyhow::Result<Box<dyn Teacher>> {
        let members = self.teachers.0.iter();
        let signals = members.map(|m| self.signal(m, train, student_set, needs));
        let mut signals: Vec<Box<dyn Teacher>> = signals.collect::<anyhow::Result<_>>()?;
        if signals.len() == 1 {
            return Ok(signals.remove(0));
        }
        Ok(Box::new(EnsembleTeacher::new(
            signals,
            self.settings.average,
        )))
    }

    fn signal(
        &self,
        member: &Member,
        train: &TrainingSet,
        student_set: &EncodedSet,
        needs: Needs,
    ) -> anyhow::Result<Box<dyn Teacher>> {
        let Member {
            model, tokenizer, ..
        } = member;
        let max_tokens = member.max_tokens(self.settings);
        let set = encode_training(train, tokenizer, max_tokens, self.parent, self.quiet)?;
        if needs.of_all_tokens() {
            student_set.check_same_tokens(&set)?;
        }
        if !self.settings.store || needs.attention {
            return Ok(Box::new(LiveTeacher::new(model.clone(), set)));
        }
        let fingerprint = tokenizer.fingerprint()?;
        let header = match train {
            TrainingSet::Memory(examples) => {
                CacheHeader::new(model, &fingerprint, examples, max_tokens, needs)?
            }
            TrainingSet::Files { survey, .. } => {
                CacheHeader::of(model, &fingerprint, survey, max_tokens, needs)?
            }
        };
        let stored = self.stored("teacher's outputs", header, model, &set)?;
        if needs.hidden != HiddenStates::None {
            let folder = stored.folder().display();
            tracing::info!("teacher outputs with hidden states in {folder}");
        }
        Ok(Box::new(stored))
    }

    fn folder(&self, header: &CacheHeader) -> PathBuf {
        let outputs = self.parent.join("teacher-outputs");
        outputs.join(&header.digest()[..16])
    }

    /// A member's outputs on a set, made where they are missing.
    fn stored(
        &self,
        title: &'static str,
        header: CacheHeader,
        model: &SentenceClassifier,
        set: &EncodedSet,
    ) -> anyhow::Result<StoredTeacher> {
        let folder = self.folder(&header);
        let bar = example_bar(title, set.len(), self.quiet);
        let stored = StoredTeacher::open_or_make(&folder, header, model, set, &mut |done| {
            bar.set_position(done as u64);
            !interrupt::asked()
        });
        bar.finish_and_clear();
        Ok(stored?)
    }
}

/// The training set as a tokenizer cuts it: in memory, or beside the run's folder.
pub(crate) fn encode_training(
    train: &TrainingSet,
    tokenizer: &TextTokenizer,
    max_tokens: usize,
    parent: &Path,
    quiet: bool,
) -> anyhow::Result<EncodedSet> {
    let (files, survey): (_, &Survey) = match train {
        TrainingSet::Memory(examples) => {
            return Ok(EncodedSet::new(examples, tokenizer, max_tokens)?);
        }
        TrainingSet::Files { files, survey } => (files, survey),
    };
    let header = SetHeader::new(survey, &tokenizer.fingerprint()?, max_tokens);
    let folder = parent.join("training-sets").join(&header.digest()[..16]);
    let bar = example_bar("tokens", survey.rows, quiet);
    let mut rows = files.rows()?;
    let set: Result<StoredSet, TrainError> =
        StoredSet::open_or_make(&folder, &header, &mut rows, tokenizer, &mut |done| {
            bar.set_position(done as u64);
            !interrupt::asked()
        });
    bar.finish_and_clear();
    Ok(set?.into())
}
