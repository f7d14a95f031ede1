//! Whether a plan can be run at all.

use super::finding::Check;
use super::input::CheckInput;
use crate::plan::Strategy;
use crate::spec::ScheduleKind;

const CODE: &str = "structure";

/// Counts, stages and schedule.
pub(super) fn check(subject: &CheckInput<'_>, check: &mut Check) {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let used = [p.tensor, p.pipeline, p.data, p.context]
        .iter()
        .fold(1u64, |product, ways| product.saturating_mul(*ways));
    if used == 0 || plan.batch.micro == 0 || p.virtual_stages == 0 {
        check.error(CODE, "a number of ways or a batch is zero".to_owned());
        return;
    }
    if p.context > 1 && !subject.model.sequence_length.is_multiple_of(p.context) {
        let length = subject.model.sequence_length;
        check.error(CODE, format!("{length} tokens of a sequence are split {} ways", p.context));
    }
    if used > subject.devices {
        check.error(CODE, format!("{used} devices are used, {} are there", subject.devices));
    }
    let rows = plan.batch.micro.saturating_mul(p.data);
    if !plan.batch.global.is_multiple_of(rows) {
        let message = format!("global batch {} is not a multiple of {rows}", plan.batch.global);
        check.error(CODE, message);
    }
    if plan.batch.global != subject.model.training.global_batch_size {
        check.error(
            CODE,
            format!(
                "the plan's global batch is {}, the job's {}",
                plan.batch.global, subject.model.training.global_batch_size
            ),
        );
    }
    stages(subject, check);
    schedule(subject, check, plan.batch.global / rows.max(1));
    operators(subject, check);
    if check.holds() {
        check.note(
            CODE,
            format!("{used} of {} devices, stages, batch and schedule", subject.devices),
        );
    }
}

/// Stages hold all layers once, in order.
fn stages(subject: &CheckInput<'_>, check: &mut Check) {
    let plan = subject.plan;
    if plan.stages.is_empty() {
        return;
    }
    if plan.stages.len() as u64 != plan.parallelism.pipeline {
        let (listed, wanted) = (plan.stages.len(), plan.parallelism.pipeline);
        check.error(CODE, format!("{listed} stages are listed, `pipeline` is {wanted}"));
    }
    let mut expected = 0;
    for (q, stage) in plan.stages.iter().enumerate() {
        let ends: Vec<Option<u64>> =
            stage.layers.split("..").map(|part| part.trim().parse().ok()).collect();
        let [Some(first), Some(end)] = ends[..] else {
            check.error(CODE, format!("stage {q}: `{}` is not a range", stage.layers));
            return;
        };
        if first != expected || end <= first {
            check.error(CODE, format!("stage {q}: `{}` does not follow on", stage.layers));
            return;
        }
        let r = &stage.recompute;
        let named = r.none.saturating_add(r.selective).saturating_add(r.full);
        if named != end - first {
            let message =
                format!("stage {q}: recomputation names {named} of {} layers", end - first);
            check.error(CODE, message);
        }
        expected = end;
    }
    if expected != subject.model.num_layers {
        let all = subject.model.num_layers;
        check.error(CODE, format!("stages end at layer {expected} of {all}"));
    }
}

fn schedule(subject: &CheckInput<'_>, check: &mut Check, micro_batches: u64) {
    let p = &subject.plan.parallelism;
    let (stages, chunks) = (p.pipeline, p.virtual_stages);
    match subject.plan.schedule {
        ScheduleKind::Interleaved => {
            if stages < 2 || chunks < 2 {
                check.error(CODE, "interleaving needs 2 stages and 2 chunks at least".to_owned());
            }
            if !micro_batches.is_multiple_of(stages) {
                let message =
                    format!("{micro_batches} micro-batches for {stages} stages interleaved");
                check.error(CODE, message);
            }
            // Chunks are equal, or are with the embedding and the head as a layer each (Dubey et al.
            // 2024, §3.3.2).
            let layers = subject.model.num_layers;
            let parts = stages.saturating_mul(chunks);
            if !layers.is_multiple_of(parts) && !layers.saturating_add(2).is_multiple_of(parts) {
                check.error(CODE, "interleaved chunks are not equal".to_owned());
            }
        }
        _ if chunks > 1 => check.error(CODE, "chunks without interleaving".to_owned()),
        _ => {}
    }
    if stages > subject.model.num_layers {
        check.error(CODE, "a stage has no layer".to_owned());
    }
}

/// Names of operators, and that what is split divides.
fn operators(subject: &CheckInput<'_>, check: &mut Check) {
    let t = subject.plan.parallelism.tensor;
    let heads = [subject.model.num_heads, subject.model.kv_heads()];
    let divides = heads.iter().all(|heads| heads.is_multiple_of(t));
    if !divides && !subject.stack.replicates_attention {
        let [heads, kv] = heads;
        let stack = &subject.stack.name;
        let what = format!("{heads} heads, {kv} of keys and values, are split {t} ways");
        check.error(CODE, format!("{what}, and stack `{stack}` splits attention by heads"));
    }
    for (block, chosen) in &subject.plan.operators {
        for (name, strategy) in chosen {
            let mut ops = subject.graph.dag.node_weights().filter(|op| op.name == *name);
            if ops.next().is_none() {
                check.error(CODE, format!("{block}: the model has no operator `{name}`"));
            }
            if *strategy == Strategy::Heads && !divides {
                let [heads, kv] = heads;
                let what = format!("{heads} heads, {kv} of keys and values,");
                check.error(CODE, format!("{block}: {what} are split {t} ways"));
            }
        }
    }
}
