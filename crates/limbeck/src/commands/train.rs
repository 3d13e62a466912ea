//! `limbeck finetune` and `limbeck distill`: one path, with a teacher or without.

mod judge;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use candle_core::Device;
use limbeck_model::{
    MaskedLanguageModel, Needs, SentenceClassifier, StudentConfig, Target, TextTokenizer,
};
use limbeck_report::{FinishedRun, Provenance, Role, RunDir, RunState};
use limbeck_text::{Label, Metric};
use limbeck_train::{
    Average, Beside, EncodedSet, Evaluation, Folders, HardLabelsConfig, ObjectiveConfig, Pair,
    Phase, Run, Step, Summary, Teacher, TrainError, WeightedSum, check_teacher, score_predictions,
    train_phases,
};

use crate::cli::{DistillArgs, FinetuneArgs, TrainArgs};
use crate::commands::inputs::{Sets, hash_inputs};
use crate::commands::run::{
    already_finished, announce, begin, for_each_seed, label, prepare, provenance,
};
use crate::commands::teachers::{Teachers, Unkept, encode_training};
use crate::commands::training_set::Labels;
use crate::environment::{device, model_folder};
use crate::interrupt;
use crate::progress::RunObserver;
use crate::settings::{BadSettings, ModelSettings, ResolvedPhase, RunFile, TeacherSettings};
use judge::Trained;

/// Runs `limbeck finetune`.
pub(crate) fn finetune(args: &FinetuneArgs, quiet: bool) -> anyhow::Result<()> {
    let mut file = RunFile::read(&args.train.file, &args.train.overrides)?;
    refuse_search(&file)?;
    if let Some(model) = &args.model {
        file.model = Some(ModelSettings {
            from: model.clone(),
        });
    }
    if file.teacher.is_some() {
        return Err(BadSettings::new(
            "`teacher`: `finetune` has no teacher; run `limbeck distill`, or remove the key",
        )
        .into());
    }
    let role = if file.student.is_some() {
        Role::Control
    } else {
        Role::Teacher
    };
    run_seeds(&args.train, file, role, false, quiet)?;
    Ok(())
}

/// Runs `limbeck distill`.
pub(crate) fn distill(args: &DistillArgs, quiet: bool) -> anyhow::Result<()> {
    let mut file = RunFile::read(&args.train.file, &args.train.overrides)?;
    refuse_search(&file)?;
    complete_distillation(&mut file, args)?;
    run_seeds(&args.train, file, Role::Student, args.force_teacher, quiet)?;
    Ok(())
}

fn refuse_search(file: &RunFile) -> anyhow::Result<()> {
    if file.search.is_some() {
        let problem = "`search`: is for `limbeck search`; run that, or remove the table";
        return Err(BadSettings::new(problem).into());
    }
    Ok(())
}

/// Puts a distillation's arguments and defaults into its settings.
pub(crate) fn complete_distillation(file: &mut RunFile, args: &DistillArgs) -> anyhow::Result<()> {
    if let Some(from) = &args.teacher {
        let from = from.clone();
        file.teacher = Some(match file.teacher.take() {
            Some(teacher) => TeacherSettings { from, ..teacher },
            None => TeacherSettings {
                from,
                ensemble: Vec::new(),
                average: Average::default(),
                store: true,
                max_tokens: file.train.max_tokens,
            },
        });
    }
    if file.teacher.is_none() {
        return Err(BadSettings::new(
            "`teacher`: found nothing, expected `--teacher MODEL` or `[teacher] from = \"..\"`",
        )
        .into());
    }
    if file.student.is_none() && file.model.is_none() {
        return Err(BadSettings::new("`student`: found nothing, expected such as `[student] layers = { bottom = 3 }`, or `[model] from` for a student of its own").into());
    }
    Ok(())
}

/// One run, or one for each seed.
pub(crate) fn run_seeds(
    args: &TrainArgs,
    mut file: RunFile,
    role: Role,
    force_teacher: bool,
    quiet: bool,
) -> anyhow::Result<Vec<FinishedRun>> {
    file.role.get_or_insert(role);
    for_each_seed(args, file.seed, |seed, out| {
        let file = RunFile {
            seed,
            ..file.clone()
        };
        let mut job = Job::new(file, out, device(args.device)?, quiet)?;
        job.force_teacher = force_teacher;
        let finished = job.run()?;
        announce(finished.path(), &finished);
        Ok(finished)
    })
}

/// One run: settings, folder and device.
pub(crate) struct Job {
    file: RunFile,
    out: PathBuf,
    device: Device,
    /// Whether to learn also from a teacher that knows nothing.
    pub(crate) force_teacher: bool,
    /// The folder of what runs share: stored teacher outputs and training sets; by default the run's parent.
    pub(crate) shared: PathBuf,
    quiet: bool,
}

/// What one phase learns, and how.
struct Lessons {
    objective: WeightedSum,
    step: Box<dyn Step>,
}

impl Lessons {
    fn build(
        phase: &ResolvedPhase,
        pair: &Pair<'_>,
        beside: Beside<'_>,
    ) -> Result<Self, TrainError> {
        let objective = WeightedSum::new(&phase.objective, pair)?;
        objective.check_settings(&phase.train)?;
        Ok(Self {
            objective,
            step: phase.step.build_with(pair, beside)?,
        })
    }

    fn needs_teacher(&self) -> bool {
        self.objective.needs_teacher() || self.step.needs_teacher()
    }

    /// Whether rows without a gold label teach anything.
    fn use_unlabelled(&self) -> bool {
        self.needs_teacher() || self.step.takes_unlabelled()
    }

    fn needs(&self) -> Needs {
        self.objective.needs()
    }
}

/// What the phases of a run are made of, beside the teacher.
#[derive(Clone, Copy)]
struct Plan<'a> {
    settings: &'a [ResolvedPhase],
    lessons: &'a [Lessons],
    /// Training set and dev set.
    sets: (&'a EncodedSet, &'a EncodedSet),
    metrics: &'a [Metric],
    seed: u64,
}

fn phases<'a>(
    plan: Plan<'a>,
    teacher: impl Fn(&Lessons) -> Option<&'a dyn Teacher>,
) -> Vec<Phase<'a>> {
    let (train, dev) = plan.sets;
    plan.settings
        .iter()
        .zip(plan.lessons)
        .map(|(phase, lessons)| Phase {
            run: Run {
                train,
                dev,
                metrics: plan.metrics,
                objective: &lessons.objective,
                step: &*lessons.step,
                teacher: teacher(lessons),
                config: &phase.train,
                seed: plan.seed,
            },
            hands_on: phase.hands_on,
        })
        .collect()
}

/// Models opened for a run.
struct Models {
    student: SentenceClassifier,
    tokenizer: TextTokenizer,
    teachers: Teachers,
}

/// A student before training.
pub(crate) struct Outset {
    pub(crate) name: String,
    /// All, and those beside the embeddings.
    pub(crate) parameters: (usize, usize),
}

/// What a search measures students by.
pub(crate) struct Goal {
    pub(crate) metric: &'static str,
    /// The teacher's score on the dev set.
    pub(crate) teacher: f64,
}

/// The masked language model that a phase's step writes texts with.
struct Generator {
    model: MaskedLanguageModel,
    tokenizer: TextTokenizer,
}

impl Generator {
    fn open(folder: &Path, device: &Device) -> anyhow::Result<Self> {
        Ok(Self {
            model: MaskedLanguageModel::open(folder, device).context("opening the generator")?,
            tokenizer: TextTokenizer::open(folder)?,
        })
    }
}

impl Job {
    /// A run of `file`, with what its file leaves open filled in; checks the settings.
    pub(crate) fn new(
        mut file: RunFile,
        out: PathBuf,
        device: Device,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        if file.objective.is_empty() && file.phase.is_empty() {
            file.objective = if file.teacher.is_some() {
                file.step.usual_objectives()
            } else {
                vec![ObjectiveConfig::HardLabels(HardLabelsConfig::default())]
            };
        }
        file.phases()?;
        let shared = out.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self {
            file,
            out,
            device,
            force_teacher: false,
            shared,
            quiet,
        })
    }

    pub(crate) fn run(&self) -> anyhow::Result<FinishedRun> {
        let file = &self.file;
        let settings = file.phases()?;
        let generator_folders = self.generator_folders(&settings)?;
        let teachers = self.open_teachers()?;
        let model_path = file
            .model
            .as_ref()
            .map(|m| model_folder(&m.from, self.quiet))
            .transpose()?;
        let sets = self.open_sets(&teachers)?;
        let provenance = self.provenance(&teachers, model_path.as_deref(), &generator_folders)?;
        if RunState::of(&self.out)? == RunState::Finished {
            return already_finished(&self.out, file, &provenance);
        }
        let models = self.open_models(&sets, teachers, model_path.as_deref())?;
        let generators = generator_folders.iter().map(|folder| {
            let folder = folder.as_deref();
            folder.map(|f| Generator::open(f, &self.device)).transpose()
        });
        let generators: Vec<Option<Generator>> = generators.collect::<anyhow::Result<_>>()?;
        let lessons = self.lessons(&settings, &models, &generators)?;
        let max_tokens = file.train.max_tokens.min(models.student.max_tokens());
        let dev_set = EncodedSet::new(&sets.dev, &models.tokenizer, max_tokens)?;
        interrupt::listen();
        let (shared, quiet) = (self.shared.as_path(), self.quiet);
        let train_set = encode_training(&sets.train, &models.tokenizer, max_tokens, shared, quiet)?;
        let needs_teacher = lessons.iter().any(Lessons::needs_teacher);
        let on_dev = self.teachers_on_dev(&models.teachers, &sets, needs_teacher)?;
        let (teacher_on_dev, unkept) = on_dev.unzip();
        let plan = Plan {
            settings: &settings,
            lessons: &lessons,
            sets: (&train_set, &dev_set),
            metrics: &sets.metrics,
            seed: file.seed,
        };
        if !needs_teacher {
            for phase in phases(plan, |_| None) {
                phase.run.check()?;
            }
        }

        let mut run = begin(&self.out, file, &provenance)?;
        let started = Instant::now();
        unkept.as_ref().map(Unkept::keep).transpose()?;
        // Attention is not stored: phases that learn from it ask the teacher itself, the others what is stored.
        let teacher = |attention: bool| {
            let of_it = |l: &&Lessons| l.needs_teacher() && l.needs().attention == attention;
            let needs = lessons.iter().filter(of_it).map(Lessons::needs);
            let (Some(needs), Some(settings)) = (needs.reduce(Needs::union), &file.teacher) else {
                return Ok(None);
            };
            let place = models.teachers.place(settings, shared, quiet);
            place.signals(&sets.train, &train_set, needs).map(Some)
        };
        let (live, stored) = (teacher(true)?, teacher(false)?);
        let phases = phases(plan, |lessons| {
            let teacher = if lessons.needs().attention {
                &live
            } else {
                &stored
            };
            teacher.as_deref()
        });
        let summary = self.train(&mut run, &phases, &models)?;
        let trained = Trained {
            summary: &summary,
            teacher_on_dev: teacher_on_dev.as_ref(),
            started,
        };
        let metrics = self.judge(&run, &sets, &models, &trained)?;
        Ok(run.finish(&metrics)?)
    }

    /// What each phase learns, and how; fails where student, teachers and generator do not go together.
    fn lessons(
        &self,
        phases: &[ResolvedPhase],
        models: &Models,
        generators: &[Option<Generator>],
    ) -> anyhow::Result<Vec<Lessons>> {
        if models.teachers.are_several() {
            check_ensemble(phases)?;
        }
        let pair = Pair {
            student: &models.student,
            teacher: models.teachers.only(),
            seed: self.file.seed,
        };
        let mut all = Vec::new();
        for (number, (phase, generator)) in (1..).zip(phases.iter().zip(generators)) {
            let beside = Beside {
                generator: generator.as_ref().map(|g| (&g.model, &g.tokenizer)),
                student_tokenizer: Some(&models.tokenizer),
                teacher_tokenizer: models.teachers.first().map(|(_, tokenizer)| tokenizer),
            };
            let lessons =
                Lessons::build(phase, &pair, beside).map_err(|error| match phases.len() {
                    1 => anyhow::Error::from(error),
                    _ => anyhow::Error::from(error).context(format!("phase {number}")),
                })?;
            lessons.objective.check(models.teachers.provides())?;
            if !self.file.data.transfer.is_empty() && !lessons.use_unlabelled() {
                let problem = format!(
                    "`data.transfer`: found sets without labels, and nothing in phase {number} that learns from them; add an objective that learns from a teacher, such as `soft-targets`"
                );
                return Err(BadSettings::new(problem).into());
            }
            all.push(lessons);
        }
        Ok(all)
    }

    fn open_teachers(&self) -> anyhow::Result<Teachers> {
        match &self.file.teacher {
            Some(settings) => Teachers::open(settings, &self.device, self.quiet),
            None => Ok(Teachers::none()),
        }
    }

    fn open_sets(&self, teachers: &Teachers) -> anyhow::Result<Sets> {
        let mut phases = self.file.phases()?.into_iter();
        let need = if phases.any(|phase| phase.needs_labels()) {
            Labels::Needed
        } else {
            Labels::Free
        };
        Sets::open(&self.file.data, teachers.target(), need)
    }

    /// The folder of each phase's generator, where it has one.
    fn generator_folders(&self, phases: &[ResolvedPhase]) -> anyhow::Result<Vec<Option<PathBuf>>> {
        let names = phases.iter().map(|phase| phase.step.generator());
        names
            .map(|name| name.map(|n| model_folder(n, self.quiet)).transpose())
            .collect()
    }

    /// `generators`: a folder for each phase that has one.
    fn provenance(
        &self,
        teachers: &Teachers,
        model: Option<&Path>,
        generators: &[Option<PathBuf>],
    ) -> anyhow::Result<Provenance> {
        let mut models = teachers.folders();
        models.extend(model.map(|folder| ("model".to_owned(), folder)));
        for (number, folder) in (1..).zip(generators) {
            let name = match generators.len() {
                1 => "generator".to_owned(),
                _ => format!("generator of phase {number}"),
            };
            models.extend(folder.as_deref().map(|folder| (name, folder)));
        }
        let models: Vec<(&str, &Path)> = models.iter().map(|(n, p)| (n.as_str(), *p)).collect();
        let inputs = hash_inputs(&self.file.data, &models)?;
        Ok(provenance(self.file.seed, &self.device, inputs))
    }

    /// The teacher's score on the dev set.
    pub(crate) fn goal(&self) -> anyhow::Result<Goal> {
        let teachers = self.open_teachers()?;
        let sets = self.open_sets(&teachers)?;
        let on_dev = self.teachers_on_dev(&teachers, &sets, true)?;
        let metric = sets.metrics[0];
        Ok(Goal {
            metric: metric.name(),
            teacher: on_dev.map_or(0.0, |(evaluation, _)| evaluation.metrics[&metric]),
        })
    }

    /// The student untrained.
    pub(crate) fn outset(&self) -> anyhow::Result<Outset> {
        let teachers = self.open_teachers()?;
        let sets = self.open_sets(&teachers)?;
        let model = self.file.model.as_ref();
        let model = model
            .map(|m| model_folder(&m.from, self.quiet))
            .transpose()?;
        let models = self.open_models(&sets, teachers, model.as_deref())?;
        Ok(Outset {
            name: models.student.kind_name(),
            parameters: models.student.parameter_count(),
        })
    }

    fn open_models(
        &self,
        sets: &Sets,
        teachers: Teachers,
        model: Option<&Path>,
    ) -> anyhow::Result<Models> {
        let target = sets.target();
        if let Some(found) = teachers.target() {
            check_same_target(found, &target)?;
        }
        let seed = self.file.seed;
        let base = match model {
            Some(folder) => {
                let model = SentenceClassifier::open(folder, Some(&target), seed, &self.device)?;
                Some((model, TextTokenizer::open(folder)?))
            }
            None => None,
        };
        let (student, tokenizer) = match (&self.file.student, base) {
            (Some(config), base) => {
                let base = base.as_ref().map(|(model, tokenizer)| (model, tokenizer));
                let from = base.or(teachers.first());
                self.build_student(config, from, sets, &target)?
            }
            (None, Some(base)) => base,
            (None, None) => {
                return Err(BadSettings::new(
                    "`model`: found nothing, expected `--model MODEL` or `[model] from = \"..\"`",
                )
                .into());
            }
        };
        let phases = self.file.phases()?;
        let student = phases
            .iter()
            .try_fold(student, |student, phase| phase.step.prepare(student, seed))?;
        if !student.fresh_tensors().is_empty() && self.file.student.is_none() {
            tracing::info!("drawn afresh: {}", student.fresh_tensors().join(", "));
        }
        Ok(Models {
            student,
            tokenizer,
            teachers,
        })
    }

    fn build_student(
        &self,
        config: &StudentConfig,
        from: Option<(&SentenceClassifier, &TextTokenizer)>,
        sets: &Sets,
        target: &Target,
    ) -> anyhow::Result<(SentenceClassifier, TextTokenizer)> {
        let mut problem = None;
        let mut texts = sets.train.texts(&mut problem)?;
        let built = config.build(from, &mut texts, target, self.file.seed, &self.device);
        drop(texts);
        match problem {
            Some(problem) => Err(problem.into()),
            None => Ok(built?),
        }
    }

    /// Scores the teachers on the dev set; refuses those that know nothing, unless forced or only looked at.
    fn teachers_on_dev(
        &self,
        teachers: &Teachers,
        sets: &Sets,
        needed: bool,
    ) -> anyhow::Result<Option<(Evaluation, Unkept)>> {
        let (Some(settings), Some(target)) = (&self.file.teacher, teachers.target()) else {
            return Ok(None);
        };
        let place = teachers.place(settings, &self.shared, self.quiet);
        let (answers, unkept) = place.answers(&sets.dev)?;
        let gold: Vec<Label> = sets
            .dev
            .iter()
            .filter_map(|example| example.label)
            .collect();
        let evaluation = score_predictions(answers, target, &gold, &sets.metrics, None)?;
        let main = sets.metrics[0];
        let score = evaluation.metrics[&main];
        tracing::info!("teacher: dev {} {score:.4}", main.name());
        if needed {
            match check_teacher(&evaluation, &gold, target, main) {
                Err(problem) if self.force_teacher => {
                    tracing::warn!("{problem}; going on as forced");
                }
                other => other?,
            }
        }
        Ok(Some((evaluation, unkept)))
    }

    fn train(
        &self,
        run: &mut RunDir,
        phases: &[Phase<'_>],
        models: &Models,
    ) -> anyhow::Result<Summary> {
        let (best, last, checkpoint) = (run.model_path(), run.last_path(), run.checkpoint_path());
        prepare(run, &models.tokenizer)?;
        let label = label(&self.out);
        let mut observer = RunObserver::new(run, &label, self.file.train.log_every, self.quiet)?;
        let folders = Folders {
            best: &best,
            last: &last,
            checkpoint: &checkpoint,
        };
        Ok(train_phases(
            &models.student,
            phases,
            folders,
            &mut observer,
        )?)
    }
}

/// Fails where a phase asks more of several teachers than their answers to the training set.
fn check_ensemble(phases: &[ResolvedPhase]) -> anyhow::Result<()> {
    let inside = phases.iter().find_map(|phase| {
        let mut objectives = phase.objective.iter();
        let objective = objectives.find_map(ObjectiveConfig::looks_inside);
        objective.or_else(|| phase.step.looks_inside())
    });
    match inside {
        Some(name) => Err(BadSettings::new(format!(
            "`teacher.ensemble`: found beside `{name}`, which needs the inside of one teacher; only answers are averaged: give one teacher, or leave `{name}` out"
        ))
        .into()),
        None => Ok(()),
    }
}

fn check_same_target(teacher: &Target, task: &Target) -> anyhow::Result<()> {
    if teacher == task {
        return Ok(());
    }
    let advice = "give `data.labels` the teacher's labels in its order, or a teacher for this task";
    Err(BadSettings::new(format!(
        "`teacher`: predicts {teacher}, the data has {task}; {advice}"
    ))
    .into())
}
