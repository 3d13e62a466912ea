//! Recipes: phases of training, one after another.

use std::path::Path;

use limbeck_model::{SentenceClassifier, Weights};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::resume::PhaseFolder;
use crate::train::{EvaluationEvent, Folders, Observer, Run, StepEvent, Summary, train};

/// One phase of a recipe; each has an optimiser and a schedule of its own.
pub struct Phase<'a> {
    /// What is trained and how.
    pub run: Run<'a>,
    /// The model that the next phase begins with.
    pub hands_on: HandsOn,
}

/// The model that a phase hands on to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandsOn {
    /// The best by dev score (Annealing-KD).
    #[default]
    Best,
    /// The one after the last step: for phases that do not train what the dev score shows (TinyBERT).
    Last,
}

/// Trains `student` in all phases, going on from the state in `folders` if there is one.
///
/// The last phase leaves its models in `folders`; the summary is the last phase's, with steps, times and tokens of
/// all. Steps are counted through all phases.
pub fn train_phases(
    student: &SentenceClassifier,
    phases: &[Phase<'_>],
    folders: Folders<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    for phase in phases {
        phase.run.check()?;
    }
    let Some((final_phase, earlier)) = phases.split_last() else {
        return Err(TrainError::Setting {
            setting: "phase",
            found: "none".into(),
            expected: "at least one".into(),
        });
    };
    if earlier.is_empty() {
        return train(student, &final_phase.run, folders, observer);
    }
    let steps = phases.iter().map(|phase| phase.run.steps());
    let total = steps.sum();
    let mut done: Option<Summary> = None;
    for (number, phase) in (1..).zip(earlier) {
        let folder = PhaseFolder::new(folders.checkpoint, number);
        let summary = if let Some(summary) = folder.finished()? {
            Summary {
                earlier_s: summary.elapsed_s,
                ..summary
            }
        } else {
            let (best, last, checkpoint) = (folder.best(), folder.last(), folder.checkpoint());
            let folders = Folders {
                best: &best,
                last: &last,
                checkpoint: &checkpoint,
            };
            let mut observer = Counting {
                observer: &mut *observer,
                before: done.as_ref().map_or(0, |done| done.steps),
                total,
            };
            let summary = train(student, &phase.run, folders, &mut observer)
                .map_err(|e| after(e, observer.before))?;
            folder.finish(&summary)?;
            summary
        };
        load(
            student,
            &match phase.hands_on {
                HandsOn::Best => folder.best(),
                HandsOn::Last => folder.last(),
            },
        )?;
        done = Some(match done {
            Some(done) => summary.after(&done),
            None => summary,
        });
    }
    let done = done.expect("there is an earlier phase");
    let checkpoint = PhaseFolder::new(folders.checkpoint, phases.len()).checkpoint();
    let folders = Folders {
        checkpoint: &checkpoint,
        ..folders
    };
    let mut observer = Counting {
        observer,
        before: done.steps,
        total,
    };
    let summary = train(student, &final_phase.run, folders, &mut observer)
        .map_err(|e| after(e, done.steps))?;
    Ok(summary.after(&done))
}

fn load(student: &SentenceClassifier, folder: &Path) -> Result<(), TrainError> {
    Ok(student.load(&Weights::open(folder)?)?)
}

/// The same error with steps counted through all phases.
fn after(error: TrainError, before: u64) -> TrainError {
    match error {
        TrainError::Interrupted { step } => TrainError::Interrupted {
            step: step + before,
        },
        TrainError::NotANumber {
            step,
            loss,
            learning_rate,
            examples,
        } => TrainError::NotANumber {
            step: step + before,
            loss,
            learning_rate,
            examples,
        },
        other => other,
    }
}

/// Counts steps through all phases.
struct Counting<'a> {
    observer: &'a mut dyn Observer,
    before: u64,
    total: u64,
}

impl Observer for Counting<'_> {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.observer.on_step(&StepEvent {
            step: event.step + self.before,
            total_steps: self.total,
            ..event.clone()
        })
    }

    fn on_evaluation(&mut self, event: &EvaluationEvent<'_>) -> Result<(), TrainError> {
        self.observer.on_evaluation(&EvaluationEvent {
            step: event.step + self.before,
            ..*event
        })
    }

    fn should_stop(&mut self) -> bool {
        self.observer.should_stop()
    }
}
