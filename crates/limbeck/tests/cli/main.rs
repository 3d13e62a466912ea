//! The program as its user meets it: commands on tiny models, in a folder of their own.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod attack;
mod augment;
mod errors;
mod files;
mod gan_bert;
mod place;
mod pretrain;
mod resources;
mod resume;
mod runs;
mod study;
mod transfer;
mod vectors;
