//! Least times of what replicas exchange: gathers of parameters, reductions of gradients, and what
//! of them no computation can hide ([`crate::lower::streams`]).

use crate::graph::Collective;
use crate::lower::{BlockTimes, Prices, StageSettings};
use crate::plan::OptimizerSharding;
use crate::sharding::Group;
use crate::units::{Bytes, SimTime};

/// Least times of a collective for each block of a model.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Each {
    pub layer: SimTime,
    pub embedding: SimTime,
    pub head: SimTime,
}

impl Each {
    /// So many layers, with embedding and head where they are there.
    pub(crate) fn of(&self, layers: u64, embedding: bool, head: bool) -> SimTime {
        let there = |block: SimTime, there: bool| if there { block } else { SimTime::ZERO };
        self.layer * layers + there(self.embedding, embedding) + there(self.head, head)
    }
}

/// Choices for the blocks of a model: embedding, layer, head.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub embedding: &'a [BlockTimes],
    pub layer: &'a [BlockTimes],
    pub head: &'a [BlockTimes],
}

/// What replicas exchange, however the blocks are sharded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Communication {
    /// Reduction of gradients.
    pub reduce: Each,
    /// Gathering of parameters: in every pass under ZeRO-3, else before the first forward pass, where
    /// the stack hides it there.
    pub gather: Each,
    /// Gathers and reductions run beside computation, by pass: forward, backward.
    pub beside: [bool; 2],
    /// Slowdown of computation beside a collective.
    pub contention: f64,
}

impl Communication {
    /// Prices it for a model of `num_layers` layers; nothing where there is one replica.
    pub(crate) fn new(
        blocks: Blocks<'_>,
        num_layers: u64,
        prices: &dyn Prices,
        shape: &StageSettings,
    ) -> Communication {
        if shape.replicas == 1 {
            return Communication::default();
        }
        let sharding = shape.sharding;
        let always = sharding >= OptimizerSharding::Zero2;
        let any = shape.overlap_reduce || shape.overlap_gather;
        let mut communication = Communication {
            reduce: reductions(blocks, num_layers, prices, shape),
            gather: Each::default(),
            beside: if always { [any, any] } else { [true, shape.overlap_reduce] },
            contention: shape.contention,
        };
        let gathers = match sharding {
            OptimizerSharding::None => false,
            OptimizerSharding::Zero1 | OptimizerSharding::Zero2 => shape.overlap_gather,
            OptimizerSharding::Zero3 => true,
        };
        if gathers {
            let all = sharding == OptimizerSharding::Zero3;
            let of: fn(&BlockTimes) -> u64 = if all { held } else { BlockTimes::trained };
            let gather = |blocks: &[BlockTimes]| gather(fewest(blocks, of), prices, shape);
            communication.gather = Each {
                layer: gather(blocks.layer),
                embedding: gather(blocks.embedding),
                head: gather(blocks.head),
            };
        }
        communication
    }

    /// Least time of a pass of `computation` with `communication`, on two streams or in order.
    pub(crate) fn pass(
        &self,
        computation: SimTime,
        communication: SimTime,
        beside: bool,
    ) -> SimTime {
        if !beside {
            return computation + communication;
        }
        (computation + self.slowed(computation, communication)).max(communication)
    }

    /// What collectives beside a computation add to it.
    pub(crate) fn slowed(&self, computation: SimTime, communication: SimTime) -> SimTime {
        let both = computation.min(communication).picos() as f64;
        // A hair below, so that rounding never lifts the bound over the truth.
        SimTime::from_picos((both * self.contention * (1.0 - 1e-9)) as u64)
    }
}

/// Time to gather so many elements.
pub(crate) fn gather(elements: u64, prices: &dyn Prices, shape: &StageSettings) -> SimTime {
    if elements == 0 {
        return SimTime::ZERO;
    }
    let bytes = Bytes::new(elements) * shape.parameter_bytes;
    prices.collective(Collective::AllGather, bytes, Group::Data)
}

/// The price of a bucket grows no faster than its size, so the rate of the largest bucket that any
/// plan may have is the least.
fn reductions(
    blocks: Blocks<'_>,
    num_layers: u64,
    prices: &dyn Prices,
    shape: &StageSettings,
) -> Each {
    let collective = match shape.sharding {
        OptimizerSharding::None => Collective::AllReduce,
        _ => Collective::ReduceScatter,
    };
    let most = |blocks: &[BlockTimes]| blocks.iter().map(BlockTimes::trained).max().unwrap_or(0);
    let [embedding, layer, head] = [blocks.embedding, blocks.layer, blocks.head].map(most);
    let all = embedding + layer * num_layers + head;
    let largest = (shape.bucket_elements + embedding.max(layer).max(head)).min(all).max(1);
    let bytes = Bytes::new(largest) * shape.gradient_bytes;
    let bucket = prices.collective(collective, bytes, Group::Data).picos() as f64;
    let rate = bucket / largest as f64 * (1.0 - 1e-9);
    let reduce = |blocks: &[BlockTimes]| {
        let elements = fewest(blocks, BlockTimes::trained);
        SimTime::from_picos((rate * elements as f64) as u64)
    };
    Each {
        layer: reduce(blocks.layer),
        embedding: reduce(blocks.embedding),
        head: reduce(blocks.head),
    }
}

/// Parameter elements of a block.
pub(crate) fn held(block: &BlockTimes) -> u64 {
    block.parameters
}

/// The least that any of these blocks has.
pub(crate) fn fewest(blocks: &[BlockTimes], of: fn(&BlockTimes) -> u64) -> u64 {
    blocks.iter().map(of).min().unwrap_or(0)
}
