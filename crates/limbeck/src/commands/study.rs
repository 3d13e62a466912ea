//! `limbeck study`: every method on every student and task with several seeds, in one table.

mod settings;

use std::path::Path;
use std::time::Duration;

use limbeck_model::ModelSource;
use limbeck_report::{
    FinishedRun, Lock, Role, RunState, StudyEntry, StudyMethod, StudyResults, atomic_write, slug,
};

use crate::cli::StudyArgs;
use crate::commands::train::Job;
use crate::environment::device;
use crate::interrupt;
use crate::settings::{BadSettings, read_settings};
use settings::{PlannedRun, StudyFile, check_known};

/// Where it is said who is at which run, below the study's folder.
const CLAIMS: &str = ".claims";

/// How often a process with nothing left to begin looks whether others are done.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the command.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
pub(crate) fn run(args: &StudyArgs, quiet: bool) -> anyhow::Result<()> {
    let file: StudyFile = read_settings(&args.file, &args.overrides)?;
    file.check()?;
    let out = args.out.to_string_lossy().into_owned();
    let plan = file.plan(&out)?;
    let wanted = wanted(args, &file, &plan)?;
    interrupt::listen();
    let mut study = Study {
        args,
        file: &file,
        device: device(args.device)?,
        quiet,
        finished: wanted.iter().map(|_| None).collect(),
        wanted,
    };
    if args.table_only {
        study.read_finished()?;
    } else {
        study.check_inputs()?;
        study.train_all()?;
    }
    print!("{}", study.results().table().to_text());
    Ok(())
}

/// A study at work, maybe with other processes at the same.
struct Study<'a> {
    args: &'a StudyArgs,
    file: &'a StudyFile,
    device: candle_core::Device,
    quiet: bool,
    wanted: Vec<&'a PlannedRun>,
    /// What each of the wanted runs reached.
    finished: Vec<Option<StudyEntry>>,
}

impl Study<'_> {
    fn read_finished(&mut self) -> anyhow::Result<()> {
        for (run, entry) in self.wanted.iter().zip(&mut self.finished) {
            let folder = self.args.out.join(&run.folder);
            if RunState::of(&folder)? == RunState::Finished {
                *entry = Some(entry_of(run, &FinishedRun::open(&folder)?));
            }
        }
        if self.finished.iter().all(Option::is_none) {
            let out = self.args.out.display();
            let problem = format!(
                "{out}: found no finished run, expected some; leave `--table-only` out to make them"
            );
            return Err(BadSettings::new(problem).into());
        }
        self.write()
    }

    /// Fails where a run would read what is not there; before the first.
    fn check_inputs(&self) -> anyhow::Result<()> {
        for run in &self.wanted {
            let missing = |what: String| {
                let folder = &run.folder;
                BadSettings::new(format!("run file of {folder}: {what}"))
            };
            if let Some(path) = run.file.data.paths().find(|path| !path.exists()) {
                let what = format!("{}: no such file", path.display());
                return Err(missing(what).into());
            }
            let model = run.file.model.as_ref().map(|model| model.from.as_str());
            let phases = run.file.phases()?;
            let generators = phases.iter().filter_map(|phase| phase.step.generator());
            let made_here = |name: &&str| Path::new(name).starts_with(&self.args.out);
            for name in model
                .into_iter()
                .chain(generators)
                .filter(|n| !made_here(n))
            {
                ModelSource::locate(name).map_err(|error| missing(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Runs what no other process is at, until all is finished.
    fn train_all(&mut self) -> anyhow::Result<()> {
        // What is finished already is checked against the settings; what others finish meanwhile, they have checked.
        let old: Vec<bool> = (self.wanted.iter())
            .map(|run| self.is_finished(&run.folder))
            .collect::<anyhow::Result<_>>()?;
        let mut waits = false;
        loop {
            let mut left = 0;
            for (index, &was_finished) in old.iter().enumerate() {
                if self.finished[index].is_some() {
                    continue;
                }
                if interrupt::asked() {
                    let text = "stopped; the same command goes on where it stopped";
                    return Err(interrupt::Stopped(text.into()).into());
                }
                if self.attempt(index, was_finished)? {
                    self.write()?;
                } else {
                    left += 1;
                }
            }
            if left == 0 {
                return Ok(());
            }
            if !waits {
                tracing::info!("waiting for {left} runs that other processes are at");
            }
            waits = true;
            std::thread::sleep(PATIENCE);
        }
    }

    /// Runs or reads one; `false` where another process is at it, or at its teacher.
    fn attempt(&mut self, index: usize, was_finished: bool) -> anyhow::Result<bool> {
        let run = self.wanted[index];
        let claim = self.args.out.join(CLAIMS).join(slug(&run.folder));
        let Some(_claim) = Lock::try_take(&claim)? else {
            return Ok(false);
        };
        let folder = self.args.out.join(&run.folder);
        let finished = if !was_finished && self.is_finished(&run.folder)? {
            FinishedRun::open(&folder)?
        } else {
            if run.lesson.is_some() && !self.is_finished(&run.teacher)? {
                return Ok(false);
            }
            tracing::info!("{} of {}: {}", index + 1, self.wanted.len(), run.folder);
            self.train(run)?
        };
        if let Some(score) = finished.metrics().headline_score() {
            let metric = &finished.metrics().headline.metric;
            tracing::info!("{}: {metric} {:.4}", run.folder, score.value);
        }
        self.finished[index] = Some(entry_of(run, &finished));
        Ok(true)
    }

    fn is_finished(&self, folder: &str) -> anyhow::Result<bool> {
        Ok(RunState::of(self.args.out.join(folder))? == RunState::Finished)
    }

    fn train(&self, run: &PlannedRun) -> anyhow::Result<FinishedRun> {
        let mut file = run.file.clone();
        let role = match &run.lesson {
            None => Role::Teacher,
            Some(lesson) if lesson.distils => Role::Student,
            Some(_) => Role::Control,
        };
        file.role.get_or_insert(role);
        let folder = self.args.out.join(&run.folder);
        let mut job = Job::new(file, folder, self.device.clone(), self.quiet)?;
        // One store for all methods and students of a task.
        job.shared = self.args.out.join(slug(&run.task));
        // A teacher no better than always giving the most frequent label is a result of a study, too.
        job.force_teacher = true;
        job.run()
    }

    fn results(&self) -> StudyResults {
        let mut results = StudyResults::new(&self.file.title, methods(self.file));
        for entry in self.finished.iter().flatten() {
            results.add(entry.clone());
        }
        results
    }

    /// After every run, so that nothing is lost.
    fn write(&self) -> anyhow::Result<()> {
        let (results, out) = (self.results(), &self.args.out);
        let json = format!("{:#}\n", results.to_json());
        atomic_write(out.join("study.json"), json.as_bytes())?;
        let table = results.table();
        atomic_write(out.join("study.csv"), table.to_csv().as_bytes())?;
        let scores = results.scores().to_csv();
        atomic_write(out.join("scores.csv"), scores.as_bytes())?;
        atomic_write(out.join("study.md"), table.to_markdown().as_bytes())?;
        Ok(())
    }
}

fn entry_of(run: &PlannedRun, finished: &FinishedRun) -> StudyEntry {
    StudyEntry {
        task: run.task.clone(),
        lesson: run
            .lesson
            .as_ref()
            .map(|lesson| (lesson.student.clone(), lesson.method.clone())),
        seed: run.seed,
        metrics: finished.metrics().clone(),
    }
}

fn methods(file: &StudyFile) -> Vec<StudyMethod> {
    let methods = file.method.iter();
    methods
        .map(|method| StudyMethod {
            name: method.name.clone(),
            control: method.control.clone(),
        })
        .collect()
}

/// The runs asked for; teachers belong to their task.
fn wanted<'a>(
    args: &StudyArgs,
    file: &StudyFile,
    plan: &'a [PlannedRun],
) -> anyhow::Result<Vec<&'a PlannedRun>> {
    let tasks: Vec<&str> = file.task.iter().map(|t| &*t.name).collect();
    let students: Vec<&str> = file.student.iter().map(|s| &*s.name).collect();
    let methods: Vec<&str> = file.method.iter().map(|m| &*m.name).collect();
    check_known("--task", &args.tasks, &tasks)?;
    check_known("--student", &args.students, &students)?;
    check_known("--method", &args.methods, &methods)?;
    if let Some(seed) = args.seeds.iter().find(|seed| !file.seeds.contains(seed)) {
        let known = &file.seeds;
        let problem = format!("`--seed`: found `{seed}`, expected one of {known:?}");
        return Err(BadSettings::new(problem).into());
    }
    let among = |names: &[String], name: &String| names.is_empty() || names.contains(name);
    let fits = |run: &&PlannedRun| {
        among(&args.tasks, &run.task)
            && run.lesson.as_ref().is_none_or(|lesson| {
                among(&args.students, &lesson.student)
                    && among(&args.methods, &lesson.method)
                    && (args.seeds.is_empty() || args.seeds.contains(&run.seed))
            })
    };
    Ok(plan.iter().filter(fits).collect())
}
