//! How a workload is spread over ranks, and the plan file that says so.

use super::blocks::{BlockError, block_code, megatron_strategies};
use super::candidate::Candidate;
use super::plan_error::PlanError;
use super::program::{BlockCode, Placed, Program};
use super::schedule::Pipeline;
use super::workload::Workload;
use crate::graph::BlockKind;
use crate::plan::{MOST_PASSES, OptimizerSharding, Plan, Recompute, Strategy};
use crate::spec::ScheduleKind;
use std::collections::BTreeMap;
use std::ops::Range;

/// A plan with everything decided, without what it costs and where its ranks stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Ways, batch, schedule, sharding.
    pub candidate: Candidate,
    /// Strategies of the operators of embedding, layer and head, each in the order of its block.
    pub strategies: [Vec<Strategy>; 3],
    /// Layers of each chunk of each stage: those that recompute nothing, the attention core,
    /// everything.
    pub stages: Vec<[u64; 3]>,
    /// Whether, under interleaving, the chunk with the embedding and the chunk with the head hold
    /// one layer fewer.
    pub short_ends: bool,
}

/// The layers of a chunk less one, of the kind that recomputes most.
const fn one_fewer(mut layers: [u64; 3]) -> [u64; 3] {
    let mut kind = layers.len();
    while kind > 0 {
        kind -= 1;
        if layers[kind] > 0 {
            layers[kind] -= 1;
            break;
        }
    }
    layers
}

/// The blocks with their names in a plan file.
pub const BLOCKS: [(BlockKind, &str); 3] =
    [(BlockKind::Embedding, "embedding"), (BlockKind::Layer, "layer"), (BlockKind::Head, "head")];

impl Mapping {
    /// Reads a plan for a workload.
    ///
    /// Without `stages` layers are spread as evenly as possible and nothing is recomputed; without
    /// `operators` shardings are Megatron's.
    ///
    /// # Errors
    /// What does not suit the workload, the first thing found.
    pub fn of_plan(workload: &Workload, plan: &Plan) -> Result<Mapping, PlanError> {
        let candidate = candidate_of(workload, plan)?;
        check_blocks(plan)?;
        let strategies = |(kind, name): (BlockKind, &'static str)| match plan.operators.get(name) {
            Some(chosen) => chosen_strategies(workload, kind, chosen),
            None => megatron(workload, &candidate, kind)
                .map_err(|error| PlanError::Block { block: name, error }),
        };
        let [embedding, layer, head] = BLOCKS.map(strategies);
        Ok(Mapping {
            strategies: [embedding?, layer?, head?],
            stages: stages_of(workload, plan, &candidate)?,
            short_ends: has_short_ends(&candidate, workload.model.num_layers),
            candidate,
        })
    }

    /// Layers of a chunk of a stage, by recomputation.
    pub fn chunk_layers(&self, stage: usize, chunk: u64) -> [u64; 3] {
        let layers = self.stages[stage];
        let first = stage == 0 && chunk == 0;
        let last = stage + 1 == self.stages.len() && chunk + 1 == self.candidate.chunks;
        if self.short_ends && (first || last) { one_fewer(layers) } else { layers }
    }

    /// Layers of a stage, by recomputation.
    pub fn stage_layers(&self, stage: usize) -> [u64; 3] {
        let all = self.stages[stage].map(|count| count * self.candidate.chunks);
        let is_end = stage == 0 || stage + 1 == self.stages.len();
        if self.short_ends && is_end { one_fewer(all) } else { all }
    }

    /// What the ranks of a stage execute: the operators under their strategies, in the order that
    /// is simulated.
    ///
    /// # Errors
    /// Strategies that the workload's blocks do not have, as of a mapping made for another.
    pub fn program(&self, workload: &Workload, stage: u64) -> Result<Program, BlockError> {
        let c = &self.candidate;
        let code = |index: usize| self.code(workload, BLOCKS[index].0, &self.strategies[index]);
        let mut program = Program {
            pipeline: c.pipeline_shape(),
            stage,
            replicas: c.data,
            sharding: c.sharding,
            tensor: c.tensor,
            context: c.context,
            micro_batch: c.micro_batch,
            blocks: [code(0)?, code(1)?, code(2)?],
            chunks: (0..c.chunks).map(|chunk| self.placed(stage, chunk)).collect(),
            actions: Vec::new(),
        };
        let tied = program.is_tied();
        program.actions = Program::actions(program.pipeline, stage, c.data, c.sharding, tied);
        Ok(program)
    }

    fn code(
        &self,
        workload: &Workload,
        kind: BlockKind,
        strategies: &[Strategy],
    ) -> Result<BlockCode, BlockError> {
        let c = &self.candidate;
        let context = workload.shard_context(c.tensor, c.context, c.micro_batch);
        block_code(&workload.graph, workload.block(kind), &context, c.boundary(), strategies)
    }

    /// The blocks of a chunk, in forward order. Layers that recompute everything come first, as
    /// the simulator has them.
    fn placed(&self, stage: u64, chunk: u64) -> Vec<Placed> {
        let (p, v) = (self.candidate.pipeline, self.candidate.chunks);
        let layers = |stage: u64, chunk: u64| self.chunk_layers(stage as usize, chunk);
        let virtual_stage = chunk * p + stage;
        let before = (0..virtual_stage).map(|s| layers(s % p, s / p).iter().sum::<u64>());
        let mut layer: u64 = before.sum();
        let [none, selective, full] = layers(stage, chunk);
        let mut placed = Vec::new();
        let end = |kind| Placed { kind, layer: 0, recompute: Recompute::None };
        if virtual_stage == 0 {
            placed.push(end(BlockKind::Embedding));
        }
        let counts =
            [(full, Recompute::Full), (selective, Recompute::Selective), (none, Recompute::None)];
        for (count, recompute) in counts {
            for _ in 0..count {
                placed.push(Placed { kind: BlockKind::Layer, layer, recompute });
                layer += 1;
            }
        }
        if virtual_stage + 1 == p * v {
            placed.push(end(BlockKind::Head));
        }
        placed
    }
}

fn megatron(
    workload: &Workload,
    candidate: &Candidate,
    kind: BlockKind,
) -> Result<Vec<Strategy>, BlockError> {
    let c = candidate;
    let context = workload.shard_context(c.tensor, c.context, c.micro_batch);
    megatron_strategies(&workload.graph, workload.block(kind), &context, c.boundary())
}

fn candidate_of(workload: &Workload, plan: &Plan) -> Result<Candidate, PlanError> {
    let p = &plan.parallelism;
    let numbers = [
        ("parallelism.tensor", p.tensor),
        ("parallelism.pipeline", p.pipeline),
        ("parallelism.data", p.data),
        ("parallelism.context", p.context),
        ("parallelism.virtual_stages", p.virtual_stages),
        ("batch.micro", plan.batch.micro),
        ("batch.global", plan.batch.global),
    ];
    for (field, found) in numbers {
        if found == 0 || found > 1_000_000_000 {
            let expected = "a number from 1 to 1,000,000,000 is expected".to_owned();
            return Err(PlanError::Number { field, found, expected });
        }
    }
    if p.expert > 1 {
        return Err(PlanError::Unsupported("parallelism.expert"));
    }
    let layers = workload.model.num_layers;
    if p.pipeline > layers {
        let expected = format!("the model has {layers} layers, and every stage needs one");
        return Err(PlanError::Number {
            field: "parallelism.pipeline",
            found: p.pipeline,
            expected,
        });
    }
    if let Err(expected) = workload.check_heads(p.tensor) {
        return Err(PlanError::Number { field: "parallelism.tensor", found: p.tensor, expected });
    }
    let length = workload.model.sequence_length;
    if !length.is_multiple_of(p.context) {
        let expected = format!("a divisor of the sequence length {length} is expected");
        return Err(PlanError::Number { field: "parallelism.context", found: p.context, expected });
    }
    let Some(micro_batches) = plan.num_micro_batches() else {
        let (global, data, micro) = (plan.batch.global, p.data, plan.batch.micro);
        let nearest = global.div_ceil(data * micro) * data * micro;
        return Err(PlanError::Batch { global, data, micro, nearest });
    };
    check_schedule(plan, micro_batches, layers)?;
    check_passes(plan, micro_batches)?;
    if p.sequence_parallel && !(length / p.context).is_multiple_of(p.tensor) {
        let expected = format!(
            "sequence parallelism needs a divisor of the {} tokens of a sequence on a rank",
            length / p.context
        );
        return Err(PlanError::Number { field: "parallelism.tensor", found: p.tensor, expected });
    }
    let alone = p.data * p.context == 1;
    Ok(Candidate {
        tensor: p.tensor,
        pipeline: p.pipeline,
        data: p.data,
        context: p.context,
        micro_batch: plan.batch.micro,
        chunks: p.virtual_stages,
        micro_batches,
        schedule: plan.schedule,
        sequence_parallel: p.sequence_parallel && p.tensor > 1,
        sharding: if alone { OptimizerSharding::None } else { plan.optimizer_sharding },
    })
}

fn check_passes(plan: &Plan, micro_batches: u64) -> Result<(), PlanError> {
    let (stages, chunks) = (plan.parallelism.pipeline, plan.parallelism.virtual_stages);
    let passes = Pipeline { schedule: plan.schedule, stages, chunks, micro_batches }.passes();
    if passes <= MOST_PASSES {
        return Ok(());
    }
    Err(PlanError::Passes { stages, chunks, micro_batches, passes, most: MOST_PASSES })
}

fn check_schedule(plan: &Plan, micro_batches: u64, layers: u64) -> Result<(), PlanError> {
    let p = &plan.parallelism;
    let refuse = |what: String| Err(PlanError::Interleaving(what));
    if plan.schedule != ScheduleKind::Interleaved {
        return match p.virtual_stages {
            1 => Ok(()),
            v => refuse(format!("is the one that has {v} `virtual_stages`; others have 1")),
        };
    }
    if p.pipeline < 2 || p.virtual_stages < 2 {
        return refuse("needs at least 2 stages and 2 `virtual_stages`".to_owned());
    }
    if !micro_batches.is_multiple_of(p.pipeline) {
        return refuse(format!(
            "needs a multiple of {} micro-batches, one for each stage; there are {micro_batches}",
            p.pipeline
        ));
    }
    let parts = p.pipeline * p.virtual_stages;
    if !layers.is_multiple_of(parts) && !(layers + 2).is_multiple_of(parts) {
        return refuse(format!(
            "needs equal chunks: {layers} layers, or these with embedding and head as one more each, are not a multiple of {} stages x {} `virtual_stages`",
            p.pipeline, p.virtual_stages
        ));
    }
    Ok(())
}

fn check_blocks(plan: &Plan) -> Result<(), PlanError> {
    let known: Vec<&str> = BLOCKS.iter().map(|(_, name)| *name).collect();
    match plan.operators.keys().find(|name| !known.contains(&name.as_str())) {
        Some(found) => {
            Err(PlanError::Unknown { kind: "block", found: found.clone(), known: known.join(", ") })
        }
        None => Ok(()),
    }
}

/// Whether chunks are equal only with the embedding and the head counted as a layer each.
fn has_short_ends(candidate: &Candidate, layers: u64) -> bool {
    candidate.chunks > 1 && !layers.is_multiple_of(candidate.pipeline * candidate.chunks)
}

/// Strategies in the order of the block's operators; `replicated` where none is given.
fn chosen_strategies(
    workload: &Workload,
    kind: BlockKind,
    chosen: &BTreeMap<String, Strategy>,
) -> Result<Vec<Strategy>, PlanError> {
    let names: Vec<&str> = workload.operators(kind).collect();
    if let Some(found) = chosen.keys().find(|name| !names.contains(&name.as_str())) {
        let (found, known) = (found.clone(), names.join(", "));
        return Err(PlanError::Unknown { kind: "operator", found, known });
    }
    let strategy = |name: &&str| chosen.get(*name).copied().unwrap_or(Strategy::Replicated);
    Ok(names.iter().map(strategy).collect())
}

fn stages_of(
    workload: &Workload,
    plan: &Plan,
    candidate: &Candidate,
) -> Result<Vec<[u64; 3]>, PlanError> {
    let (p, v, layers) = (candidate.pipeline, candidate.chunks, workload.model.num_layers);
    let short = u64::from(has_short_ends(candidate, layers));
    if plan.stages.is_empty() {
        if short > 0 {
            return Ok(vec![[(layers + 2) / p / v, 0, 0]; p as usize]);
        }
        let even = |q: u64| layers / p + u64::from(q < layers % p);
        return Ok((0..p).map(|q| [even(q) / v, 0, 0]).collect());
    }
    if plan.stages.len() as u64 != p {
        return Err(PlanError::Stages { found: plan.stages.len(), expected: p });
    }
    let mut next = 0;
    let mut stages = Vec::with_capacity(plan.stages.len());
    for (stage, given) in plan.stages.iter().enumerate() {
        let refuse = |what: String| Err(PlanError::Stage { stage, what });
        let Some(range) = parse_range(&given.layers) else {
            return refuse(format!("`layers: {}` is not a range such as `0..12`", given.layers));
        };
        if range.start != next || range.is_empty() {
            return refuse(format!(
                "`layers: {}` must begin at {next}, where the stage before ends, and hold a layer",
                given.layers
            ));
        }
        next = range.end;
        let count = range.end - range.start;
        let r = &given.recompute;
        let mut kinds = [r.none, r.selective, r.full];
        let sum = kinds.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        if sum != count {
            return refuse(format!("`recompute` names {sum} layers, `layers` {count}"));
        }
        let is_end = stage == 0 || stage + 1 == plan.stages.len();
        let fewer = if is_end { short } else { 0 };
        if let Some(kind) = kinds.iter_mut().rev().find(|count| **count > 0) {
            *kind += fewer;
        }
        let each = (layers + 2 * short) / p;
        if v > 1 && (count + fewer != each || kinds.iter().any(|n| !n.is_multiple_of(v))) {
            return refuse(format!(
                "with {v} `virtual_stages` this stage holds {} layers, and every chunk recomputes alike",
                each - fewer
            ));
        }
        stages.push(kinds.map(|n| n / v));
    }
    if next != layers {
        let stage = plan.stages.len() - 1;
        let what = format!("the last stage ends at layer {next}, the model has {layers}");
        return Err(PlanError::Stage { stage, what });
    }
    Ok(stages)
}

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (first, end) = text.split_once("..")?;
    Some(first.trim().parse().ok()?..end.trim().parse().ok()?)
}
