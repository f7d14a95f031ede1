//! How an iteration ends: what follows the backward passes, in order.
//!
//! Stated once: programs list it, stages price their part of it, the simulator adds up what waits
//! for other stages, the executor runs it.

use crate::plan::OptimizerSharding;

/// Something that follows the backward passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Sums gradients over the tensor-parallel ranks, where each saw some rows only.
    ReduceOverTensor,
    /// Sums the gradients of the token embedding's table and of the head that shares it, over the
    /// first and the last stage.
    SumTied,
    /// Sums the gradients of each chunk over the replicas, the last chunk first; each replica keeps
    /// its part where they are sharded.
    ReduceOverData,
    /// Norm of all gradients, over all ranks.
    GradientNorm,
    /// Updates the parameters, or this rank's part of them.
    Optimizer,
    /// Collects the updated parts of the parameters.
    GatherParameters,
}

/// What decides how an iteration ends on a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Ranks over which gradients are reduced.
    pub replicas: u64,
    /// What is sharded over them.
    pub sharding: OptimizerSharding,
    /// Whether the stage holds a token table whose gradient another place has a part of.
    pub tied: bool,
}

impl Ending {
    /// All, in order.
    pub const ORDER: [Ending; 6] = [
        Ending::ReduceOverTensor,
        Ending::SumTied,
        Ending::ReduceOverData,
        Ending::GradientNorm,
        Ending::Optimizer,
        Ending::GatherParameters,
    ];

    /// Whether it happens on such a stage.
    pub const fn happens(self, ends: &Ends) -> bool {
        match self {
            Ending::ReduceOverTensor | Ending::GradientNorm | Ending::Optimizer => true,
            Ending::SumTied => ends.tied,
            Ending::ReduceOverData => ends.replicas > 1,
            // Under ZeRO-3 each pass gathers what it needs.
            Ending::GatherParameters => {
                ends.replicas > 1
                    && matches!(ends.sharding, OptimizerSharding::Zero1 | OptimizerSharding::Zero2)
            }
        }
    }

    /// What happens on such a stage, in order.
    pub fn of(ends: Ends) -> impl Iterator<Item = Ending> {
        Ending::ORDER.into_iter().filter(move |ending| ending.happens(&ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rank_reduces_over_nobody() {
        let alone = Ends { replicas: 1, sharding: OptimizerSharding::None, tied: false };
        let expected = [Ending::ReduceOverTensor, Ending::GradientNorm, Ending::Optimizer];
        assert_eq!(Ending::of(alone).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn updated_parts_are_gathered_where_parameters_are_whole() {
        let gathers = |sharding| {
            let ends = Ends { replicas: 4, sharding, tied: true };
            Ending::of(ends).last() == Some(Ending::GatherParameters)
        };
        let all = [
            (OptimizerSharding::None, false),
            (OptimizerSharding::Zero1, true),
            (OptimizerSharding::Zero2, true),
            (OptimizerSharding::Zero3, false),
        ];
        for (sharding, expected) in all {
            assert_eq!(gathers(sharding), expected, "{sharding:?}");
        }
    }
}
