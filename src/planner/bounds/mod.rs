//! Lower bounds on the iteration time of every plan of a candidate, from single paths through its
//! pipeline, in well under a microsecond each.
//!
//! Notation: f, b forward and backward time of a layer without recomputation; W = L (f + b) +
//! embedding + head; R = W plus the transfers of one round trip; m micro-batches, p stages; n* the
//! layers of the fullest stage, at least ⌈L/p⌉.

mod communication;
pub mod memory;
pub(crate) mod ways;

use crate::graph::Collective;
use crate::lower::Candidate;
use crate::lower::{BlockTimes, Links, MemoryModel, Prices, StageSettings};
use crate::plan::OptimizerSharding;
use crate::planner::bounds::communication::{Blocks, Communication, fewest, gather, held};
use crate::planner::job::costs::BlockSet;
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
    pub(crate) blocks: Blocks<'a>,
    /// Layers that no other beats in both forward and backward time.
    fastest: &'a [usize],
    /// What decides memory.
    pub memory: MemoryModel,
    /// What follows the pipeline in every plan: the norm of the gradients and the end of the step on
    /// the fullest stage, which holds at least its share of the parameters.
    pub after_pipeline: SimTime,
    /// Sum of the tied table's gradients, which the first and the last stage wait for.
    pub(crate) tied: SimTime,
    /// Transfers from the first stage to the last.
    transfers: SimTime,
    /// What replicas exchange.
    pub(crate) communication: Communication,
    /// Least times of embedding and head.
    embedding: Least,
    head: Least,
}

/// Least times of a block over its choices: forward and backward may be of different ones.
#[derive(Clone, Copy)]
struct Least {
    forward: SimTime,
    backward: SimTime,
    both: SimTime,
}

impl Least {
    fn of(blocks: &[BlockTimes]) -> Least {
        let least = |value: fn(&BlockTimes) -> SimTime| {
            blocks.iter().map(value).min().unwrap_or(SimTime::ZERO)
        };
        Least {
            forward: least(|block| block.forward),
            backward: least(|block| block.backward),
            both: least(|block| block.forward + block.backward),
        }
    }
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
        let head = blocks.heads(candidate.pipeline);
        let all = Blocks { embedding: &blocks.embedding, layer: &blocks.layer, head };
        let mut input = BoundInput {
            candidate,
            num_layers,
            blocks: all,
            fastest: &blocks.fastest,
            memory,
            after_pipeline: SimTime::ZERO,
            tied: links.tied_reduce,
            transfers: links.hops.iter().take(candidate.pipeline as usize - 1).copied().sum(),
            communication: Communication::default(),
            embedding: Least::of(&blocks.embedding),
            head: Least::of(head),
        };
        input.price(links, prices, shape);
        input
    }

    /// The same where all layers are sharded like `layer`.
    pub fn with_layer(
        &self,
        layer: &'a BlockTimes,
        links: &Links,
        prices: &dyn Prices,
        shape: &StageSettings,
    ) -> BoundInput<'a> {
        let blocks = Blocks { layer: std::slice::from_ref(layer), ..self.blocks };
        let mut input = BoundInput { blocks, ..*self };
        input.price(links, prices, shape);
        input
    }

    /// Prices what depends on how many parameters a layer has.
    fn price(&mut self, links: &Links, prices: &dyn Prices, shape: &StageSettings) {
        self.communication = Communication::new(self.blocks, self.num_layers, prices, shape);
        self.after_pipeline = links.gradient_norm + self.end_of_step(prices, shape);
    }

    /// Least time that the fullest stage, which holds at least its share of the trained parameters,
    /// takes by itself after its backward passes.
    fn end_of_step(&self, prices: &dyn Prices, shape: &StageSettings) -> SimTime {
        let stage = self.least_elements(BlockTimes::trained) / self.candidate.pipeline;
        let sharding = self.candidate.sharding;
        let sharded = sharding != OptimizerSharding::None;
        let share = if sharded { stage / self.candidate.replicas() } else { stage };
        let mut end = prices.optimizer_step(share) + shape.step_overhead;
        // Every stage has a layer.
        let summed = fewest(self.blocks.layer, |layer| layer.tensor_reduced);
        if summed > 0 {
            let bytes = Bytes::new(summed) * shape.gradient_bytes;
            end += prices.collective(Collective::AllReduce, bytes, Group::Tensor);
        }
        let gathers = matches!(sharding, OptimizerSharding::Zero1 | OptimizerSharding::Zero2);
        if gathers && shape.replicas > 1 && !shape.overlap_gather {
            end += gather(stage, prices, shape);
        }
        end
    }

    /// No plan of the candidate whose layers take these times is faster.
    pub fn layer_bound(&self, layer: &BlockTimes) -> SimTime {
        let pipeline = match self.candidate.schedule {
            ScheduleKind::Interleaved => self.interleaved(layer),
            _ if self.candidate.pipeline == 1 => self.one_stage(layer),
            ScheduleKind::OneFOneB => self.one_f_one_b(layer).max(self.fullest_stage(layer)),
            ScheduleKind::Gpipe => self.gpipe(layer).max(self.fullest_stage(layer)),
        };
        pipeline + self.after_pipeline
    }

    /// No plan of the candidate is faster; the end of time where none fits.
    pub fn bound(&self) -> SimTime {
        if self.state_does_not_fit() {
            return SimTime::MAX;
        }
        let layers = self.fastest.iter().map(|i| &self.blocks.layer[*i]);
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
            embedding: self.embedding.both,
            head: self.head.both,
        };
        if self.candidate.replicas() == 1 || self.candidate.sharding < OptimizerSharding::Zero2 {
            return work;
        }
        let gather = self.gather_always();
        let communication = gather + self.communication.reduce.layer;
        if gather > work.forward || communication > work.backward {
            (work.embedding, work.head) = (SimTime::ZERO, SimTime::ZERO);
        }
        work.forward = work.forward.max(gather);
        work.backward = work.backward.max(communication);
        work
    }

    /// Least time to gather a layer's parameters, where every pass does so.
    fn gather_always(&self) -> SimTime {
        match self.candidate.sharding {
            OptimizerSharding::Zero3 => self.communication.gather.layer,
            _ => SimTime::ZERO,
        }
    }

    /// Least time that the reduction of a chunk of `layers` layers adds to its last backward pass:
    /// gradients that are reduced once are reduced beside that pass, which they slow, or after it.
    /// Its layers take at least `backward`, all of it is counted as `counted`. `ends` say whether it
    /// holds the embedding and the head.
    pub(crate) fn least_tail(
        &self,
        layers: u64,
        backward: SimTime,
        counted: SimTime,
        ends: (bool, bool),
    ) -> SimTime {
        if self.candidate.replicas() == 1 || self.candidate.sharding >= OptimizerSharding::Zero2 {
            return SimTime::ZERO;
        }
        let communication = &self.communication;
        let reduce = communication.reduce.of(layers, ends.0, ends.1);
        if !communication.beside[1] {
            return reduce;
        }
        communication.slowed(backward, reduce).max(reduce.saturating_sub(counted))
    }

    /// Least time for which the gathering of updated parameters outlasts the very first forward
    /// pass, of a chunk with the embedding and `layers` layers: nothing comes before it. `counted` is
    /// what that pass is known to take.
    pub(crate) fn late_start(&self, layers: u64, counted: SimTime) -> SimTime {
        if self.candidate.replicas() == 1 || self.candidate.sharding == OptimizerSharding::Zero3 {
            return SimTime::ZERO;
        }
        self.communication.gather.of(layers, true, false).saturating_sub(counted)
    }

    /// The same where the first stage may have any number of layers and `work` is counted.
    pub(crate) fn least_late_start(&self, work: &Work) -> SimTime {
        let most = self.num_layers + 1 - self.candidate.pipeline;
        let late = |n: u64| self.late_start(n, work.forward * n + self.embedding_forward(work));
        late(1).min(late(most))
    }

    /// The forward part of what `work` counts for the embedding, at most.
    pub(crate) fn embedding_forward(&self, work: &Work) -> SimTime {
        work.embedding.saturating_sub(self.embedding.backward)
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
        self.num_layers * fewest(self.blocks.layer, of)
            + fewest(self.blocks.embedding, of)
            + fewest(self.blocks.head, of)
    }

    /// All blocks once forward and backward, with the transfers of the round trip (R).
    fn round_trip(&self, work: &Work) -> SimTime {
        work.layer() * self.num_layers + work.embedding + work.head + self.transfers * 2
    }

    /// One stage runs everything: each micro-batch forward and backward, the first forward with the
    /// gathers and the last backward with the reductions that the others do not have.
    fn one_stage(&self, layer: &BlockTimes) -> SimTime {
        let (l, m) = (self.num_layers, self.candidate.micro_batches);
        let (embedding, head) = (&self.embedding, &self.head);
        let forward = layer.forward * l + embedding.forward + head.forward;
        let backward = layer.backward * l + embedding.backward + head.backward;
        let both = (layer.forward + layer.backward) * l + embedding.both + head.both;
        if self.candidate.replicas() == 1 {
            return both * m;
        }
        let communication = &self.communication;
        let gather = communication.gather.of(l, true, true);
        let reduce = communication.reduce.of(l, true, true);
        let pair = |gather: SimTime, reduce: SimTime| {
            let [beside_forward, beside_backward] = communication.beside;
            let first = communication.pass(forward, gather, beside_forward);
            let second = communication.pass(backward, reduce, beside_backward);
            // What collectives add to a pass is more the longer it takes.
            let added = |pass: SimTime, other: SimTime, beside: bool| {
                if beside { communication.slowed(pass, other) } else { other }
            };
            let added =
                added(forward, gather, beside_forward) + added(backward, reduce, beside_backward);
            (first + second).max(both + added)
        };
        let none = SimTime::ZERO;
        match self.candidate.sharding {
            OptimizerSharding::None | OptimizerSharding::Zero1 => {
                both * (m - 1) + pair(gather, reduce)
            }
            OptimizerSharding::Zero2 => pair(none, reduce) * (m - 1) + pair(gather, reduce),
            OptimizerSharding::Zero3 => pair(gather, reduce + gather) * m,
        }
    }

    /// The fullest stage runs all its passes, then reduces its gradients.
    fn fullest_stage(&self, layer: &BlockTimes) -> SimTime {
        let work = self.work(layer);
        let m = self.candidate.micro_batches;
        let fullest = self.num_layers.div_ceil(self.candidate.pipeline);
        let backward = work.backward * fullest;
        let tail = self.least_tail(fullest, backward, backward, (false, false));
        work.layer() * fullest * m + tail
    }

    /// Paths of 1F1B with several stages. After a first round trip, which every plan makes, a path may
    /// 1. stay on the last stage: R + (m - 1) t(p-1);
    /// 2. stay on the fullest stage q, where p - 1 - q forwards have already run:
    ///    R + (m - 1) b(q) + (m - p + q) f(q);
    /// 3. make i more round trips, each of which serves p micro-batches because the first stage
    ///    holds p in flight, then stay on the fullest stage: (i + 1) R + (m - 1 - i p) t(q).
    ///
    /// All begin with the first forward pass of the first stage, and end there.
    fn one_f_one_b(&self, layer: &BlockTimes) -> SimTime {
        let work = self.work(layer);
        let (p, m) = (self.candidate.pipeline, self.candidate.micro_batches);
        let round = self.round_trip(&work);
        let fullest = self.num_layers.div_ceil(p);
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
        bound + self.least_late_start(&work) + self.tied
    }

    /// Forwards down the pipeline, all on the fullest stage; the same for backwards.
    fn gpipe(&self, layer: &BlockTimes) -> SimTime {
        let work = self.work(layer);
        let m = self.candidate.micro_batches;
        let fullest = self.num_layers.div_ceil(self.candidate.pipeline);
        let bound = self.round_trip(&work) + work.layer() * fullest * (m - 1);
        bound + self.least_late_start(&work) + self.tied
    }

    /// A device is busy for all its chunks and micro-batches; the first forward reaches it, and
    /// the last backward leaves it, through the first chunks of the devices before it.
    fn interleaved(&self, layer: &BlockTimes) -> SimTime {
        let work = self.work(layer);
        let Candidate { pipeline: p, chunks: v, micro_batches: m, .. } = *self.candidate;
        let layers = self.num_layers / (p * v);
        let chunk = work.layer() * layers;
        let backward = work.backward * layers;
        let tail = self.least_tail(layers, backward, backward + work.embedding, (true, false));
        let late = self.late_start(layers, work.forward * layers + self.embedding_forward(&work));
        let first = (chunk * v + work.embedding) * m;
        let last =
            (chunk * v + work.head) * m + chunk * (p - 1) + work.embedding + self.transfers * 2;
        first.max(last) + late + tail + self.tied
    }
}
