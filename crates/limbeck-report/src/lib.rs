//! What limbeck leaves on disk and shows of it: run folders, logs, predictions, tables and pages.
//!
//! [`RunDir`] is a run being written, [`FinishedRun`] one that may be read; `metrics.json` is written last, by rename, so a
//! folder that has it is complete. [`Comparison`] puts finished runs side by side as a [`Table`] and a [`Page`].
//!
//! Every function that touches the disk fails with the path that is at fault and what to do about it.

/// Adds formatted text to a `String`.
macro_rules! push {
    ($text:expr, $($piece:tt)*) => {{
        use std::fmt::Write as _;
        $text.write_fmt(format_args!($($piece)*)).expect("a string takes any text")
    }};
}

mod attack_csv;
mod attack_page;
mod attack_record;
mod attack_run;
mod attack_summary;
mod attack_words;
mod average;
mod chart;
mod compare;
mod error;
mod files;
mod finished_run;
mod hash;
mod lock;
mod number;
mod page;
mod predictions;
mod provenance;
mod record;
mod run_dir;
mod run_state;
mod settings;
mod study;
mod table;
mod tensorboard;
mod timestamp;

pub use attack_csv::{AttackLog, AttackLogRow, attack_csv, read_attack_log};
pub use attack_page::{EditedText, attack_page};
pub use attack_record::{AttackOutcome, AttackRecord, AttackedText, Mark};
pub use attack_run::{AttackRun, FinishedAttack};
pub use attack_summary::{AttackCounts, AttackMetrics, AttackSummary, AttackTotals};
pub use attack_words::WordRule;
pub use average::{as_printed, average_of_printed};
pub use chart::{Bar, BarChart, BarMark, Line, LineChart, LineStyle, smooth};
pub use compare::{Comparison, Model};
pub use error::{ReportError, Result};
pub use files::atomic_write;
pub use finished_run::FinishedRun;
pub use hash::{Input, hash_input};
pub use lock::Lock;
pub use page::{Block, Chart, ConfusionMatrix, Page, Section, escape};
pub use predictions::{Prediction, PredictionWriter, Predictions, read_predictions};
pub use provenance::{Provenance, Resumption};
pub use record::{
    EvalRecord, Headline, Interval, LogRecord, Metrics, ModelSummary, Role, Score, Selected,
    SplitMetrics, StepRecord, TrainingSummary, read_log,
};
pub use run_dir::RunDir;
pub use run_state::RunState;
pub use study::{StudyEntry, StudyMethod, StudyResults, slug};
pub use table::{Align, Cell, Column, Summary, Table};
pub use tensorboard::EventWriter;
pub use timestamp::Timestamp;
