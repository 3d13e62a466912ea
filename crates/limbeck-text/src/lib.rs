//! Sentences and pairs, tasks, data formats and metrics: all that can be said about text without a tensor.
//!
//! [`read_examples`] turns a file of any supported format into a [`Dataset`]; [`Task`] says what is to be learnt from it and
//! [`Metric`] how well it was; [`Classifier`] is what a model offers to code that only knows text. Nothing here prints, reads the
//! environment or keeps state. Every error is a [`TextError`].

mod atomic;
pub mod augment;
pub mod constraint;
mod data;
pub mod edit;
mod edit_space;
mod error;
mod example;
mod label_map;
mod language_model;
pub mod lexicon;
mod metric;
mod predict;
mod split;
mod submission;
mod task;
pub mod transform;

pub use atomic::{AtomicFile, PARTIAL, atomic_write};
pub use data::{
    Column, Columns, DataSpec, Dataset, ExampleReader, Format, LabelRule, LabelSource, SkipReason,
    SkippedRow, read_examples, read_texts, stream_texts, text_lines,
};
pub use edit_space::{EditSpace, EditSpaceConfig, Resource, Resources};
pub use error::TextError;
pub use example::{Example, Label, Text};
pub use label_map::LabelMap;
pub use language_model::{Filling, Gap, MaskedLm, SentenceEmbedder};
pub use metric::{
    BootstrapConfig, ClassReport, ConfusionMatrix, Interval, Metric, accuracy, bootstrap_interval,
    f1_binary, f1_macro, f1_micro, glue_average, matthews, pearson, spearman, task_score,
    wilson_interval,
};
pub use predict::{BoxError, Classifier, Probabilities};
pub use split::{Split, duplicate_groups, split};
pub use submission::{submission_tsv, write_submission};
pub use task::{GlueSplit, GlueTask, Task, TaskKind, check_same_labels, sort_labels};
