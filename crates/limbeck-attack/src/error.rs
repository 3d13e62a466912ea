use limbeck_text::{BoxError, TextError};

/// What can go wrong in an attack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttackError {
    /// The model did not answer.
    #[error("victim: no answer to {questions} texts: {source}")]
    Victim {
        /// How many texts were asked.
        questions: usize,
        /// What went wrong inside the model.
        source: BoxError,
    },

    /// The model answered something else than was asked.
    #[error(
        "victim: {found} answers to {expected} texts, expected one each; the model or endpoint is faulty"
    )]
    AnswerCount {
        /// Answers that came.
        found: usize,
        /// Texts that were asked.
        expected: usize,
    },

    /// The model has too few labels.
    #[error(
        "victim: {labels} labels, expected one numbered {label}; check that the data's labels are the model's"
    )]
    LabelRange {
        /// Labels in the model's answer.
        labels: usize,
        /// The label asked for, counted from 0.
        label: u32,
    },

    /// A setting is wrong, or a resource it needs is missing.
    #[error(transparent)]
    Setting(TextError),

    /// A transformation or a constraint failed.
    #[error("candidates: {0}")]
    Candidates(#[source] BoxError),

    /// The gradient of a text could not be had.
    #[error("importance `gradient`: {0}")]
    Gradient(#[source] BoxError),

    /// The search needs gradients, and the victim has none.
    #[error(
        "importance `gradient`: the victim offers no gradients, expected a model of our own; choose `unk` or `delete`"
    )]
    NoGradients,

    /// The attack of one example panicked: a bug of ours.
    #[error("the attack stopped unexpectedly: {message}; this is a bug, please report the text")]
    Panicked {
        /// What the panic said.
        message: String,
    },

    /// The thread of an example could not be started.
    #[error("starting {threads} threads: {source}; lower `--in-flight`")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's own words.
        source: std::io::Error,
    },

    /// The pool that answers questions is gone.
    #[error("the worker that answers questions has stopped")]
    PoolClosed,
}
