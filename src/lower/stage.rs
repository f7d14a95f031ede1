//! One stage of a pipeline: how long its passes take, from the costs of its blocks.
//!
//! Blocks run one after the other on the compute stream, with the tensor-parallel collectives that
//! they wait for. Gathers of sharded parameters and reductions of gradients run on the
//! communication stream beside it, as far as the software stack allows ([`super::streams`]).

use super::ending::{Ending, Ends};
use super::stage_parameters::StageParameters;
use super::streams::{self, Item};
use super::times::{ChunkTimes, StageCollectives, StageTimes};
use super::work::{BlockTimes, StageWork};
use crate::graph::Collective;
use crate::plan::OptimizerSharding;
use crate::sharding::{Group, InstructionCost, PassCost};
use crate::units::{Bytes, SimTime};

/// Time of a pass: its kernels and collectives, or the time of the host to launch the kernels
/// where that is longer.
pub fn pass_time(pass: &PassCost, launch_overhead: SimTime) -> SimTime {
    let busy = pass.compute + pass.tensor_parallel + pass.context_parallel;
    busy.max(launch_overhead * pass.launches)
}

/// Prices beside those of instructions.
pub trait Prices: InstructionCost {
    /// Optimizer step over `elements` parameters, with the norm of their gradients.
    fn optimizer_step(&self, elements: u64) -> SimTime;
}

/// What all stages of a candidate share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageSettings {
    /// Replicas over which gradients are reduced (d·c).
    pub replicas: u64,
    /// What is sharded over them.
    pub sharding: OptimizerSharding,
    /// Bytes of a parameter on the wire.
    pub parameter_bytes: u64,
    /// Bytes of a gradient on the wire.
    pub gradient_bytes: u64,
    /// Gradient elements that are reduced as one bucket.
    pub bucket_elements: u64,
    /// Reductions run under the last backward pass.
    pub overlap_reduce: bool,
    /// Gathers run under the first forward pass.
    pub overlap_gather: bool,
    /// Slowdown of computation beside a collective.
    pub contention: f64,
    /// Stages of the pipeline.
    pub stages: u64,
    /// Time of the host at the end of a step.
    pub step_overhead: SimTime,
}

/// Where a chunk's parameters may be gathered before its first forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathered {
    /// Nowhere: it is the first of all.
    BesideItself,
    /// While the pipeline fills.
    WhileFilling,
    /// Under the forward passes of the chunk before it.
    UnderEarlierChunk,
}

/// Prices the stages of one candidate.
#[derive(Clone, Copy)]
pub struct StageModel<'a> {
    /// What they share.
    pub shape: StageSettings,
    /// The layer.
    pub layer: &'a BlockTimes,
    /// Prices of collectives and of the optimizer.
    pub prices: &'a dyn Prices,
}

impl<'a> StageModel<'a> {
    /// Durations of a chunk.
    pub fn chunk(&self, work: &StageWork<'a>) -> ChunkTimes {
        self.chunk_at(work, Gathered::BesideItself)
    }

    fn chunk_at(&self, work: &StageWork<'a>, gathered: Gathered) -> ChunkTimes {
        let forward: SimTime = work.blocks(self.layer).map(|(block, _)| block.forward).sum();
        let backward: SimTime =
            work.blocks(self.layer).map(|(block, r)| block.backward + block.recompute[r]).sum();
        let plain = ChunkTimes {
            forward,
            first_forward: forward,
            backward,
            last_backward: backward,
            reduce_tail: SimTime::ZERO,
        };
        if self.shape.replicas == 1 {
            return plain;
        }
        match self.shape.sharding {
            OptimizerSharding::None | OptimizerSharding::Zero1 => {
                self.reduced_once(work, plain, gathered)
            }
            OptimizerSharding::Zero2 | OptimizerSharding::Zero3 => {
                self.reduced_always(work, plain, gathered)
            }
        }
    }

    /// Gradients accumulate on the rank and are reduced once, beside the last backward pass.
    fn reduced_once(
        &self,
        work: &StageWork<'a>,
        plain: ChunkTimes,
        gathered: Gathered,
    ) -> ChunkTimes {
        let mut times = plain;
        times.first_forward = self.first_forward(work, plain.forward, gathered);
        let items = self.backward_items(work, SimTime::ZERO);
        if self.shape.overlap_reduce {
            let streams = streams::run(&items, self.shape.contention);
            times.last_backward = streams.compute;
            times.reduce_tail = streams.communication.saturating_sub(streams.compute);
        } else {
            times.reduce_tail = items.iter().map(|item| item.reduce).sum();
        }
        times
    }

    /// Gradients are sharded, and so reduced for every micro-batch; under ZeRO-3 parameters are
    /// gathered for every pass as well. Where the stack hides neither, they run in order.
    fn reduced_always(
        &self,
        work: &StageWork<'a>,
        plain: ChunkTimes,
        gathered: Gathered,
    ) -> ChunkTimes {
        let mut times = plain;
        let gathers = self.shape.sharding == OptimizerSharding::Zero3;
        let gather = if gathers { self.gather(self.layer.parameters) } else { SimTime::ZERO };
        if !self.shape.overlap_reduce && !self.shape.overlap_gather {
            if gathers {
                times.forward = streams::in_order(&self.forward_items(work));
                times.first_forward = times.forward;
            }
            times.backward = streams::in_order(&self.backward_items(work, gather));
            times.last_backward = times.backward;
            return times;
        }
        if gathers {
            let items = self.forward_items(work);
            times.forward = streams::run(&items, self.shape.contention).both();
            times.first_forward = times.forward;
        } else {
            times.first_forward = self.first_forward(work, plain.forward, gathered);
        }
        let streams = streams::run(&self.backward_items(work, gather), self.shape.contention);
        times.backward = streams.both();
        times.last_backward = streams.compute;
        times.reduce_tail = streams.communication.saturating_sub(streams.compute);
        times
    }

    /// The first forward pass, under which updated parameters arrive where the stack does so.
    ///
    /// All stages begin to gather when the iteration begins, chunk by chunk, so that only the
    /// first stage's first chunk has nothing to hide it under: the others have the time in which
    /// the pipeline fills, or the forward passes of as many micro-batches as there are stages
    /// (Megatron-Core, `schedules.py`, `param_sync_func`).
    fn first_forward(&self, work: &StageWork<'a>, forward: SimTime, gathered: Gathered) -> SimTime {
        if self.shape.sharding == OptimizerSharding::None || !self.shape.overlap_gather {
            return forward;
        }
        let items = self.forward_items(work);
        let beside = streams::run(&items, self.shape.contention).compute;
        let hidden = match gathered {
            Gathered::BesideItself => return beside,
            Gathered::WhileFilling => forward,
            Gathered::UnderEarlierChunk => forward * self.shape.stages,
        };
        forward + beside.saturating_sub(forward).saturating_sub(hidden)
    }

    fn forward_items(&self, work: &StageWork<'a>) -> Vec<Item> {
        // Under ZeRO-3 all parameters are in parts; else those that the last step has updated.
        let all = self.shape.sharding == OptimizerSharding::Zero3;
        let gathered = |block: &BlockTimes| if all { block.parameters } else { block.trained() };
        let gather = self.gather(gathered(self.layer));
        let item = |(block, _): (&'a BlockTimes, usize)| Item {
            compute: block.forward,
            gather: if std::ptr::eq(block, self.layer) {
                gather
            } else {
                self.gather(gathered(block))
            },
            reduce: SimTime::ZERO,
        };
        work.blocks(self.layer).map(item).collect()
    }

    /// The blocks in backward order; gradients are collected into buckets of whole blocks.
    fn backward_items(&self, work: &StageWork<'a>, layer_gather: SimTime) -> Vec<Item> {
        let mut bucket = 0;
        let mut last_price = (0, SimTime::ZERO);
        let mut items: Vec<Item> = Vec::new();
        let mut blocks = work.blocks(self.layer).rev().peekable();
        while let Some((block, recompute)) = blocks.next() {
            bucket += block.trained();
            let closes = bucket >= self.shape.bucket_elements || blocks.peek().is_none();
            let mut reduce = SimTime::ZERO;
            if closes && bucket > 0 {
                if last_price.0 != bucket {
                    last_price = (bucket, self.reduce(bucket));
                }
                reduce = last_price.1;
                bucket = 0;
            }
            let gather = match layer_gather {
                SimTime::ZERO => SimTime::ZERO,
                gather if std::ptr::eq(block, self.layer) => gather,
                _ => self.gather(block.parameters),
            };
            items.push(Item {
                compute: block.backward + block.recompute[recompute],
                gather,
                reduce,
            });
        }
        items
    }

    fn gather(&self, elements: u64) -> SimTime {
        if elements == 0 {
            return SimTime::ZERO;
        }
        let bytes = Bytes::new(elements) * self.shape.parameter_bytes;
        self.prices.collective(Collective::AllGather, bytes, Group::Data)
    }

    fn reduce(&self, elements: u64) -> SimTime {
        let bytes = Bytes::new(elements) * self.shape.gradient_bytes;
        let collective = match self.shape.sharding {
            OptimizerSharding::None => Collective::AllReduce,
            _ => Collective::ReduceScatter,
        };
        self.prices.collective(collective, bytes, Group::Data)
    }

    /// Collectives of one iteration of `micro_batches`, hidden or not, of a stage with the given
    /// chunks.
    pub fn collectives(&self, chunks: &[StageWork<'a>], micro_batches: u64) -> StageCollectives {
        let sharding = self.shape.sharding;
        let mut all = StageCollectives::default();
        if self.shape.replicas > 1 {
            let passes = if sharding >= OptimizerSharding::Zero2 { micro_batches } else { 1 };
            for work in chunks {
                let items = self.backward_items(work, SimTime::ZERO);
                all.reduce += items.iter().map(|item| item.reduce).sum::<SimTime>() * passes;
                if sharding == OptimizerSharding::Zero3 {
                    let items = self.forward_items(work);
                    let once: SimTime = items.iter().map(|item| item.gather).sum();
                    all.gather += once * 2 * micro_batches;
                }
            }
        }
        let (elements, tensor_reduced) = self.parameters(chunks);
        if self.gathers_at_the_end() {
            all.gather += self.gather(elements);
        }
        all.tensor_reduce = self.tensor_reduce(tensor_reduced);
        all
    }

    /// Durations of a stage with the given chunks, which all have the same layers.
    pub fn stage(&self, chunks: &[StageWork<'a>]) -> StageTimes {
        // Chunks without embedding or head are alike, the first apart.
        let mut plain: Option<ChunkTimes> = None;
        let times = |(k, work): (usize, &StageWork<'a>)| {
            let gathered = match (k, work.embedding) {
                (0, Some(_)) => Gathered::BesideItself,
                (0, None) => Gathered::WhileFilling,
                _ => Gathered::UnderEarlierChunk,
            };
            if k == 0 || work.embedding.is_some() || work.head.is_some() {
                return self.chunk_at(work, gathered);
            }
            *plain.get_or_insert_with(|| self.chunk_at(work, gathered))
        };
        StageTimes {
            chunks: chunks.iter().enumerate().map(times).collect(),
            optimizer: self.optimizer(chunks),
        }
    }

    /// Trained parameter elements of a stage on the rank, and those reduced over tensor ranks.
    fn parameters(&self, chunks: &[StageWork<'a>]) -> (u64, u64) {
        let StageParameters { trained, tensor_reduced, .. } =
            StageParameters::of(chunks, self.layer);
        (trained, tensor_reduced)
    }

    /// Whether updated parameters are gathered before the next iteration begins.
    fn gathers_at_the_end(&self) -> bool {
        Ending::GatherParameters.happens(&self.ends()) && !self.shape.overlap_gather
    }

    /// How an iteration ends on a stage; what ties stages is no stage's own.
    const fn ends(&self) -> Ends {
        let StageSettings { replicas, sharding, .. } = self.shape;
        Ends { replicas, sharding, tied: false }
    }

    fn tensor_reduce(&self, elements: u64) -> SimTime {
        if elements == 0 {
            return SimTime::ZERO;
        }
        let bytes = Bytes::new(elements) * self.shape.gradient_bytes;
        self.prices.collective(Collective::AllReduce, bytes, Group::Tensor)
    }

    /// Parameter elements of a stage that this rank's optimizer updates.
    pub fn updated(&self, chunks: &[StageWork<'a>]) -> u64 {
        self.share(self.parameters(chunks).0)
    }

    /// One replica's part of `elements`, where optimizer states are sharded.
    fn share(&self, elements: u64) -> u64 {
        let sharded = self.shape.sharding != OptimizerSharding::None;
        if sharded { elements.div_ceil(self.shape.replicas) } else { elements }
    }

    /// What a stage does by itself once its backward passes have ended. Reductions over replicas
    /// are the tails of its chunks; stages wait for each other's norm and table.
    fn optimizer(&self, chunks: &[StageWork<'a>]) -> SimTime {
        let (elements, tensor_reduced) = self.parameters(chunks);
        let price = |ending| match ending {
            Ending::ReduceOverTensor => self.tensor_reduce(tensor_reduced),
            Ending::Optimizer => {
                self.prices.optimizer_step(self.share(elements)) + self.shape.step_overhead
            }
            Ending::GatherParameters if !self.shape.overlap_gather => self.gather(elements),
            Ending::GatherParameters
            | Ending::SumTied
            | Ending::ReduceOverData
            | Ending::GradientNorm => SimTime::ZERO,
        };
        Ending::of(self.ends()).map(price).sum()
    }
}
