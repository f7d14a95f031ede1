//! What ranks say and answer, as JSON lines.

use super::failure::Failure;
use crate::executor::run::gauge::Reading;
use crate::executor::run::record::{Beside, Ran};
use crate::executor::run::timed::Timed;
use crate::graph::{Collective, Kernel};
use serde::{Deserialize, Serialize};

/// What a rank answers, one line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// It is alive.
    Alive,
    /// It failed, and why.
    Failed(Failure),
    /// It is done.
    Done(Box<RankResult>),
}

/// The result of a rank.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RankResult {
    /// How far this rank is from one device, by precision.
    pub compared: Vec<Compared>,
    /// Seconds of each iteration.
    pub iterations_s: Vec<f64>,
    /// Most bytes that tensors took.
    pub peak_bytes: u64,
    /// Most bytes that the allocator held for them, with what was free in between.
    #[serde(default)]
    pub reserved_bytes: u64,
    /// Bytes that libraries kept beside tensors.
    #[serde(default)]
    pub library_bytes: u64,
    /// Bytes that tensors took before the first iteration.
    pub state_bytes: u64,
    /// Seconds by instruction.
    pub times: Vec<Timed>,
    /// Seconds of what runs beside the blocks, each time.
    pub beside: Vec<(Beside, Vec<f64>)>,
    /// The actions of the last iteration.
    pub actions: Vec<Ran>,
    /// Collectives with their bytes and seconds.
    pub collectives: Vec<(Collective, u64, f64)>,
    /// Bytes and seconds of messages from one rank to another.
    pub messages: Vec<(u64, f64)>,
    /// Bandwidth and speed of products of one of all ranks at once.
    pub shared: Option<[f64; 2]>,
    /// How fast the machine was before each step; in calibration, while all ranks were busy.
    pub pace: Vec<Reading>,
    /// How fast it was while one rank was busy.
    pub pace_alone: Vec<Reading>,
    /// Kernels with their times.
    pub kernels: Vec<Sample>,
}

/// How far a rank is from one device.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// By step: this rank's share of the loss; the loss of one device, and that in 64 bits.
    pub losses: Vec<[f64; 3]>,
    /// By parameter: how far gradients are off, in 32 bits relative, in 16 in errors of one device.
    pub gradients: Vec<(String, f64)>,
    /// By what is held against the same sum in 64 bits: relative error.
    pub sums: Vec<(String, f64)>,
    /// By parameter: relative error of its update.
    pub updates: Vec<(String, f64)>,
}

/// Seconds of a kernel, one entry for each time that it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What ran.
    pub kernel: Kernel,
    /// While the other ranks waited.
    pub alone_s: Vec<f64>,
    /// While all were busy.
    pub busy_s: Vec<f64>,
}
