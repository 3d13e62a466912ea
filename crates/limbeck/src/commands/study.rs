//! `limbeck study`: every method on every student and task with several seeds, in one table.

mod settings;

use std::path::Path;

use limbeck_report::{
    FinishedRun, Role, RunState, StudyEntry, StudyMethod, StudyResults, atomic_write, slug,
};

use crate::cli::StudyArgs;
use crate::commands::train::Job;
use crate::environment::device;
use crate::interrupt;
use crate::settings::{BadSettings, read_settings};
use settings::{PlannedRun, StudyFile};

/// Runs the command.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
pub(crate) fn run(args: &StudyArgs, quiet: bool) -> anyhow::Result<()> {
    let file: StudyFile = read_settings(&args.file, &args.overrides)?;
    file.check()?;
    let out = args.out.to_string_lossy().into_owned();
    let plan = file.plan(&out)?;
    let wanted = wanted(args, &file, &plan)?;
    let device = device(args.device)?;
    interrupt::listen();
    let mut results = StudyResults::new(&file.title, methods(&file));
    let total = wanted.len();
    for (number, run) in (1..).zip(wanted) {
        let folder = args.out.join(&run.folder);
        tracing::info!("{number} of {total}: {}", run.folder);
        let finished = if args.table_only {
            match RunState::of(&folder)? {
                RunState::Finished => FinishedRun::open(&folder)?,
                _ => continue,
            }
        } else {
            train(run, args, device.clone(), quiet)?
        };
        if let Some(score) = finished.metrics().headline_score() {
            let metric = &finished.metrics().headline.metric;
            tracing::info!("{}: {metric} {:.4}", run.folder, score.value);
        }
        results.add(entry(run, &finished));
        write(&results, &args.out)?;
    }
    print!("{}", results.table().to_text());
    Ok(())
}

fn train(
    run: &PlannedRun,
    args: &StudyArgs,
    device: candle_core::Device,
    quiet: bool,
) -> anyhow::Result<FinishedRun> {
    let mut file = run.file.clone();
    let role = match &run.lesson {
        None => Role::Teacher,
        Some(lesson) if lesson.distils => Role::Student,
        Some(_) => Role::Control,
    };
    file.role.get_or_insert(role);
    let mut job = Job::new(file, args.out.join(&run.folder), device, quiet)?;
    // One store for all methods and students of a task.
    job.shared = args.out.join(slug(&run.task));
    // A teacher no better than always giving the most frequent label is a result of a study, too.
    job.force_teacher = true;
    job.run()
}

fn entry(run: &PlannedRun, finished: &FinishedRun) -> StudyEntry {
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

/// After every run, so that nothing is lost.
fn write(results: &StudyResults, out: &Path) -> anyhow::Result<()> {
    let json = format!("{:#}\n", results.to_json());
    atomic_write(out.join("study.json"), json.as_bytes())?;
    let table = results.table();
    atomic_write(out.join("study.csv"), table.to_csv().as_bytes())?;
    atomic_write(out.join("study.md"), table.to_markdown().as_bytes())?;
    Ok(())
}

/// The runs asked for; teachers belong to their task.
fn wanted<'a>(
    args: &StudyArgs,
    file: &StudyFile,
    plan: &'a [PlannedRun],
) -> anyhow::Result<Vec<&'a PlannedRun>> {
    let check = |flag: &str, names: &[String], known: Vec<&str>| match names
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        Some(name) => Err(BadSettings::new(format!(
            "`--{flag} {name}`: expected one of {known:?}"
        ))),
        None => Ok(()),
    };
    check(
        "task",
        &args.tasks,
        file.task.iter().map(|t| &*t.name).collect(),
    )?;
    check(
        "student",
        &args.students,
        file.student.iter().map(|s| &*s.name).collect(),
    )?;
    check(
        "method",
        &args.methods,
        file.method.iter().map(|m| &*m.name).collect(),
    )?;
    let among = |names: &[String], name: &String| names.is_empty() || names.contains(name);
    let fits = |run: &&PlannedRun| {
        among(&args.tasks, &run.task)
            && run.lesson.as_ref().is_none_or(|lesson| {
                among(&args.students, &lesson.student) && among(&args.methods, &lesson.method)
            })
    };
    Ok(plan.iter().filter(fits).collect())
}
