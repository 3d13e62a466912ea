use std::io;
use std::path::{Path, PathBuf};

use limbeck_model::ModelError;
use limbeck_text::TextError;

/// What can go wrong while training, evaluating or caching a teacher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of range or does not fit the others.
    #[error("`{setting}`: found {found}, expected {expected}")]
    Setting {
        /// The key in the run file.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The loss stopped being a number.
    #[error(
        "step {step}: the loss is {loss}; lower `learning-rate` (now {learning_rate:.2e}), limit the gradient with `clip-norm`, or look at the examples {examples:?}"
    )]
    NotANumber {
        /// 1-based step.
        step: u64,
        /// The loss.
        loss: f64,
        /// The learning rate of that step.
        learning_rate: f64,
        /// Ids of the batch's first examples.
        examples: Vec<u64>,
    },
    /// An example of a set to learn from has no gold label where an objective needs one.
    #[error(
        "example {id}: no gold label, but objective `{objective}` needs one; give a labelled set, or learn from a teacher too"
    )]
    Unlabelled {
        /// The example.
        id: u64,
        /// The objective.
        objective: &'static str,
    },
    /// A tokenizer without the token that hides others.
    #[error(
        "the tokenizer has no mask token; name one under `mask_token` in `tokenizer_config.json`, or choose a model of a masked-language-model family"
    )]
    NoMaskToken,
    /// A source of raw text without any.
    #[error("{}: no text; expected at least one line that is not blank", .path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A sentence-transformers folder that asks for something not supported.
    #[error("{}: {problem}", .path.display())]
    SentenceTransformer {
        /// The settings file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// An objective needs a teacher, and there is none.
    #[error(
        "objective `{objective}` learns from a teacher, and there is none; run `limbeck distill` with one, or remove the objective"
    )]
    NoTeacher {
        /// The objective.
        objective: &'static str,
    },
    /// The teacher cannot give what an objective needs.
    #[error("objective `{objective}` needs {needs} of the teacher, which provides {provides}")]
    TeacherLacks {
        /// The objective.
        objective: &'static str,
        /// What it needs.
        needs: String,
        /// What the teacher gives.
        provides: String,
    },
    /// A teacher no better than one that answers the same to every sentence.
    #[error(
        "the teacher's dev {metric} is {score:.4}, and always answering {always} gives {baseline:.4}: it has not been fine-tuned for this task, or its labels are in another order; fine-tune it first, or force it with `--force-teacher`"
    )]
    UntrainedTeacher {
        /// The task's metric.
        metric: &'static str,
        /// The teacher's score.
        score: f64,
        /// The best score of such an answer.
        baseline: f64,
        /// That answer.
        always: String,
    },
    /// A stored teacher belongs to something else.
    #[error("{}: stored teacher outputs have {what} {found}, this run has {expected}; delete the folder to make them anew", .path.display())]
    CacheMismatch {
        /// The cache folder.
        path: PathBuf,
        /// Which part differs.
        what: &'static str,
        /// The cache's.
        found: String,
        /// This run's.
        expected: String,
    },
    /// A stored training set belongs to something else.
    #[error("{}: the stored training set has {what} {found}, this run has {expected}; delete the folder to make it anew", .path.display())]
    SetMismatch {
        /// The set's folder.
        path: PathBuf,
        /// Which part differs.
        what: &'static str,
        /// The set's.
        found: String,
        /// This run's.
        expected: String,
    },
    /// A file of a cache or a checkpoint is damaged.
    #[error("{}: `{file}`: {problem}; delete the folder and run the same command again: it is made anew", .folder.display())]
    Damaged {
        /// The folder of the cache or the checkpoint.
        folder: PathBuf,
        /// The file in it.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written; the source names it.
    #[error(
        "{0}; check that the file is there and readable, or the folder writable and the disk not full"
    )]
    File(#[from] io::Error),
    /// The run was asked to stop; its state is on disk.
    #[error("stopped at step {step}; run the same command again to go on")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// Student and teacher cut a text into different tokens where their states or attention are compared token by token.
    #[error(
        "example {id}: the student reads {student} tokens, the teacher {teacher}, and token {place} differs; to compare the states or the attention of all tokens, give both one tokenizer and the same `max-tokens`"
    )]
    OtherTokens {
        /// The first such example.
        id: u64,
        /// Its length for the student.
        student: usize,
        /// Its length for the teacher.
        teacher: usize,
        /// The first token that differs, counted from 1.
        place: usize,
    },
    /// From the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// From the data.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(ModelError::from(error))
    }
}

impl TrainError {
    /// A damaged file of a cache or a checkpoint.
    pub(crate) fn damaged(path: &Path, problem: &impl ToString) -> Self {
        Self::Damaged {
            folder: path.parent().unwrap_or(path).to_owned(),
            file: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            problem: problem.to_string(),
        }
    }
}
