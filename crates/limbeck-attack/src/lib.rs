//! Adversarial attacks on text classifiers: `TextAttack`'s four parts with its couplings made arguments.
//!
//! An [`Attack`] is a [`Goal`] (what counts as success), an [`EditSpace`](limbeck_text::EditSpace) (which texts may follow a
//! text), a [`SearchConfig`] (in which order they are tried) and limits. It sees the model only through an [`Oracle`], which
//! counts every question. [`run`] attacks a whole data set: hundreds of examples at once, each on a thread of its own, their
//! questions answered in large batches. No result depends on the number of threads, on the batches or on the order.
//!
//! No tensors here: a [`Victim`] may be a model, several, an endpoint on the network or a stub.

mod attack;
mod calibration;
mod config;
mod error;
mod goal;
mod oracle;
mod pool;
mod pooled_models;
pub mod recipes;
mod rng;
mod run;
mod search;
mod victim;
mod worklist;

pub use attack::{Attack, AttackResult, Outcome, StopReason};
pub use calibration::{Calibration, CalibrationConfig, calibrate, single_edits};
pub use config::{AttackConfig, Cost};
pub use error::AttackError;
pub use goal::Goal;
pub use oracle::{Limits, Oracle, Scored};
pub use pool::Pool;
pub use pooled_models::{PooledEmbedder, PooledMaskedLm};
pub use rng::example_rng;
pub use run::{Case, Event, RunConfig, run};
pub use search::{
    BeamConfig, Importance, Neighbourhood, SearchConfig, SearchMethod, WirConfig, WirScope,
    WordGradients,
};
pub use victim::{Average, ClassifierVictim, Distribution, Ensemble, Victim};
pub use worklist::Worklist;
