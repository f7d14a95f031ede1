//! Costs made of a few numbers, and the best plan by trying all: what the search is tested with.

use crate::graph::{Collective, Kernel};
use crate::lower::Candidate;
use crate::lower::{
    BlockTimes, Links, MemoryModel, Pipeline, Prices, StageModel, StageSettings, StageTimes,
    StageWork,
};
use crate::plan::OptimizerSharding;
use crate::planner::job::costs::{BlockSet, Costs};
use crate::planner::space::{Pins, Space};
use crate::sharding::{Group, InstructionCost};
use crate::sim::pipeline::{Run, Structure};
use crate::spec::ScheduleKind;
use crate::units::{Bytes, SimTime};
use proptest::prelude::*;
use std::sync::Arc;

/// Costs made of a few numbers; `seed` varies them.
#[derive(Debug, Clone)]
pub(crate) struct Synthetic {
    pub(crate) seed: u64,
    pub(crate) capacity: u64,
    pub(crate) hop: u64,
    pub(crate) blocking: bool,
    pub(crate) overlap: bool,
    /// Tenths of the parameters that are not trained.
    pub(crate) frozen_tenths: u64,
}

/// A number in `low..high` that depends on the seed and a key only.
fn number(seed: u64, key: u64, low: u64, high: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 31;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 29;
    low + x % (high - low)
}

struct SyntheticPrices {
    seed: u64,
    ranks: u64,
}

impl InstructionCost for SyntheticPrices {
    fn kernel(&self, _: &Kernel) -> SimTime {
        SimTime::ZERO
    }

    fn collective(&self, _: Collective, bytes: Bytes, _: Group) -> SimTime {
        SimTime::from_picos(self.ranks + bytes.get() * number(self.seed, 77, 1, 4) / 4)
    }

    fn launch(&self) -> SimTime {
        SimTime::ZERO
    }
}

impl Prices for SyntheticPrices {
    fn optimizer_step(&self, elements: u64) -> SimTime {
        SimTime::from_picos(elements / 2)
    }
}

impl Synthetic {
    fn block(&self, key: u64, tensor: u64, micro_batch: u64, size: u64) -> BlockTimes {
        let n = |k: u64, low: u64, high: u64| number(self.seed, key * 100 + k, low, high);
        let time =
            |base: u64| SimTime::from_picos(base * micro_batch * size / tensor / 4 + n(9, 0, 3));
        let bytes = |base: u64| Bytes::new(base * micro_batch * size / tensor);
        let parameters = size * n(10, 10, 40) / tensor;
        BlockTimes {
            forward: time(n(1, 20, 40)),
            backward: time(n(2, 30, 80)),
            recompute: [SimTime::ZERO, time(n(3, 2, 9)), time(n(4, 10, 30))],
            saved: [bytes(n(5, 16, 30)), bytes(n(6, 9, 16)), bytes(n(7, 2, 8))],
            transient: [bytes(1), bytes(2), bytes(n(8, 3, 20))],
            parameters,
            frozen: parameters * self.frozen_tenths / 10,
            tensor_reduced: if tensor > 1 { 2 } else { 0 },
        }
    }
}

impl Costs for Synthetic {
    fn blocks(&self, tensor: u64, micro_batch: u64, sequence_parallel: bool) -> Arc<BlockSet> {
        let base = 10 * u64::from(sequence_parallel);
        let make = |key: u64, size: u64| self.block(base + key, tensor, micro_batch, size);
        Arc::new(BlockSet::new(
            vec![make(1, 1)],
            vec![make(2, 4), make(3, 4)],
            [vec![make(4, 5), make(5, 5)], vec![make(6, 5)]],
        ))
    }

    fn prices(&self, candidate: &Candidate) -> Box<dyn Prices + '_> {
        Box::new(SyntheticPrices { seed: self.seed, ranks: candidate.replicas() })
    }

    fn links(&self, candidate: &Candidate) -> Links {
        Links {
            hops: vec![SimTime::from_picos(self.hop); candidate.pipeline as usize],
            blocking: self.blocking,
            tied_reduce: SimTime::from_picos(if candidate.pipeline > 1 { 7 } else { 0 }),
            gradient_norm: SimTime::from_picos(3),
        }
    }

    fn shape(&self, candidate: &Candidate) -> StageSettings {
        StageSettings {
            stages: candidate.pipeline,
            step_overhead: SimTime::from_picos(5),
            replicas: candidate.replicas(),
            sharding: candidate.sharding,
            parameter_bytes: 2,
            gradient_bytes: 4,
            bucket_elements: 200,
            overlap_reduce: self.overlap,
            overlap_gather: self.overlap,
            contention: 0.125,
        }
    }

    fn memory(&self, _: &Candidate) -> MemoryModel {
        MemoryModel {
            state: [2, 4, 12],
            gradient_copy: 1,
            reduce_buffers: 2,
            fixed: Bytes::new(10),
            transfer: Bytes::new(3),
            keeps_stage_outputs: true,
            fragmentation: 0.05,
            capacity: self.capacity(),
        }
    }

    fn capacity(&self) -> Bytes {
        Bytes::new(self.capacity)
    }
}

pub(crate) const SHARDINGS: [OptimizerSharding; 4] = [
    OptimizerSharding::None,
    OptimizerSharding::Zero1,
    OptimizerSharding::Zero2,
    OptimizerSharding::Zero3,
];

pub(crate) fn space(devices: u64, global_batch: u64, num_layers: u64) -> Space {
    Space {
        devices,
        global_batch,
        num_layers,
        tensor_divides: vec![4, 8],
        sequence_length: 64,
        schedules: vec![ScheduleKind::OneFOneB, ScheduleKind::Gpipe, ScheduleKind::Interleaved],
        pins: Pins::default(),
    }
}

/// Every way to write `total` as `parts` positive numbers.
fn compositions(total: u64, parts: u64) -> Vec<Vec<u64>> {
    if parts == 1 {
        return if total > 0 { vec![vec![total]] } else { Vec::new() };
    }
    let mut all = Vec::new();
    for first in 1..=total.saturating_sub(parts - 1) {
        for mut rest in compositions(total - first, parts - 1) {
            rest.insert(0, first);
            all.push(rest);
        }
    }
    all
}

/// Times of every choice of stage `q` with `n` layers a chunk that fits: embedding, head, and how
/// many layers recompute what.
fn fitting_stages(
    model: &StageModel<'_>,
    memory: &MemoryModel,
    pipeline: &Pipeline,
    blocks: &BlockSet,
    q: u64,
    n: u64,
) -> Vec<StageTimes> {
    let (p, v) = (pipeline.stages, pipeline.chunks as usize);
    let some = |blocks: &[BlockTimes]| -> Vec<Option<BlockTimes>> {
        blocks.iter().cloned().map(Some).collect()
    };
    let embeddings = if q == 0 { some(&blocks.embedding) } else { vec![None] };
    let heads = if q + 1 == p { some(blocks.heads(p)) } else { vec![None] };
    let counts = (0..=n).flat_map(|full| {
        (0..=n - full).map(move |selective| [n - full - selective, selective, full])
    });
    let counts: Vec<[u64; 3]> = counts.collect();
    let mut fitting = Vec::new();
    for embedding in &embeddings {
        for head in &heads {
            for layers in &counts {
                let plain = StageWork { layers: *layers, embedding: None, head: None };
                let mut works = vec![plain; v];
                works[0].embedding = embedding.as_ref();
                works[v - 1].head = head.as_ref();
                let in_flight = pipeline.in_flight(q);
                let peak = memory.peak(&model.shape, model.layer, &works, &in_flight);
                if peak.total() <= memory.capacity {
                    let model = StageModel { layer: model.layer, ..*model };
                    fitting.push(model.stage(&works));
                }
            }
        }
    }
    fitting
}

/// The least simulated time of a candidate over every plan that fits, by trying all of them.
pub(crate) fn brute_force(
    costs: &Synthetic,
    space: &Space,
    candidate: &Candidate,
) -> Option<SimTime> {
    let Candidate { tensor, micro_batch, pipeline: p, chunks: v, .. } = *candidate;
    let blocks = costs.blocks(tensor, micro_batch, candidate.sequence_parallel);
    let links = costs.links(candidate);
    let prices = costs.prices(candidate);
    let shape = costs.shape(candidate);
    let memory = costs.memory(candidate);
    let pipeline = candidate.pipeline_shape();
    let structure = Structure::new(pipeline).expect("runs");
    let mut best: Option<SimTime> = None;
    for layer in &blocks.layer {
        let model = StageModel { shape, layer, prices: prices.as_ref() };
        let splits = if v > 1 {
            vec![vec![space.num_layers / p; p as usize]]
        } else {
            compositions(space.num_layers, p)
        };
        for split in splits {
            // All choices of each stage that fit.
            let stages: Vec<Vec<StageTimes>> = (0..p as usize)
                .map(|q| {
                    let n = split[q] / v;
                    fitting_stages(&model, &memory, &pipeline, &blocks, q as u64, n)
                })
                .collect();
            for_each_choice(&stages, &mut |times| {
                let mut run = Run::default();
                structure.run(times, &links, &mut run);
                best = Some(best.map_or(run.end, |best| best.min(run.end)));
            });
        }
    }
    best
}

fn for_each_choice(stages: &[Vec<StageTimes>], visit: &mut dyn FnMut(&[StageTimes])) {
    let mut chosen = Vec::new();
    fn walk(
        stages: &[Vec<StageTimes>],
        chosen: &mut Vec<StageTimes>,
        visit: &mut dyn FnMut(&[StageTimes]),
    ) {
        match stages.split_first() {
            None => visit(chosen),
            Some((first, rest)) => {
                for times in first {
                    chosen.push(times.clone());
                    walk(rest, chosen, visit);
                    chosen.pop();
                }
            }
        }
    }
    walk(stages, &mut chosen, visit);
}

pub(crate) fn synthetic() -> impl Strategy<Value = Synthetic> {
    // Half of the jobs train everything.
    let frozen = prop_oneof![Just(0u64), 1u64..10];
    (any::<u64>(), 300u64..4000, 0u64..20, any::<bool>(), any::<bool>(), frozen).prop_map(
        |(seed, capacity, hop, blocking, overlap, frozen_tenths)| Synthetic {
            seed,
            capacity,
            hop,
            blocking,
            overlap,
            frozen_tenths,
        },
    )
}
