//! A plan with everything decided, and its file.

use super::block::{BlockOption, evaluate, megatron_option};
use super::job::Job;
use super::plan_error::PlanError;
use super::search::Found;
use super::solve::Solution;
use super::space::Candidate;
use crate::graph::BlockKind;
use crate::plan::{
    Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan, Strategy,
};
use crate::spec::ScheduleKind;
use std::collections::BTreeMap;
use std::ops::Range;

/// A plan with everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Ways, batch, schedule, sharding.
    pub candidate: Candidate,
    /// Sharding of the embedding's operators.
    pub embedding: BlockOption,
    /// Sharding of a layer's operators.
    pub layer: BlockOption,
    /// Sharding of the head's operators.
    pub head: BlockOption,
    /// Layers of each chunk of each stage: those that recompute nothing, the attention core,
    /// everything.
    pub stages: Vec<[u64; 3]>,
    /// Whether, under interleaving, the chunk with the embedding and the chunk with the head hold
    /// one layer fewer.
    pub short_ends: bool,
}

/// The layers of a chunk less one, of the kind that recomputes most.
fn one_fewer(mut layers: [u64; 3]) -> [u64; 3] {
    if let Some(kind) = layers.iter_mut().rev().find(|count| **count > 0) {
        *kind -= 1;
    }
    layers
}

/// Names of the blocks in a plan file.
const BLOCKS: [(BlockKind, &str); 3] =
    [(BlockKind::Embedding, "embedding"), (BlockKind::Layer, "layer"), (BlockKind::Head, "head")];

impl Choice {
    /// The plan that a search found.
    pub fn of_solution(job: &Job, solution: &Solution) -> Choice {
        let candidate = solution.candidate;
        let choices =
            job.choices(candidate.tensor, candidate.micro_batch, candidate.sequence_parallel);
        let first = solution.columns.first();
        let last = solution.columns.last();
        let head = &choices.head[usize::from(candidate.pipeline == 1)];
        Choice {
            candidate,
            embedding: choices.embedding[first.and_then(|c| c.embedding).unwrap_or(0)].clone(),
            layer: choices.layer[solution.layer].clone(),
            head: head[last.and_then(|c| c.head).unwrap_or(0)].clone(),
            stages: solution.columns.iter().map(|column| column.recompute).collect(),
            short_ends: false,
        }
    }

    /// The plans of a search, best first.
    pub fn of_found(job: &Job, found: &Found) -> Vec<Choice> {
        found.best.iter().map(|solution| Choice::of_solution(job, solution)).collect()
    }

    /// Reads a plan for a job.
    ///
    /// Without `stages` layers are spread as evenly as possible and nothing is recomputed; without
    /// `operators` shardings are Megatron's.
    ///
    /// # Errors
    /// What does not suit the job, the first thing found.
    pub fn of_plan(job: &Job, plan: &Plan) -> Result<Choice, PlanError> {
        let candidate = candidate_of(job, plan)?;
        let context = job.shard_context(candidate.tensor, candidate.context, candidate.micro_batch);
        let prices = job.block_prices(candidate.tensor, candidate.context);
        let boundary = Job::boundary(candidate.sequence_parallel);
        check_blocks(plan)?;
        let option = |kind: BlockKind, name: &'static str| {
            let block = job.block(kind);
            let option = match plan.operators.get(name) {
                None => megatron_option(&job.graph, block, &context, boundary, &prices),
                Some(chosen) => {
                    let strategies = strategies(job, kind, chosen)?;
                    evaluate(&job.graph, block, &context, boundary, &prices, &strategies)
                }
            };
            option.map_err(|error| PlanError::Block { block: name, error })
        };
        let short_ends = has_short_ends(&candidate, job.model.num_layers);
        Ok(Choice {
            candidate,
            embedding: option(BlockKind::Embedding, "embedding")?,
            layer: option(BlockKind::Layer, "layer")?,
            head: option(BlockKind::Head, "head")?,
            stages: stages_of(job, plan, &candidate)?,
            short_ends,
        })
    }

    /// The plan file. `names` are those of model, cluster and stack.
    pub fn plan(&self, job: &Job, names: [&str; 3]) -> Plan {
        let c = &self.candidate;
        let [model, cluster, stack] = names.map(str::to_owned);
        let operators = BLOCKS.iter().zip([&self.embedding, &self.layer, &self.head]).map(
            |((kind, name), option)| {
                let ops = job.block(*kind).ops.iter().map(|node| job.graph.dag[*node].name.clone());
                let chosen = ops.zip(option.strategies.iter().copied());
                ((*name).to_owned(), chosen.collect::<BTreeMap<_, _>>())
            },
        );
        Plan {
            model,
            cluster,
            stack,
            parallelism: Parallelism {
                tensor: c.tensor,
                pipeline: c.pipeline,
                data: c.data,
                context: c.context,
                expert: 1,
                virtual_stages: c.chunks,
                sequence_parallel: c.sequence_parallel,
            },
            batch: Batch { global: job.model.training.global_batch_size, micro: c.micro_batch },
            lora: job.model.training.lora.clone(),
            schedule: c.schedule,
            optimizer_sharding: c.sharding,
            stages: self.stage_plans(job),
            operators: if c.tensor > 1 { operators.collect() } else { BTreeMap::new() },
        }
    }

    /// Layers of a chunk of a stage, by recomputation.
    pub fn chunk_layers(&self, stage: usize, chunk: u64) -> [u64; 3] {
        let layers = self.stages[stage];
        let first = stage == 0 && chunk == 0;
        let last = stage + 1 == self.stages.len() && chunk + 1 == self.candidate.chunks;
        if self.short_ends && (first || last) { one_fewer(layers) } else { layers }
    }

    /// Layers of each stage, by range, with where they stand.
    pub fn stage_plans(&self, job: &Job) -> Vec<StagePlan> {
        let mut next = 0;
        let stage = |(q, layers): (usize, &[u64; 3])| {
            let v = self.candidate.chunks;
            let mut all = layers.map(|count| count * v);
            if self.short_ends && (q == 0 || q + 1 == self.stages.len()) {
                all = one_fewer(all);
            }
            let [none, selective, full] = all;
            let first = next;
            next += none + selective + full;
            StagePlan {
                layers: format!("{first}..{next}"),
                devices: job.nodes.devices(self.candidate.mesh().stage(q as u64)),
                recompute: RecomputeCounts { none, selective, full },
            }
        };
        self.stages.iter().enumerate().map(stage).collect()
    }
}

fn candidate_of(job: &Job, plan: &Plan) -> Result<Candidate, PlanError> {
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
    let layers = job.model.num_layers;
    if p.pipeline > layers {
        let expected = format!("the model has {layers} layers, and every stage needs one");
        return Err(PlanError::Number {
            field: "parallelism.pipeline",
            found: p.pipeline,
            expected,
        });
    }
    let used = plan.devices();
    if used > job.devices {
        let cluster = job.cluster.name.clone();
        return Err(PlanError::Devices { used, there: job.devices, cluster });
    }
    let length = job.model.sequence_length;
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
fn strategies(
    job: &Job,
    kind: BlockKind,
    chosen: &BTreeMap<String, Strategy>,
) -> Result<Vec<Strategy>, PlanError> {
    let names: Vec<&str> =
        job.block(kind).ops.iter().map(|node| job.graph.dag[*node].name.as_str()).collect();
    if let Some(found) = chosen.keys().find(|name| !names.contains(&name.as_str())) {
        let (found, known) = (found.clone(), names.join(", "));
        return Err(PlanError::Unknown { kind: "operator", found, known });
    }
    let strategy = |name: &&str| chosen.get(*name).copied().unwrap_or(Strategy::Replicated);
    Ok(names.iter().map(strategy).collect())
}

fn stages_of(job: &Job, plan: &Plan, candidate: &Candidate) -> Result<Vec<[u64; 3]>, PlanError> {
    let (p, v, layers) = (candidate.pipeline, candidate.chunks, job.model.num_layers);
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
