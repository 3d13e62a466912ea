//! What a run shows and writes while it goes: bars, log, TensorBoard events.

use indicatif::{ProgressBar, ProgressDrawTarget};
use limbeck_report::{EvalRecord, EventWriter, LogRecord, RunDir, StepRecord};
use limbeck_train::resume::steps_done;
use limbeck_train::{EvaluationEvent, Observer, StepEvent, TrainError};

use crate::environment::{now, style};
use crate::interrupt;

/// Writes the log of a run and draws its bar.
pub(crate) struct RunObserver<'a> {
    run: &'a mut RunDir,
    events: EventWriter,
    bar: ProgressBar,
    log_every: u64,
    /// Sentences and seconds since the last record, for the speed.
    sentences: usize,
    seconds: f64,
}

impl<'a> RunObserver<'a> {
    pub(crate) fn new(
        run: &'a mut RunDir,
        label: &str,
        log_every: u64,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        let mut events = EventWriter::create(run.tensorboard_path(), now())?;
        if let Some(step) = steps_done(&run.checkpoint_path())? {
            events.restart(step, now().unix() as f64)?;
        }
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(
            "{prefix} {bar:30} {pos}/{len} steps, {msg}, {eta} left",
        ));
        bar.set_prefix(label.to_owned());
        Ok(Self {
            run,
            events,
            bar,
            log_every,
            sentences: 0,
            seconds: 0.0,
        })
    }

    fn append(&mut self, record: &LogRecord) -> Result<(), TrainError> {
        let written = self
            .run
            .append(record)
            .and_then(|()| self.events.record(record, now().unix() as f64));
        written.map_err(|e| TrainError::File(std::io::Error::other(e)))
    }
}

impl Drop for RunObserver<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for RunObserver<'_> {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.sentences += event.sentences;
        self.seconds += event.seconds;
        self.bar.set_length(event.total_steps);
        self.bar.set_position(event.step);
        // A record is of its own step alone, so a resumed run logs what an uninterrupted one does.
        if !event.step.is_multiple_of(self.log_every) && event.step != event.total_steps {
            return Ok(());
        }
        let samples_per_s = self.sentences as f64 / self.seconds.max(1e-9);
        (self.sentences, self.seconds) = (0, 0.0);
        let loss = event.loss;
        self.bar
            .set_message(format!("loss {loss:.4}, {samples_per_s:.0} sentences/s"));
        self.append(&LogRecord::Step(StepRecord {
            step: event.step,
            epoch: event.epoch.ceil() as u64,
            learning_rate: event.learning_rate,
            loss,
            terms: event
                .terms
                .iter()
                .map(|(&name, &value)| (name.to_owned(), value))
                .collect(),
            gradient_norm: event.gradient_norm,
            samples_per_s,
            tokens: event.tokens as u64,
        }))
    }

    fn on_evaluation(&mut self, event: &EvaluationEvent<'_>) -> Result<(), TrainError> {
        let scores: Vec<String> = event
            .metrics
            .iter()
            .map(|(name, score)| format!("{name} {score:.4}"))
            .collect();
        let best = if event.is_best { ", best so far" } else { "" };
        let (step, loss) = (event.step, event.loss);
        self.bar.suspend(|| {
            tracing::info!(
                "step {step}: dev {}, loss {loss:.4}{best}",
                scores.join(", ")
            );
        });
        self.append(&LogRecord::Eval(EvalRecord {
            step,
            epoch: event.epoch.ceil() as u64,
            split: "dev".into(),
            metrics: event.metrics.clone(),
            loss,
        }))
    }

    fn should_stop(&mut self) -> bool {
        interrupt::asked()
    }
}

/// A bar over a known number of examples.
pub(crate) fn example_bar(label: &str, count: usize, quiet: bool) -> ProgressBar {
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(Some(count as u64), target);
    bar.set_style(style("{prefix} {bar:30} {pos}/{len}, {eta} left"));
    bar.set_prefix(label.to_owned());
    bar
}
