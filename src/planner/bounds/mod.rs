//! Lower bounds on the iteration time of every plan of a candidate, from single paths through its
//! pipeline, in well under a microsecond each.
//!
//! Notation: f, b forward and backward time of a layer without recomputation; W = L (f + b) +
//! embedding + head; R = W plus the transfers of one round trip; m micro-batches, p stages; n* the
//! layers of the fullest stage, at least ⌈L/p⌉.

pub mod memory;

use crate::graph::Collective;
use crate::lower::Candidate;
use crate::lower::{BlockTimes, Links, MemoryModel, Prices, StageSettings};
use crate::plan::OptimizerSharding;
use crate::planner::job::costs::BlockSet;
use crate::planner::space::{Space, Ways};
use crate::sharding::Group;
use crate::spec::ScheduleKind;
use crate::units::{Bytes, SimTime};

/// What bounds need of a candidate's links and blocks.
pub struct BoundInput<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// Layers of the model (L).
    pub num_layers: u64,
    /// Block choices.
    pub blocks: &'a BlockSet,
    /// What decides memory.
    pub memory: MemoryModel,
    /// What follows the pipeline in every plan: the norm of the gradients and the optimizer step
    /// of the fullest stage, which holds at least its share of the parameters.
    pub after_pipeline: SimTime,
    /// Transfers from the first stage to the last.
    transfers: SimTime,
    /// Least time to gather a layer's parameters, where every pass does so.
    gather: SimTime,
    /// Least time to reduce a layer's gradients.
    reduce: SimTime,
    /// Least time of embedding and head.
    embedding: SimTime,
    head: SimTime,
    /// Least time to reduce the embedding's gradients.
    embedding_reduce: SimTime,
}

/// Times of a layer and of the ends, with what sharding adds to every pass.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub forward: SimTime,
    pub backward: SimTime,
    pub embedding: SimTime,
    pub head: SimTime,
}

impl Work {
    fn layer(&self) -> SimTime {
        self.forward + self.backward
    }
}

fn both(block: &BlockTimes) -> SimTime {
    block.forward + block.backward
}

fn least(blocks: &[BlockTimes], value: impl Fn(&BlockTimes) -> SimTime) -> SimTime {
    blocks.iter().map(value).min().unwrap_or(SimTime::ZERO)
}

/// No plan of `ways` is faster: its fullest stage computes at least its share of all layers.
///
/// `rate` is the least time of one sequence through one layer, forward and backward, over all
/// micro-batch sizes, in picoseconds.
pub fn ways_bound(space: &Space, ways: Ways, rate: f64) -> SimTime {
    let sequences = space.global_batch as f64 / ways.data as f64;
    let layers = space.num_layers as f64 / ways.pipeline as f64;
    // A hair below, so that rounding never lifts the bound over the truth.
    SimTime::from_picos((sequences * layers * rate * (1.0 - 1e-9)) as u64)
}

impl<'a> BoundInput<'a> {
    /// Prices what all bounds of a candidate share.
    pub fn new(
        candidate: &'a Candidate,
        num_layers: u64,
        blocks: &'a BlockSet,
        links: &Links,
        prices: &dyn Prices,
        shape: &StageSettings,
        memory: MemoryModel,
    ) -> BoundInput<'a> {
        let heads = blocks.heads(candidate.pipeline);
        let mut input = BoundInput {
            candidate,
            num_layers,
            blocks,
            memory,
            after_pipeline: SimTime::ZERO,
            transfers: links.hops.iter().take(candidate.pipeline as usize - 1).copied().sum(),
            gather: SimTime::ZERO,
            reduce: SimTime::ZERO,
            embedding: least(&blocks.embedding, both),
            head: least(heads, both),
            embedding_reduce: SimTime::ZERO,
        };
        let stage = input.least_elements(BlockTimes::trained) / candidate.pipeline;
        let sharded = candidate.sharding != OptimizerSharding::None;
        let share = if sharded { stage / candidate.replicas() } else { stage };
        input.after_pipeline = links.gradient_norm + prices.optimizer_step(share);
        if candidate.replicas() > 1 {
            input.price_communication(prices, shape);
        }
        input
    }

    fn price_communication(&mut self, prices: &dyn Prices, shape: &StageSettings) {
        let elements = fewest(&self.blocks.layer, held);
        if self.candidate.sharding == OptimizerSharding::Zero3 {
            let bytes = Bytes::new(elements) * shape.parameter_bytes;
            self.gather = prices.collective(Collective::AllGather, bytes, Group::Data);
        }
        // The price of a bucket grows no faster than its size, so the rate of the largest bucket
        // that any plan may have is the least.
        let collective = match self.candidate.sharding {
            OptimizerSharding::None => Collective::AllReduce,
            _ => Collective::ReduceScatter,
        };
        let heads = self.blocks.heads(self.candidate.pipeline);
        let most =
            |blocks: &[BlockTimes]| blocks.iter().map(BlockTimes::trained).max().unwrap_or(0);
        let [embedding, layer, head] =
            [&self.blocks.embedding[..], &self.blocks.layer, heads].map(most);
        let all = embedding + layer * self.num_layers + head;
        let largest = (shape.bucket_elements + embedding.max(layer).max(head)).min(all).max(1);
        let bytes = Bytes::new(largest) * shape.gradient_bytes;
        let bucket = prices.collective(collective, bytes, Group::Data).picos() as f64;
        let rate = bucket / largest as f64 * (1.0 - 1e-9);
        let elements = fewest(&self.blocks.layer, BlockTimes::trained);
        self.reduce = SimTime::from_picos((rate * elements as f64) as u64);
        let embedding = fewest(&self.blocks.embedding, BlockTimes::trained);
        self.embedding_reduce = SimTime::from_picos((rate * embedding as f64) as u64);
    }

    /// No plan of the candidate with this sharding of its layers is faster.
    pub fn layer_bound(&self, layer: &BlockTimes) -> SimTime {
        let work = self.work(layer);
        let pipeline = match self.candidate.schedule {
            ScheduleKind::OneFOneB => self.one_f_one_b(&work),
            ScheduleKind::Gpipe if self.candidate.pipeline == 1 => self.one_f_one_b(&work),
            ScheduleKind::Gpipe => self.gpipe(&work),
            ScheduleKind::Interleaved => self.interleaved(&work),
        };
        pipeline + self.after_pipeline
    }

    /// No plan of the candidate is faster; the end of time where none fits.
    pub fn bound(&self) -> SimTime {
        if self.state_does_not_fit() {
            return SimTime::MAX;
        }
        let layers = self.blocks.fastest.iter().map(|i| &self.blocks.layer[*i]);
        layers.map(|layer| self.layer_bound(layer)).min().unwrap_or(SimTime::MAX)
    }

    /// Forward and backward of all blocks and transfers once (R), for a sharding of the layers.
    pub fn round(&self, layer: &BlockTimes) -> SimTime {
        self.round_trip(&self.work(layer))
    }

    /// The least times of a layer. Under ZeRO-3 every pass gathers the layer's parameters, under
    /// ZeRO-2 and 3 every backward pass reduces its gradients; communication and computation run
    /// beside each other, so a pass takes at least the longer of the two. Where communication is
    /// longer, the computation of embedding and head may hide under it and counts for nothing.
    pub(crate) fn work(&self, layer: &BlockTimes) -> Work {
        let mut work = Work {
            forward: layer.forward,
            backward: layer.backward,
            embedding: self.embedding,
            head: self.head,
        };
        if self.candidate.replicas() == 1 || self.candidate.sharding < OptimizerSharding::Zero2 {
            return work;
        }
        let communication = self.gather + self.reduce;
        if self.gather > work.forward || communication > work.backward {
            (work.embedding, work.head) = (SimTime::ZERO, SimTime::ZERO);
        }
        work.forward = work.forward.max(self.gather);
        work.backward = work.backward.max(communication);
        work
    }

    /// Least time for which the reduction of a chunk of `layers` layers outlasts its last backward
    /// pass, which takes `backward`: gradients that are reduced once are reduced beside or after
    /// that pass.
    pub(crate) fn least_tail(&self, layers: u64, backward: SimTime, first: bool) -> SimTime {
        if self.candidate.replicas() == 1 || self.candidate.sharding >= OptimizerSharding::Zero2 {
            return SimTime::ZERO;
        }
        let embedding = if first { self.embedding_reduce } else { SimTime::ZERO };
        (self.reduce * layers + embedding).saturating_sub(backward)
    }

    /// Whether the states of the fullest stage, which holds at least its share of the parameters,
    /// are more than a device holds.
    fn state_does_not_fit(&self) -> bool {
        let all = self.least_elements(held) / self.candidate.pipeline;
        let trained = self.least_elements(BlockTimes::trained) / self.candidate.pipeline;
        let [parameter, gradient, optimizer] = self.memory.state;
        let share = |elements: u64, bytes: u64, from: OptimizerSharding| {
            let whole = u128::from(elements) * u128::from(bytes);
            if self.candidate.sharding >= from {
                whole / u128::from(self.candidate.replicas())
            } else {
                whole
            }
        };
        let state = share(all, parameter, OptimizerSharding::Zero3)
            + share(trained, gradient, OptimizerSharding::Zero2)
            + share(trained, optimizer, OptimizerSharding::Zero1);
        state + u128::from(self.memory.fixed.get()) > u128::from(self.memory.capacity.get())
    }

    /// Parameters of the model on one tensor rank, all or those trained, however its blocks are
    /// sharded.
    fn least_elements(&self, of: fn(&BlockTimes) -> u64) -> u64 {
        self.num_layers * fewest(&self.blocks.layer, of)
            + fewest(&self.blocks.embedding, of)
            + fewest(self.blocks.heads(self.candidate.pipeline), of)
    }

    /// All blocks once forward and backward, with the transfers of the round trip (R).
    fn round_trip(&self, work: &Work) -> SimTime {
        work.layer() * self.num_layers + work.embedding + work.head + self.transfers * 2
    }

    /// Paths of 1F1B. After a first round trip, which every plan makes, a path may
    /// 1. stay on the last stage: R + (m - 1) t(p-1);
    /// 2. stay on the fullest stage q, where p - 1 - q forwards have already run:
    ///    R + (m - 1) b(q) + (m - p + q) f(q);
    /// 3. make i more round trips, each of which serves p micro-batches because the first stage
    ///    holds p in flight, then stay on the fullest stage: (i + 1) R + (m - 1 - i p) t(q).
    fn one_f_one_b(&self, work: &Work) -> SimTime {
        let (p, m) = (self.candidate.pipeline, self.candidate.micro_batches);
        let round = self.round_trip(work);
        let fullest = self.num_layers.div_ceil(p);
        if p == 1 {
            return round * m;
        }
        let stage = (work.layer() * fullest).max(work.layer() + work.embedding.max(work.head));
        let mut bound = round + (work.layer() + work.head) * (m - 1);
        let forward = work.forward * fullest * m.saturating_sub(p);
        bound = bound.max(round + work.backward * fullest * (m - 1) + forward);
        let rounds = (m - 1) / p;
        for i in [1, rounds] {
            if i <= rounds && i > 0 {
                bound = bound.max(round * (i + 1) + stage * (m - 1 - i * p));
            }
        }
        bound
    }

    /// Forwards down the pipeline, all on the fullest stage; the same for backwards.
    fn gpipe(&self, work: &Work) -> SimTime {
        let m = self.candidate.micro_batches;
        let fullest = self.num_layers.div_ceil(self.candidate.pipeline);
        self.round_trip(work) + work.layer() * fullest * (m - 1)
    }

    /// A device is busy for all its chunks and micro-batches; the first forward reaches it, and
    /// the last backward leaves it, through the first chunks of the devices before it.
    fn interleaved(&self, work: &Work) -> SimTime {
        let Candidate { pipeline: p, chunks: v, micro_batches: m, .. } = *self.candidate;
        let chunk = work.layer() * (self.num_layers / (p * v));
        let backward = work.backward * (self.num_layers / (p * v)) + work.embedding;
        let tail = self.least_tail(self.num_layers / (p * v), backward, true);
        let first = (chunk * v + work.embedding) * m;
        let last =
            (chunk * v + work.head) * m + chunk * (p - 1) + work.embedding + self.transfers * 2;
        first.max(last) + tail
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
