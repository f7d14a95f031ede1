//! Lower bounds on all candidates of (t, p, d) together.

use crate::lower::{BlockTimes, Candidate};
use crate::plan::OptimizerSharding;
use crate::planner::bounds::communication::{Blocks, Communication, fewest, gather, held};
use crate::planner::job::costs::{BlockSet, Costs};
use crate::planner::space::{Space, Ways};
use crate::spec::ScheduleKind;
use crate::units::SimTime;
use std::collections::BTreeMap;

/// The least of all block choices on t tensor-parallel ranks, over micro-batch sizes and sequence
/// parallelism.
#[derive(Debug, Clone)]
pub(crate) struct TensorRates {
    /// Least time of one sequence through one layer, in picoseconds: forward, backward, both.
    passes: [f64; 3],
    /// Choices that have the fewest and the most parameters: embedding, layer, head on its own stage
    /// and beside the embedding. They have no times.
    extremes: [Vec<BlockTimes>; 4],
}

impl TensorRates {
    /// Nothing is known: all bounds are zero.
    pub(crate) fn none() -> TensorRates {
        TensorRates { passes: [0.0; 3], extremes: Default::default() }
    }

    /// Of one set of choices, for micro-batches of `micro_batch` sequences.
    pub(crate) fn of(set: &BlockSet, micro_batch: u64) -> TensorRates {
        let rate = |time: fn(&BlockTimes) -> SimTime| {
            let least = set.layer.iter().map(|layer| time(layer).picos()).min().unwrap_or(0);
            least as f64 / micro_batch as f64
        };
        let kinds = [&set.embedding, &set.layer, &set.head, &set.head_beside_embedding];
        TensorRates {
            passes: [
                rate(|layer| layer.forward),
                rate(|layer| layer.backward),
                rate(|layer| layer.forward + layer.backward),
            ],
            extremes: kinds.map(|blocks| extremes(blocks)),
        }
    }

    /// The least of both.
    pub(crate) fn or(mut self, other: TensorRates) -> TensorRates {
        for (rate, other) in self.passes.iter_mut().zip(other.passes) {
            *rate = rate.min(other);
        }
        for (blocks, other) in self.extremes.iter_mut().zip(other.extremes) {
            blocks.extend(other);
            *blocks = extremes(blocks);
        }
        self
    }

    /// No plan of `ways` is faster: its fullest stage computes at least its share of all layers.
    pub(crate) fn computation(&self, space: &Space, ways: Ways) -> SimTime {
        self.time(space, ways, 2)
    }

    /// Least time of a kind of pass of the fullest stage, all micro-batches together.
    fn time(&self, space: &Space, ways: Ways, kind: usize) -> SimTime {
        let sequences = space.global_batch as f64 / ways.data as f64;
        let layers = space.num_layers.div_ceil(ways.pipeline) as f64;
        // A hair below, so that rounding never lifts the bound over the truth.
        SimTime::from_picos((sequences * layers * self.passes[kind] * (1.0 - 1e-9)) as u64)
    }

    /// No plan of `ways` is faster: besides, gradients are reduced and parameters gathered, hidden
    /// under one kind of pass at most; then the optimizer runs.
    pub(crate) fn whole(&self, space: &Space, ways: Ways, costs: &dyn Costs) -> SimTime {
        let shardings = space.shardings(ways.data).into_iter();
        shardings
            .map(|sharding| self.with_sharding(space, ways, costs, sharding))
            .min()
            .unwrap_or(SimTime::ZERO)
    }

    fn with_sharding(
        &self,
        space: &Space,
        ways: Ways,
        costs: &dyn Costs,
        sharding: OptimizerSharding,
    ) -> SimTime {
        let candidate = Candidate {
            tensor: ways.tensor,
            pipeline: ways.pipeline,
            data: ways.data,
            context: 1,
            micro_batch: 1,
            chunks: 1,
            micro_batches: space.global_batch / ways.data,
            schedule: ScheduleKind::OneFOneB,
            sequence_parallel: false,
            sharding,
        };
        let (shape, prices) = (costs.shape(&candidate), costs.prices(&candidate));
        let [embedding, layer, heads @ ..] = &self.extremes;
        let head = &heads[usize::from(ways.pipeline == 1)];
        let blocks = Blocks { embedding, layer, head };
        let communication = Communication::new(blocks, space.num_layers, prices.as_ref(), &shape);
        let alone = ways.pipeline == 1;
        let layers = space.num_layers.div_ceil(ways.pipeline);
        let reduce = communication.reduce.of(layers, alone, alone);
        let [forward, backward, both] = [0, 1, 2].map(|kind| self.time(space, ways, kind));
        let passes = match sharding {
            OptimizerSharding::Zero3 => {
                both.max(communication.gather.layer * (2 * layers) + reduce)
            }
            _ => {
                let gather = communication.gather.of(layers, true, true);
                let gather = if alone { gather } else { SimTime::ZERO };
                both.max(forward.max(gather) + reduce).max(gather + backward)
            }
        };
        let trained = fewest(layer, BlockTimes::trained) * space.num_layers
            + fewest(embedding, BlockTimes::trained)
            + fewest(head, BlockTimes::trained);
        let stage = trained / ways.pipeline;
        let sharded = sharding != OptimizerSharding::None;
        let share = if sharded { stage / shape.replicas } else { stage };
        let mut after = prices.optimizer_step(share) + shape.step_overhead;
        let gathers = matches!(sharding, OptimizerSharding::Zero1 | OptimizerSharding::Zero2);
        if gathers && shape.replicas > 1 && !shape.overlap_gather {
            after += gather(stage, prices.as_ref(), &shape);
        }
        passes + after + costs.links(&candidate).gradient_norm
    }
}

/// Two choices that have the fewest and the most of what decides communication.
fn extremes(blocks: &[BlockTimes]) -> Vec<BlockTimes> {
    if blocks.is_empty() {
        return Vec::new();
    }
    let most = |of: fn(&BlockTimes) -> u64| blocks.iter().map(of).max().unwrap_or(0);
    let choice = |parameters: u64, trained: u64| BlockTimes {
        parameters,
        frozen: parameters.saturating_sub(trained),
        ..BlockTimes::default()
    };
    vec![
        choice(fewest(blocks, held), fewest(blocks, BlockTimes::trained)),
        choice(most(held), most(BlockTimes::trained)),
    ]
}

/// The least of each number of tensor-parallel ways.
pub(crate) type Rates = BTreeMap<u64, TensorRates>;
