//! One rank: its state, and the actions of its program.

use super::comm::Ranks;
use super::data::{DataShape, StepData};
use super::ops::Env;
use super::passes::Saved;
use super::record::Recorder;
use super::state::{BlockState, StateOptions};
use crate::executor::error::Result;
use crate::lower::{Program, Step};
use crate::mesh::Coordinates;
use crate::plan::OptimizerSharding;
use crate::spec::Optimizer;
use lmplan_c10d::Sending;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// The groups of a rank beside the tensor-parallel one.
#[derive(Debug)]
pub struct Groups {
    /// Replicas of this rank.
    pub data: Ranks,
    /// The ranks that share the token embedding's table with this one.
    pub tied: Ranks,
    /// All ranks.
    pub world: Ranks,
}

/// Something that is done in 16 bits, or as if numbers had their range, and must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum In16Bits {
    /// Gradients are kept in 16 bits from one micro-batch to the next.
    Accumulate,
    /// Gradients are sent to the replicas in 16 bits.
    Reduce,
    /// The master copy of the parameters is kept in 16 bits: small updates are lost.
    Master,
    /// The optimizer reads gradients that are still multiplied by the loss scale.
    Scale,
}

/// What one iteration gave on this rank.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Iteration {
    /// This rank's share of the loss; the sum over all ranks is the loss.
    pub loss: f64,
    /// Norm of all gradients.
    pub gradient_norm: f64,
    /// Whether the step was left out, for gradients that are not finite.
    pub skipped: bool,
}

/// A rank at work.
#[derive(Debug)]
pub struct Rank {
    /// What it executes.
    pub program: Program,
    /// What its operators share.
    pub env: Env,
    /// Its other groups.
    pub groups: Groups,
    /// Where it sits.
    pub seat: Coordinates,
    /// Its blocks, by chunk.
    pub blocks: Vec<Vec<BlockState>>,
    /// How long things took.
    pub recorder: Recorder,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// The head reads the embedding's own table.
    pub(super) shared_table: bool,
    pub(super) data: DataShape,
    /// Data of a run that is timed: the same in each step, so that none is made while time counts.
    pub(super) kept_data: Option<StepData>,
    pub(super) steps: u64,
    pub(super) inbox: BTreeMap<Step, Tensor>,
    pub(super) outbox: BTreeMap<Step, Tensor>,
    pub(super) saved: BTreeMap<(u32, u32), Vec<Saved>>,
    pub(super) sending: Vec<Sending>,
    /// What goes wrong on purpose.
    pub(crate) fault: Option<In16Bits>,
}

/// What a rank is made from.
#[derive(Debug)]
pub struct RankSetup {
    /// What it executes.
    pub program: Program,
    /// What its operators share.
    pub env: Env,
    /// Its other groups.
    pub groups: Groups,
    /// Where it sits.
    pub seat: Coordinates,
    /// Sizes of the data.
    pub data: DataShape,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// Parameters are drawn at local shapes.
    pub at_true_size: bool,
    /// Instructions are timed.
    pub timed: bool,
}

impl Rank {
    /// A rank before its first step.
    ///
    /// # Errors
    /// A GPU that can not be used.
    pub fn new(setup: RankSetup) -> Result<Rank> {
        lmplan_c10d::warm_up(setup.env.device)?;
        let RankSetup { program, env, groups, seat, data, optimizer, at_true_size, timed } = setup;
        let replicated = program.replicas == 1;
        let splits = |from| !replicated && program.sharding >= from;
        let options = StateOptions {
            replica: (seat.data as i64, program.replicas as i64),
            split_states: splits(OptimizerSharding::Zero1),
            split_gradients: splits(OptimizerSharding::Zero2),
            split_parameters: splits(OptimizerSharding::Zero3),
            tensor: (seat.tensor as i64, program.tensor),
            shared_table: program.pipeline.stages == 1
                && !splits(OptimizerSharding::Zero2)
                && program.tables_agree(true),
            kind: env.kind,
            wide: env.wide,
            device: env.device,
            seed: data.seed,
        };
        let state = |placed: &crate::lower::Placed| {
            BlockState::new(*placed, program.block(placed.kind), &options, at_true_size)
        };
        let blocks: Vec<Vec<BlockState>> =
            program.chunks.iter().map(|chunk| chunk.iter().map(state).collect()).collect();
        let recorder = Recorder::new(env.device, timed);
        Ok(Rank {
            program,
            env,
            groups,
            seat,
            blocks,
            shared_table: options.shared_table,
            recorder,
            optimizer,
            data,
            kept_data: None,
            steps: 0,
            inbox: BTreeMap::new(),
            outbox: BTreeMap::new(),
            saved: BTreeMap::new(),
            sending: Vec::new(),
            fault: None,
        })
    }

    /// Optimizer steps so far.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Has the next iteration be that of the step after so many others.
    pub(crate) const fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}
