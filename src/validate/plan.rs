//! The plans that a row may have run: one where its configuration is given in full, else those
//! that the source's own rules allow.

use super::row::MeasuredRun;
use super::skip::Skip;
use crate::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use crate::spec::{ModelSpec, ScheduleKind};
use std::collections::BTreeMap;

/// Largest micro-batch that is tried where a source does not give it.
const MOST_MICRO_BATCH: u64 = 32;

/// Tokens of a step where the source gives no batch: those of GPT-3's smaller models (Brown et al.
/// 2020, table 2.1).
const DEFAULT_STEP_TOKENS: u64 = 524_288;

/// Ranks of each kind of parallelism that a row was run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedWays {
    tensor: u64,
    pipeline: u64,
    data: u64,
    context: u64,
}

/// The ways of a row.
///
/// # Errors
/// Ways that are not given and do not follow, or mixtures of experts.
pub fn ways(row: &MeasuredRun) -> Result<MappedWays, Skip> {
    if row.ep.is_some_and(|ways| ways > 1) {
        return Err(Skip::Architecture("mixture of experts".into()));
    }
    let devices = row.gpus.ok_or(Skip::NotGiven("number of devices"))?;
    let tensor = row.tp.ok_or(Skip::NotGiven("tensor-parallel ways"))?;
    let pipeline = row.pp.ok_or(Skip::NotGiven("pipeline stages"))?;
    let context = row.cp.unwrap_or(1);
    let data = row.dp.unwrap_or_else(|| (devices / (tensor * pipeline * context).max(1)).max(1));
    if tensor * pipeline * context * data != devices {
        return Err(Skip::Refused("the ways do not make the number of devices".into()));
    }
    Ok(MappedWays { tensor, pipeline, data, context })
}

/// Sequences of a step of BERT's recipe with LAMB, of 128 and of 512 tokens (You et al. 2020, as
/// DeepLearningExamples runs it): throughput is that of many accumulated micro-batches.
const LAMB_BATCHES: (u64, u64) = (65_536, 32_768);

/// Global batch of a row, and whether it was assumed.
pub fn global_batch(row: &MeasuredRun, ways: MappedWays) -> Result<(u64, bool), Skip> {
    if let Some(batch) = row.global_batch {
        return Ok((batch, false));
    }
    if let (Some(micro), Some(steps)) = (row.microbatch, row.grad_accum) {
        return Ok((micro * steps * ways.data, false));
    }
    if let Some(micro) = row.microbatch {
        let rows = micro * ways.data;
        if row.arch == "bert" && row.mentions("LAMB") {
            let long = row.seq_len.is_some_and(|length| length > 128);
            let batch = if long { LAMB_BATCHES.1 } else { LAMB_BATCHES.0 };
            return Ok((batch.div_ceil(rows) * rows, true));
        }
        return Ok((rows, true));
    }
    let length = row.seq_len.ok_or(Skip::NotGiven("sequence length"))?;
    let sequences = (DEFAULT_STEP_TOKENS / length.max(1)).max(ways.data);
    Ok((sequences / ways.data * ways.data, true))
}

fn sharding(row: &MeasuredRun) -> Result<OptimizerSharding, Skip> {
    if row.zero_stage.contains("offload") {
        return Err(Skip::Offload);
    }
    Ok(match row.zero_stage.chars().next() {
        Some('1') => OptimizerSharding::Zero1,
        Some('2') => OptimizerSharding::Zero2,
        Some('3') => OptimizerSharding::Zero3,
        _ => OptimizerSharding::None,
    })
}

/// Schedule of a row with `chunks` a stage.
fn schedule(row: &MeasuredRun, chunks: u64, has_stages: bool) -> Result<ScheduleKind, Skip> {
    let words = &row.schedule;
    if words.contains("ZB") || words.to_lowercase().contains("dualpipe") {
        return Err(Skip::Schedule(words.clone()));
    }
    Ok(match (has_stages, chunks) {
        (true, 2..) => ScheduleKind::Interleaved,
        _ => ScheduleKind::OneFOneB,
    })
}

/// Layers of each stage. Where the layers with embedding and head as one more each divide evenly,
/// and the layers alone do not, the first and the last chunk hold one layer fewer (Qi et al. 2024,
/// table 3; BLOOM's `--pp-partition-method`; Llama 3's first and last stage).
fn layers(total: u64, stages: u64, chunks: u64) -> Vec<u64> {
    let parts = stages * chunks;
    let evenly = |count: u64, p: u64| {
        let (each, more) = (count / p, count % p);
        (0..p).map(|q| each + u64::from(q < more)).collect::<Vec<u64>>()
    };
    if stages > 1 && !total.is_multiple_of(parts) && (total + 2).is_multiple_of(parts) {
        let mut layers = evenly(total + 2, stages);
        layers[0] -= 1;
        layers[stages as usize - 1] -= 1;
        return layers;
    }
    evenly(total, stages)
}

/// Layers of each stage with the embedding free and the head worth its products: nanotron spreads
/// blocks by their cost (`models/llama.py`, `get_block_compute_costs`).
fn layers_by_cost(model: &ModelSpec, stages: u64) -> Vec<u64> {
    let h = model.hidden_size as f64;
    let width = model.head_width() * (model.num_heads + 2 * model.kv_heads());
    let gates = if model.activation_kind().is_gated() { 3.0 } else { 2.0 };
    let layer = h * (width as f64 + h) + gates * h * model.ffn() as f64;
    let head = h * model.vocab_size as f64 / layer;
    let share = (model.num_layers as f64 + head) / stages as f64;
    let end = |q: u64| {
        let end = (share * (q + 1) as f64).round() as u64;
        end.clamp(q + 1, model.num_layers - (stages - 1 - q))
    };
    let mut first = 0;
    (0..stages)
        .map(|q| {
            let end = if q + 1 == stages { model.num_layers } else { end(q) };
            let count = end.saturating_sub(first).max(1);
            first = end;
            count
        })
        .collect()
}

/// What layers recompute, of `count` layers: nothing, the attention core, everything.
fn recompute(words: &str, row: &MeasuredRun, count: u64, flash: bool) -> RecomputeCounts {
    let none = RecomputeCounts { none: count, selective: 0, full: 0 };
    if words.starts_with("full") {
        RecomputeCounts { none: 0, selective: 0, full: count }
    } else if words.starts_with("selective") {
        // torchtitan recomputes every second layer, or of every layer all but each second product;
        // MaxText's and PAX's policies name the products that they keep.
        let half = ["torchtitan", "MLP", "QKV"];
        if half.iter().any(|word| row.framework.contains(word) || words.contains(word)) {
            return RecomputeCounts { none: count / 2, selective: 0, full: count - count / 2 };
        }
        if words.contains("DOT_ONLY") {
            return RecomputeCounts { none: 0, selective: count, full: 0 };
        }
        // Fused attention has no core to recompute.
        if flash { none } else { RecomputeCounts { none: 0, selective: count, full: 0 } }
    } else {
        none
    }
}

/// Stages of so many layers each.
fn stage_plans(words: &str, row: &MeasuredRun, split: &[u64], flash: bool) -> Vec<StagePlan> {
    let mut next = 0;
    let stage = |count: &u64| {
        let first = next;
        next += count;
        StagePlan {
            layers: format!("{first}..{next}"),
            devices: String::new(),
            recompute: recompute(words, row, *count, flash),
        }
    };
    split.iter().map(stage).collect()
}

/// Chunks of a stage, or those that a row may have.
fn chunks(
    row: &MeasuredRun,
    model: &ModelSpec,
    pipeline: u64,
    assumed: &mut Vec<String>,
) -> Vec<u64> {
    let may_interleave = pipeline > 1
        && (row.mentions("interleaved 1F1B for PP>1") || row.mentions("megatron-core r0"));
    match row.vpp {
        Some(chunks) => vec![chunks],
        None if may_interleave => {
            assumed.push("interleaving: the best that divides the layers".to_owned());
            divisors(model.num_layers / pipeline)
        }
        None => vec![1],
    }
}

/// The recomputation of a row in its words, or those that it may have. Programs of XLA
/// rematerialise what does not fit; recipes of others do so only where told.
fn recomputations<'a>(row: &'a MeasuredRun, assumed: &mut Vec<String>) -> Vec<&'a str> {
    if row.recompute.is_empty() && row.mentions("XLA") {
        assumed.push("recomputation: the best that fits".to_owned());
        vec!["none", "selective", "full"]
    } else {
        vec![row.recompute.as_str()]
    }
}

/// Divisors of `n`, ascending.
fn divisors(n: u64) -> Vec<u64> {
    (1..=n).filter(|d| n.is_multiple_of(*d)).collect()
}

/// The plans that a row may have run, and what was assumed of it.
///
/// # Errors
/// Configurations that are not simulated or not given.
pub fn plans(
    row: &MeasuredRun,
    model: &ModelSpec,
    ways: MappedWays,
    flash: bool,
) -> Result<(Vec<Plan>, Vec<String>), Skip> {
    let MappedWays { tensor, pipeline, data, context } = ways;
    let batch = model.training.global_batch_size;
    let mut assumed = Vec::new();
    let each = batch / data;
    let micro = match row.microbatch {
        Some(micro) => vec![micro],
        None => {
            assumed.push("micro-batch: the best that fits".to_owned());
            divisors(each).into_iter().filter(|b| *b <= MOST_MICRO_BATCH).collect()
        }
    };
    let chunks = chunks(row, model, pipeline, &mut assumed);
    let again = recomputations(row, &mut assumed);
    let sequence_parallel = row.seq_parallel.starts_with('y');
    let optimizer_sharding = sharding(row)?;
    let mut plans = Vec::new();
    for v in chunks {
        let v = if pipeline == 1 { 1 } else { v };
        let schedule = schedule(row, v, pipeline > 1)?;
        let split = if row.framework == "nanotron" && pipeline <= model.num_layers {
            layers_by_cost(model, pipeline)
        } else {
            layers(model.num_layers, pipeline, v)
        };
        for (&b, words) in micro.iter().flat_map(|b| again.iter().map(move |words| (b, words))) {
            let stages = stage_plans(words, row, &split, flash);
            plans.push(Plan {
                model: model.name.clone(),
                cluster: row.hardware.clone(),
                stack: row.framework.clone(),
                parallelism: Parallelism {
                    tensor,
                    pipeline,
                    data,
                    context,
                    expert: 1,
                    virtual_stages: v,
                    sequence_parallel,
                },
                batch: Batch { global: batch, micro: b },
                lora: None,
                schedule,
                optimizer_sharding,
                stages,
                operators: BTreeMap::new(),
            });
        }
    }
    Ok((plans, assumed))
}
