//! A recount of bytes and seconds from first principles.

use super::finding::Check;
use super::input::CheckInput;
use crate::graph::{BlockKind, OpKind};
use crate::plan::{OptimizerSharding, Plan, Strategy};
use crate::spec::{Optimizer, Precision, ScheduleKind};
use serde_json::Value;

/// Bytes of an element: parameter, gradient, optimizer states with the 32-bit copy (Micikevicius
/// et al. 2018; Rajbhandari et al. 2020, §3.1).
fn state(subject: &CheckInput<'_>) -> [u64; 3] {
    let moments = match subject.model.training.optimizer {
        Optimizer::Adam | Optimizer::Lamb => 8,
        Optimizer::Sgd => 4,
    };
    match subject.model.training.precision {
        Precision::Fp32 | Precision::Tf32 => [4, 4, moments],
        _ => {
            let gradients = subject.stack.gradient_bytes + subject.stack.gradient_copy_bytes;
            [2, gradients, 4 + moments]
        }
    }
}

/// Parameter elements of a block on one tensor rank, as the plan shards its operators: all, and
/// those that are trained.
fn elements(
    subject: &CheckInput<'_>,
    kind: BlockKind,
    name: &str,
    tied_elsewhere: bool,
) -> [u64; 2] {
    let t = subject.plan.parallelism.tensor;
    let chosen = subject.plan.operators.get(name);
    let Some(block) = subject.graph.blocks.iter().find(|block| block.kind == kind) else {
        return [0; 2];
    };
    let [mut all, mut trained] = [0; 2];
    for node in &block.ops {
        let op = &subject.graph.dag[*node];
        // A plan that is written out names all of its shardings where there is more than one rank.
        let strategy = chosen.and_then(|chosen| chosen.get(&op.name)).copied();
        let strategy = strategy.unwrap_or(Strategy::Replicated);
        for parameter in op.parameters() {
            if parameter.tied && !tied_elsewhere {
                continue;
            }
            let whole = parameter.elements();
            let output = parameter.shape.last().copied().unwrap_or(1).max(1);
            let is_weight = parameter.name == "weight" && parameter.shape.len() == 2;
            // The dimension that is split is padded to a multiple of t.
            let local = match (strategy, &op.kind) {
                // A whole and B split by columns, or A split by rows and B whole.
                (s, _) if parameter.is_lora_a() && s.splits_rows() => whole.div_ceil(t),
                (_, _) if parameter.is_lora_a() => whole,
                (s, _) if parameter.is_lora_b() && !s.splits_columns() => whole,
                (s, OpKind::TokenEmbedding { vocab }) if s.splits_vocabulary() => {
                    vocab.div_ceil(t) * op.width
                }
                (s, OpKind::Linear { .. }) if s.splits_columns() => {
                    output.div_ceil(t) * (whole / output)
                }
                (s, OpKind::Linear { input, .. }) if s.splits_rows() && is_weight => {
                    input.div_ceil(t) * output
                }
                _ => whole,
            };
            all += local;
            trained += if parameter.trained { local } else { 0 };
        }
    }
    [all, trained]
}

/// Memory and time that the results claim.
pub(super) fn check(subject: &CheckInput<'_>, check: &mut Check) {
    let Some(prediction) = subject.results.map(|results| &results["prediction"]) else {
        let message = "there is no `search.json` beside the plan: memory is not recounted";
        check.warning("memory", message.to_owned());
        return;
    };
    let Some(stages) = prediction["stages"].as_array() else {
        check.error("memory", "the results have no stages".to_owned());
        return;
    };
    if stages.len() as u64 != subject.plan.parallelism.pipeline {
        check.error("memory", "the results have another number of stages".to_owned());
        return;
    }
    for (q, stage) in stages.iter().enumerate() {
        recount(subject, q, stage, check);
    }
    time(subject, prediction, stages, check);
    if check.holds() {
        check.note(
            "memory",
            format!("{} stages recounted, all within {}", stages.len(), subject.memory),
        );
    }
}

fn bytes(stage: &Value, key: &str) -> f64 {
    stage[key].as_f64().unwrap_or(f64::NAN)
}

/// One stage: its state by the plan's shardings, its least activations, and the sum.
fn recount(subject: &CheckInput<'_>, q: usize, stage: &Value, check: &mut Check) {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let layers = plan
        .stages
        .get(q)
        .map_or(0, |stage| stage.recompute.none + stage.recompute.selective + stage.recompute.full);
    let last = q as u64 + 1 == p.pipeline;
    let mut counts = elements(subject, BlockKind::Layer, "layer", true).map(|each| layers * each);
    let mut add = |more: [u64; 2]| {
        counts = [counts[0] + more[0], counts[1] + more[1]];
    };
    if q == 0 {
        add(elements(subject, BlockKind::Embedding, "embedding", true));
    }
    if last {
        add(elements(subject, BlockKind::Head, "head", p.pipeline > 1));
    }
    let [all, trained] = counts;
    let share = |from: OptimizerSharding| {
        if plan.optimizer_sharding >= from { sharers(plan) as f64 } else { 1.0 }
    };
    let [parameter, gradient, optimizer] = state(subject);
    let claims = [
        ("parameters_bytes", all, parameter, OptimizerSharding::Zero3),
        ("gradients_bytes", trained, gradient, OptimizerSharding::Zero2),
        ("optimizer_bytes", trained, optimizer, OptimizerSharding::Zero1),
    ];
    for (key, count, each, from) in claims {
        let counted = (count * each) as f64 / share(from);
        let claimed = bytes(stage, key);
        // Sharded parameters and gradients also hold the blocks that are whole while they run.
        let more = plan.optimizer_sharding >= from && from >= OptimizerSharding::Zero2;
        let wrong = claimed.is_nan()
            || claimed < counted * 0.999 - 4096.0
            || (!more && claimed > counted * 1.001 + 4096.0);
        if wrong {
            check.error(
                "memory",
                format!("stage {q}: `{key}` is {claimed:.0}, counted from the plan {counted:.0}"),
            );
        }
    }
    let least = least_activations(subject, q, layers);
    if bytes(stage, "activations_bytes") < least {
        let claimed = bytes(stage, "activations_bytes");
        check.error("memory", format!("stage {q}: activations {claimed:.0}, at least {least:.0}"));
    }
    let parts = [
        "parameters_bytes",
        "gradients_bytes",
        "optimizer_bytes",
        "activations_bytes",
        "other_bytes",
    ];
    let sum: f64 = parts.iter().map(|key| bytes(stage, key)).sum();
    if sum != bytes(stage, "peak_memory_bytes") {
        check.error("memory", format!("stage {q}: the parts do not add up to the peak"));
    }
    if sum > subject.memory.as_f64() {
        let room = subject.memory;
        check.error("memory", format!("stage {q} needs {:.1} GiB of {room}", sum / 1073741824.0));
    }
}

/// Ranks that hold the same parameters: replicas, and those that share a replica's sequences.
fn sharers(plan: &Plan) -> u64 {
    plan.parallelism.data.saturating_mul(plan.parallelism.context)
}

/// Bytes of the inputs of all layers for the micro-batches in flight: what is kept even under full
/// recomputation (Korthikanti et al. 2022, §5), sharded as far as it can be.
fn least_activations(subject: &CheckInput<'_>, q: usize, layers: u64) -> f64 {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let element = match subject.model.training.precision {
        Precision::Fp32 | Precision::Tf32 => 4.0,
        _ => 2.0,
    };
    let rows = (plan.batch.micro * subject.model.sequence_length) as f64 / p.context as f64;
    let input = rows * subject.model.hidden_size as f64 * element / p.tensor as f64;
    // A chunk at an end may have a layer fewer than the others.
    let chunk_layers = layers / p.virtual_stages;
    (in_flight(subject, q as u64) * chunk_layers) as f64 * input
}

/// Chunk activations alive at once on a stage: forwards before the first backward, plus one.
fn in_flight(subject: &CheckInput<'_>, q: u64) -> u64 {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let m = plan.batch.global / (plan.batch.micro * p.data).max(1);
    let after = p.pipeline - 1 - q;
    match plan.schedule {
        ScheduleKind::Gpipe if p.pipeline > 1 => m,
        ScheduleKind::Gpipe | ScheduleKind::OneFOneB => m.min(after + 1),
        ScheduleKind::Interleaved => {
            let warm_up = 2 * after + (p.virtual_stages - 1) * p.pipeline;
            (m * p.virtual_stages).min(warm_up + 1)
        }
    }
}

/// No stage works longer than the iteration, and no device computes faster than its peak.
fn time(subject: &CheckInput<'_>, prediction: &Value, stages: &[Value], check: &mut Check) {
    let plan = subject.plan;
    let m = plan.batch.global / (plan.batch.micro * plan.parallelism.data).max(1);
    let claimed = prediction["iteration_time_s"].as_f64().unwrap_or(f64::NAN);
    for (q, stage) in stages.iter().enumerate() {
        let busy = m as f64 * (bytes(stage, "forward_s") + bytes(stage, "backward_s"));
        if busy.is_nan() || claimed.is_nan() || busy > claimed * (1.0 + 1e-9) {
            check.error("time", format!("stage {q} works {busy:.3} s in {claimed:.3} s"));
        }
    }
    let flops = subject.graph.model_flops(plan.batch.global).get();
    let used = plan.parallelism.tensor * plan.parallelism.pipeline * sharers(plan);
    let floor = flops / (used as f64 * subject.peak_flops);
    // Fused causal attention skips half of its share, which is less than half of the whole.
    if claimed < floor * 0.5 {
        check.error("time", format!("{claimed:.3} s is faster than the devices' peak allows"));
    }
    let parts = prediction["breakdown"].as_object();
    let sum: f64 = parts.into_iter().flatten().filter_map(|(_, part)| part.as_f64()).sum();
    if (sum - claimed).abs() > claimed * 1e-9 {
        check.error("time", format!("the breakdown sums to {sum} s, not {claimed} s"));
    }
}
