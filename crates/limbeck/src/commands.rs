//! One module for each command.

pub(crate) mod attack;
pub(crate) mod augment;
pub(crate) mod calibrate;
pub(crate) mod evaluate;
pub(crate) mod init;
pub(crate) mod inputs;
pub(crate) mod predict;
pub(crate) mod pretrain;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod resources;
pub(crate) mod run;
pub(crate) mod scores;
pub(crate) mod search;
pub(crate) mod study;
pub(crate) mod teachers;
pub(crate) mod train;
pub(crate) mod training_set;
pub(crate) mod vectors;
