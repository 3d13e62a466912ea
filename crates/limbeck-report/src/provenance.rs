use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Input, Timestamp};

/// Where a run came from: `provenance.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The program's version.
    pub version: String,
    /// The commit the program was built from; `None` where the build did not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The program and its arguments.
    pub command_line: Vec<String>,
    /// The seed all randomness came from.
    pub seed: u64,
    /// The device that computed, as a person would name it.
    pub device: String,
    /// Threads used for computing.
    pub threads: usize,
    /// Every file or folder read, by the part it plays (`teacher`, `train`, ..).
    pub inputs: BTreeMap<String, Input>,
    /// When the run began.
    pub started: Timestamp,
    /// When and how it was continued after an interruption, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Resumption>,
}

/// One continuation of an interrupted run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumption {
    /// When it began.
    pub started: Timestamp,
    /// The program's version then.
    pub version: String,
    /// The program and its arguments then.
    pub command_line: Vec<String>,
}
