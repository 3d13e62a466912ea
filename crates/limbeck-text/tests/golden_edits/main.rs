//! Transformations, constraints and augmenters against cases made by running `TextAttack`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod augment;
#[path = "../golden/mod.rs"]
mod golden;
mod transform;
mod words;
