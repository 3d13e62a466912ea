//! What one forward pass is for.

use std::cell::Cell;

use crate::dropout::DropoutKey;

/// How a forward pass runs: with dropout or without, and whether parameters learn from it.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Dropout for training; `None` evaluates.
    pub dropout: Option<DropoutKey>,
    /// Whether the backward pass adds gradients to parameters.
    pub learning: Learning,
}

/// Whether a backward pass adds gradients to parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    /// Gradients are collected.
    On,
    /// Gradients flow through to the inputs only, as through a frozen teacher.
    Off,
}

impl Pass {
    /// No dropout, no gradients of parameters.
    pub const EVALUATE: Self = Self {
        dropout: None,
        learning: Learning::Off,
    };

    /// Training with dropout.
    pub fn train(dropout: DropoutKey) -> Self {
        Self {
            dropout: Some(dropout),
            learning: Learning::On,
        }
    }

    /// Training without dropout.
    pub fn train_without_dropout() -> Self {
        Self {
            dropout: None,
            learning: Learning::On,
        }
    }

    /// Whether parameters learn.
    pub fn is_learning(&self) -> bool {
        self.learning == Learning::On
    }
}

thread_local! {
    static INPUTS_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Whether an operation recorded with `learning` adds gradients to its parameters in the backward
/// pass that this thread is running.
pub(crate) fn learns(learning: bool) -> bool {
    learning && !INPUTS_ONLY.get()
}

/// Runs a backward pass that leaves all parameters alone, whatever the forward pass was for.
pub(crate) fn inputs_only<R>(backward: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            INPUTS_ONLY.set(self.0);
        }
    }
    let _restore = Restore(INPUTS_ONLY.replace(true));
    backward()
}
