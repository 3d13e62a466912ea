//! Training as a whole: against PyTorch, and what stops, threads and stores must not change.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod adversarial;
mod common;
mod gan_bert;
mod min_max;
mod training;
mod transfer;
mod word_gradients;
