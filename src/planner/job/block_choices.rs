//! The blocks' shardings as stages see them.

use crate::lower::BlockTimes;
use crate::lower::stage::pass_time;
use crate::planner::block::BlockOption;
use crate::planner::job::costs::BlockSet;
use crate::sharding::PassCost;
use crate::units::SimTime;
use std::sync::Arc;

/// The Pareto-best shardings of the blocks: as the planner sees them, and with their strategies.
#[derive(Debug, Default)]
pub struct BlockChoices {
    /// Times and bytes.
    pub set: Arc<BlockSet>,
    /// The embedding's shardings, in the order of `set`.
    pub embedding: Vec<BlockOption>,
    /// The layer's.
    pub layer: Vec<BlockOption>,
    /// The head's, of its own stage and beside the embedding.
    pub head: [Vec<BlockOption>; 2],
}

/// A block as stages see it. The host launches kernels ahead, but no faster than it can: a pass
/// takes at least its launches.
pub(crate) fn block_times(
    option: &BlockOption,
    launch: SimTime,
    tied_elsewhere: bool,
) -> BlockTimes {
    let backward = pass_time(&option.backward, launch);
    let with = |r: usize| {
        let mut both = option.backward;
        both += &option.recompute[r];
        pass_time(&both, launch).saturating_sub(backward)
    };
    let shared = if tied_elsewhere { 0 } else { option.tied_parameters };
    BlockTimes {
        forward: pass_time(&option.forward, launch),
        backward,
        recompute: [SimTime::ZERO, with(1), with(2)],
        saved: option.saved,
        transient: option.transient,
        parameters: option.parameters.saturating_sub(shared),
        // Tied weights are frozen with the embedding, or nothing is frozen.
        frozen: option.frozen_parameters.saturating_sub(shared),
        tensor_reduced: option.tensor_reduced_parameters,
    }
}

/// Whether `a` is nowhere worse than `b`.
fn dominates(a: &BlockTimes, b: &BlockTimes) -> bool {
    a.forward <= b.forward
        && a.backward <= b.backward
        && a.parameters <= b.parameters
        && a.trained() <= b.trained()
        && a.tensor_reduced <= b.tensor_reduced
        && a.recompute.iter().zip(&b.recompute).all(|(a, b)| a <= b)
        && a.saved.iter().zip(&b.saved).all(|(a, b)| a <= b)
        && a.transient.iter().zip(&b.transient).all(|(a, b)| a <= b)
}

/// The options whose times and bytes no other option beats, fastest first.
pub(crate) fn pareto(
    options: Vec<BlockOption>,
    launch: SimTime,
    tied_elsewhere: bool,
) -> (Vec<BlockTimes>, Vec<BlockOption>) {
    let mut all: Vec<(BlockTimes, BlockOption)> = options
        .into_iter()
        .map(|option| (block_times(&option, launch, tied_elsewhere), option))
        .collect();
    all.sort_by_key(|(times, _)| {
        (times.forward + times.backward, times.saved[0], times.parameters)
    });
    let mut kept: Vec<(BlockTimes, BlockOption)> = Vec::new();
    for (times, option) in all {
        if !kept.iter().any(|(other, _)| dominates(other, &times)) {
            kept.retain(|(other, _)| !dominates(&times, other));
            kept.push((times, option));
        }
    }
    kept.into_iter().unzip()
}

/// Cost of all passes of a block, by part, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassParts {
    /// Kernels, and what the host's launches add to them.
    pub compute: SimTime,
    /// Tensor-parallel collectives.
    pub tensor_parallel: SimTime,
    /// Context-parallel collectives.
    pub context_parallel: SimTime,
    /// Operations executed.
    pub flops: f64,
}

impl PassParts {
    /// Splits the time of a pass into kernels and collectives.
    pub fn of(pass: &PassCost, launch: SimTime) -> PassParts {
        let time = pass_time(pass, launch);
        PassParts {
            compute: time.saturating_sub(pass.tensor_parallel + pass.context_parallel),
            tensor_parallel: pass.tensor_parallel,
            context_parallel: pass.context_parallel,
            flops: pass.flops,
        }
    }

    /// `count` such passes.
    pub fn times(self, count: u64) -> PassParts {
        PassParts {
            compute: self.compute * count,
            tensor_parallel: self.tensor_parallel * count,
            context_parallel: self.context_parallel * count,
            flops: self.flops * count as f64,
        }
    }

    /// Both.
    pub fn plus(self, other: PassParts) -> PassParts {
        PassParts {
            compute: self.compute + other.compute,
            tensor_parallel: self.tensor_parallel + other.tensor_parallel,
            context_parallel: self.context_parallel + other.context_parallel,
            flops: self.flops + other.flops,
        }
    }
}
