//! The command line: arguments, run files, wiring, progress and exit codes.

mod cli;
mod commands;
mod endpoint;
mod environment;
mod interrupt;
mod progress;
mod settings;

use std::process::ExitCode;

use clap::Parser;
use limbeck_model::ModelError;
use limbeck_train::TrainError;

use crate::cli::{Cli, Command, PretrainCommand};
use crate::interrupt::Stopped;
use crate::settings::BadSettings;

// Pages once had are kept: clearing fresh ones costs a tenth of a training step with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    environment::start_logging(cli.quiet);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    environment::start_threads(cli.threads)?;
    match cli.command {
        Command::Finetune(args) => commands::train::finetune(&args, cli.quiet),
        Command::Distill(args) => commands::train::distill(&args, cli.quiet),
        Command::Pretrain(PretrainCommand::Mlm(args)) => {
            commands::pretrain::masked_lm(&args, cli.quiet)
        }
        Command::Evaluate(args) => commands::evaluate::run(&args, cli.quiet),
        Command::Search(args) => commands::search::run(&args, cli.quiet),
        Command::Predict(args) => commands::predict::run(&args, cli.quiet),
        Command::Augment(args) => commands::augment::run(&args, cli.quiet),
        Command::Attack(args) => commands::attack::run(&args, cli.quiet),
        Command::Calibrate(args) => commands::calibrate::run(&args, cli.quiet),
        Command::Replay(args) => commands::replay::run(&args, cli.quiet),
        Command::Report(args) => commands::report::run(&args),
        Command::Study(args) => commands::study::run(&args, cli.quiet),
        Command::Init(args) => commands::init::run(&args),
        Command::Resources(args) => commands::resources::run(&args),
        Command::Vectors(command) => commands::vectors::run(&command, cli.quiet),
    }
}

#[expect(clippy::print_stderr, reason = "the one place that prints errors")]
fn report_error(error: &anyhow::Error) {
    // Library messages hold their source's text where it matters; a repeated one is left out.
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    let kind = if exit_code(error) == INTERRUPTED {
        ""
    } else {
        "error: "
    };
    eprintln!("{kind}{}", lines.join("\n  caused by: "));
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let mut chain = error.chain();
    let was_stopped = |e: &(dyn std::error::Error + 'static)| {
        e.is::<Stopped>() || matches!(e.downcast_ref(), Some(TrainError::Interrupted { .. }))
    };
    if chain.any(was_stopped) {
        return INTERRUPTED;
    }
    let is_bad_input = |e: &(dyn std::error::Error + 'static)| {
        let names_a_setting = |error: &TrainError| {
            use TrainError::{NoTeacher, Setting, TeacherLacks};
            matches!(
                error,
                Setting { .. } | NoTeacher { .. } | TeacherLacks { .. }
            )
        };
        let describes_a_student = |error: &ModelError| {
            use ModelError::{LayerSelection, Student};
            matches!(error, LayerSelection { .. } | Student { .. })
        };
        e.is::<BadSettings>()
            || e.downcast_ref().is_some_and(names_a_setting)
            || e.downcast_ref().is_some_and(describes_a_student)
    };
    if error.chain().any(is_bad_input) {
        BAD_INPUT
    } else {
        FAILED
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
