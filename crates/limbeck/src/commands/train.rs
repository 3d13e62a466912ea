//! `limbeck finetune` and `limbeck distill`: one path, with a teacher or without.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use candle_core::Device;
use limbeck_model::{
    HiddenStates, Needs, SentenceClassifier, StudentConfig, Target, TextTokenizer,
};
use limbeck_report::{
    FinishedRun, Headline, Metrics, ModelSummary, Prediction, Provenance, Role, RunDir, RunState,
    SplitMetrics, Summary as SeedSummary,
};
use limbeck_text::{Example, Label, write_submission};
use limbeck_train::{
    CacheHeader, EncodedSet, Folders, HardLabelsConfig, LiveTeacher, ObjectiveConfig, Pair, Phase,
    Predictions, Run, SoftTargetsConfig, Step, StoredTeacher, Summary, Teacher, TrainError,
    WeightedSum, check_teacher, predict, train_phases,
};

use crate::cli::{DistillArgs, FinetuneArgs, TrainArgs};
use crate::commands::inputs::{NamedSet, Sets, hash_inputs};
use crate::commands::run::{
    already_finished, announce, announce_seeds, begin, folder_bytes, label, prepare, provenance,
    training_summary,
};
use crate::commands::scores::score;
use crate::environment::{device, model_folder, peak_memory_bytes};
use crate::interrupt;
use crate::progress::{RunObserver, example_bar};
use crate::settings::{BadSettings, ModelSettings, ResolvedPhase, RunFile, TeacherSettings};

/// Runs `limbeck finetune`.
pub(crate) fn finetune(args: &FinetuneArgs, quiet: bool) -> anyhow::Result<()> {
    let mut file = RunFile::read(&args.train.file, &args.train.overrides)?;
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
    if file.objective.is_empty() && file.phase.is_empty() {
        file.objective = vec![ObjectiveConfig::HardLabels(HardLabelsConfig::default())];
    }
    let role = if file.student.is_some() {
        Role::Control
    } else {
        Role::Teacher
    };
    run_seeds(&args.train, file, role, false, quiet)
}

/// Runs `limbeck distill`.
pub(crate) fn distill(args: &DistillArgs, quiet: bool) -> anyhow::Result<()> {
    let mut file = RunFile::read(&args.train.file, &args.train.overrides)?;
    if let Some(from) = &args.teacher {
        let from = from.clone();
        file.teacher = Some(match file.teacher.take() {
            Some(teacher) => TeacherSettings { from, ..teacher },
            None => TeacherSettings {
                from,
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
    if file.objective.is_empty() && file.phase.is_empty() {
        file.objective = vec![
            ObjectiveConfig::SoftTargets(SoftTargetsConfig {
                weight: 0.5,
                ..SoftTargetsConfig::default()
            }),
            ObjectiveConfig::HardLabels(HardLabelsConfig { weight: 0.5 }),
        ];
    }
    run_seeds(&args.train, file, Role::Student, args.force_teacher, quiet)
}

fn run_seeds(
    args: &TrainArgs,
    mut file: RunFile,
    role: Role,
    force_teacher: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    file.role.get_or_insert(role);
    file.phases()?;
    if args.seeds.is_empty() {
        file.seed = args.seed.unwrap_or(file.seed);
        Job {
            file,
            out: args.out.clone(),
            device: device(args.device)?,
            force_teacher,
            quiet,
        }
        .run()?;
        return Ok(());
    }
    let mut scores = Vec::new();
    for &seed in &args.seeds {
        let (mut file, out) = (file.clone(), args.out.join(format!("seed-{seed}")));
        file.seed = seed;
        let finished = Job {
            file,
            out,
            device: device(args.device)?,
            force_teacher,
            quiet,
        }
        .run()?;
        scores.extend(finished.metrics().headline_score().map(|score| score.value));
    }
    announce_seeds(&scores);
    Ok(())
}

/// One run: settings, folder and device.
struct Job {
    file: RunFile,
    out: PathBuf,
    device: Device,
    force_teacher: bool,
    quiet: bool,
}

/// What one phase learns, and how.
struct Lessons {
    objective: WeightedSum,
    step: Box<dyn Step>,
}

impl Lessons {
    fn build(phase: &ResolvedPhase, pair: &Pair<'_>) -> Result<Self, TrainError> {
        let objective = WeightedSum::new(&phase.objective, pair)?;
        objective.check_settings(&phase.train)?;
        Ok(Self {
            objective,
            step: phase.step.build(pair)?,
        })
    }

    fn needs_teacher(&self) -> bool {
        self.objective.needs_teacher() || self.step.needs_teacher()
    }

    fn needs(&self) -> Needs {
        self.objective.needs().union(self.step.needs())
    }
}

/// Models opened for a run.
struct Models {
    student: SentenceClassifier,
    tokenizer: TextTokenizer,
    teacher: Option<(SentenceClassifier, TextTokenizer)>,
}

impl Job {
    fn run(&self) -> anyhow::Result<FinishedRun> {
        let file = &self.file;
        let teacher_folder = file
            .teacher
            .as_ref()
            .map(|t| model_folder(&t.from, self.quiet))
            .transpose()?;
        let model_path = file
            .model
            .as_ref()
            .map(|m| model_folder(&m.from, self.quiet))
            .transpose()?;
        let teacher = teacher_folder
            .as_deref()
            .map(|folder| self.open_teacher(folder))
            .transpose()?;
        let sets = Sets::open(
            &file.data,
            teacher.as_ref().map(|(model, _)| model.target()),
        )?;
        let provenance = self.provenance(teacher_folder.as_deref(), model_path.as_deref())?;
        if RunState::of(&self.out)? == RunState::Finished {
            return already_finished(&self.out, file, &provenance);
        }
        let models = self.open_models(&sets, teacher, model_path.as_deref())?;
        let settings = file.phases()?;
        let pair = Pair {
            student: &models.student,
            teacher: models.teacher.as_ref().map(|(model, _)| model),
            seed: file.seed,
        };
        let lessons = settings
            .iter()
            .map(|phase| Ok(Lessons::build(phase, &pair)?));
        let lessons: Vec<Lessons> = lessons.collect::<anyhow::Result<_>>()?;
        let provides = pair.teacher.map(SentenceClassifier::provides);
        for lessons in &lessons {
            lessons.objective.check(provides)?;
        }
        let max_tokens = file.train.max_tokens.min(models.student.max_tokens());
        let encode =
            |examples: &[Example]| EncodedSet::new(examples, &models.tokenizer, max_tokens);
        let (train_set, dev_set) = (encode(&sets.train)?, encode(&sets.dev)?);
        let needs_teacher = lessons.iter().any(Lessons::needs_teacher);
        if needs_teacher {
            self.check_teacher(&models, &sets)?;
        }

        interrupt::listen();
        let mut run = begin(&self.out, file, &provenance)?;
        let started = Instant::now();
        // Attention is not stored: phases that learn from it ask the teacher itself, the others what is stored.
        let teacher = |attention: bool| {
            let of_it = |l: &&Lessons| l.needs_teacher() && l.needs().attention == attention;
            let needs = lessons.iter().filter(of_it).map(Lessons::needs);
            match needs.reduce(Needs::union) {
                Some(needs) => self.teacher_signals(&models, &sets, &train_set, needs),
                None => Ok(None),
            }
        };
        let (live, stored) = (teacher(true)?, teacher(false)?);
        let phases: Vec<Phase<'_>> = settings
            .iter()
            .zip(&lessons)
            .map(|(phase, lessons)| Phase {
                run: Run {
                    train: &train_set,
                    dev: &dev_set,
                    metrics: &sets.metrics,
                    objective: &lessons.objective,
                    step: &*lessons.step,
                    teacher: if lessons.needs().attention {
                        live.as_deref()
                    } else {
                        stored.as_deref()
                    },
                    config: &phase.train,
                    seed: file.seed,
                },
                hands_on: phase.hands_on,
            })
            .collect();
        let summary = self.train(&mut run, &phases, &models)?;
        let metrics = self.judge(&run, &sets, &models, &summary, started)?;
        let finished = run.finish(&metrics)?;
        announce(&self.out, &finished);
        Ok(finished)
    }

    fn open_teacher(&self, folder: &Path) -> anyhow::Result<(SentenceClassifier, TextTokenizer)> {
        let model = SentenceClassifier::open(folder, None, 0, &self.device)
            .context("opening the teacher")?;
        Ok((model, TextTokenizer::open(folder)?))
    }

    fn provenance(
        &self,
        teacher: Option<&Path>,
        model: Option<&Path>,
    ) -> anyhow::Result<Provenance> {
        let models: Vec<(&str, &Path)> = [("teacher", teacher), ("model", model)]
            .into_iter()
            .filter_map(|(n, p)| Some((n, p?)))
            .collect();
        let inputs = hash_inputs(&self.file.data, &models)?;
        Ok(provenance(self.file.seed, &self.device, inputs))
    }

    fn open_models(
        &self,
        sets: &Sets,
        teacher: Option<(SentenceClassifier, TextTokenizer)>,
        model: Option<&Path>,
    ) -> anyhow::Result<Models> {
        let target = sets.target();
        if let Some((teacher, _)) = &teacher {
            check_same_target(teacher.target(), &target)?;
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
                let from = base.as_ref().or(teacher.as_ref());
                let from = from.map(|(model, tokenizer)| (model, tokenizer));
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
        if !student.fresh_tensors().is_empty() && self.file.student.is_none() {
            tracing::info!("drawn afresh: {}", student.fresh_tensors().join(", "));
        }
        Ok(Models {
            student,
            tokenizer,
            teacher,
        })
    }

    fn build_student(
        &self,
        config: &StudentConfig,
        from: Option<(&SentenceClassifier, &TextTokenizer)>,
        sets: &Sets,
        target: &Target,
    ) -> anyhow::Result<(SentenceClassifier, TextTokenizer)> {
        let mut texts = sets.train.iter().map(|example| &example.text);
        Ok(config.build(from, &mut texts, target, self.file.seed, &self.device)?)
    }

    /// Scores the teacher on the dev set; refuses one that knows nothing, unless forced.
    fn check_teacher(&self, models: &Models, sets: &Sets) -> anyhow::Result<()> {
        let (Some((model, tokenizer)), Some(settings)) = (&models.teacher, &self.file.teacher)
        else {
            return Ok(());
        };
        let dev = EncodedSet::new(
            &sets.dev,
            tokenizer,
            settings.max_tokens.min(model.max_tokens()),
        )?;
        let (evaluation, scores) = score("teacher on dev", model, &dev, &sets.metrics, self.quiet)?;
        let main = sets.metrics[0].name();
        tracing::info!("teacher: dev {main} {:.4}", scores.metrics[main].value);
        match check_teacher(&evaluation, dev.labels(), model.target()) {
            Err(problem) if self.force_teacher => tracing::warn!("{problem}; going on as forced"),
            other => other?,
        }
        Ok(())
    }

    /// The teacher's outputs on the training set: stored once, or asked for at every step.
    fn teacher_signals(
        &self,
        models: &Models,
        sets: &Sets,
        train_set: &EncodedSet,
        needs: Needs,
    ) -> anyhow::Result<Option<Box<dyn Teacher>>> {
        let (Some((model, tokenizer)), Some(settings)) = (&models.teacher, &self.file.teacher)
        else {
            return Ok(None);
        };
        let max_tokens = settings.max_tokens.min(model.max_tokens());
        let set = EncodedSet::new(&sets.train, tokenizer, max_tokens)?;
        if needs.of_all_tokens() {
            train_set.check_same_tokens(&set)?;
        }
        if !settings.store || needs.attention {
            return Ok(Some(Box::new(LiveTeacher::new(model.clone(), set))));
        }
        let header = CacheHeader::new(
            model,
            &tokenizer.fingerprint()?,
            &sets.train,
            max_tokens,
            needs,
        )?;
        let parent = self.out.parent().unwrap_or(Path::new("."));
        let folder = parent.join("teacher-outputs").join(&header.digest()[..16]);
        let bar = example_bar("teacher's outputs", sets.train.len(), self.quiet);
        let stored = StoredTeacher::open_or_make(&folder, header, model, &set, &mut |done| {
            bar.set_position(done as u64);
            !interrupt::asked()
        });
        bar.finish_and_clear();
        if needs.hidden != HiddenStates::None {
            tracing::info!("teacher outputs with hidden states in {}", folder.display());
        }
        Ok(Some(Box::new(stored?)))
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

    /// Scores the best model on every set, and writes its predictions of the first held-out one.
    fn judge(
        &self,
        run: &RunDir,
        sets: &Sets,
        models: &Models,
        summary: &Summary,
        started: Instant,
    ) -> anyhow::Result<Metrics> {
        let (student, max_tokens) = (
            &models.student,
            self.file.train.max_tokens.min(models.student.max_tokens()),
        );
        let mut splits: Vec<SplitMetrics> = Vec::new();
        let dev = EncodedSet::new(&sets.dev, &models.tokenizer, max_tokens)?;
        splits.push(score("dev", student, &dev, &sets.metrics, self.quiet)?.1);
        let mut written = false;
        for NamedSet {
            name,
            spec,
            examples,
        } in &sets.held_out
        {
            let set = EncodedSet::new(examples, &models.tokenizer, max_tokens)?;
            let predictions = if set.labels().iter().all(Option::is_some) {
                let (evaluation, scores) = score(name, student, &set, &sets.metrics, self.quiet)?;
                splits.push(scores);
                evaluation.predictions
            } else {
                tracing::info!("{name}: unlabelled; predicted, not scored");
                predict(student, &set, |_| {})?
            };
            if let Some(task) = spec
                .layout_task()
                .filter(|_| set.labels().iter().all(Option::is_none))
            {
                let path =
                    write_submission(run.path(), task, &predictions.labels(student.target()))?;
                tracing::info!("{name}: leaderboard file {}", path.display());
            }
            if !written {
                write_predictions(run, student.target(), examples, &predictions)?;
                written = true;
            }
        }
        let (parameters, without_embeddings) = student.parameter_count();
        let headline_split = splits
            .iter()
            .find(|s| s.split == "test")
            .map_or("dev", |s| s.split.as_str());
        let headline = Headline {
            split: headline_split.into(),
            metric: sets.metrics[0].name().into(),
        };
        Ok(Metrics {
            task: self.file.task.clone(),
            labels: match student.target() {
                Target::Labels(labels) => labels.clone(),
                Target::Regression => Vec::new(),
            },
            role: self.file.role.unwrap_or(Role::Teacher),
            teacher: self
                .file
                .teacher
                .as_ref()
                .map(|teacher| teacher.from.clone()),
            model: ModelSummary {
                name: student.kind_name(),
                kind: model_type(student),
                parameters: parameters as u64,
                embedding_parameters: (parameters - without_embeddings) as u64,
                size_bytes: folder_bytes(&run.model_path())?,
            },
            headline,
            splits,
            training: Some(training_summary(
                summary,
                sets.train.len(),
                &self.file.train,
            )),
            sentences_per_s: Some(speed(sets, models, max_tokens)?),
            peak_memory_bytes: peak_memory_bytes(),
            wall_time_s: summary.earlier_s + started.elapsed().as_secs_f64(),
        })
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

fn write_predictions(
    run: &RunDir,
    target: &Target,
    examples: &[Example],
    predictions: &Predictions,
) -> anyhow::Result<()> {
    let labels = match target {
        Target::Labels(labels) => labels.clone(),
        Target::Regression => Vec::new(),
    };
    let name = |label: Label| match label {
        Label::Class(class) => labels[class as usize].clone(),
        Label::Score(score) => score.to_string(),
    };
    let mut writer = run.predictions(&labels)?;
    let probabilities = predictions.probabilities();
    for (index, (example, predicted)) in examples.iter().zip(predictions.labels(target)).enumerate()
    {
        writer.write(&Prediction {
            id: example.id.to_string(),
            gold: example.label.map(name),
            predicted: name(predicted),
            probabilities: match target {
                Target::Labels(_) => {
                    probabilities[index * predictions.outputs..][..predictions.outputs].to_vec()
                }
                Target::Regression => Vec::new(),
            },
        })?;
    }
    Ok(writer.finish()?)
}

/// Sentences per second, tokenising included, on the dev set; the median of three runs.
fn speed(sets: &Sets, models: &Models, max_tokens: usize) -> anyhow::Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let set = EncodedSet::new(&sets.dev, &models.tokenizer, max_tokens)?;
        predict(&models.student, &set, |_| {})?;
        rates.push(set.len() as f64 / started.elapsed().as_secs_f64());
    }
    Ok(SeedSummary::of(&rates).map_or(0.0, |summary| summary.median))
}

/// `model_type` in the model's `config.json`.
fn model_type(model: &SentenceClassifier) -> String {
    let config = model.config().to_json(model.target());
    config
        .get("model_type")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default()
        .to_owned()
}
