//! One row for each plan: the best and the alternatives, best first.

use super::summary::{recompute, schedule};
use crate::plan::Plan;
use crate::planner::SearchOutcome;
use crate::sim::Prediction;
use std::borrow::Cow;
use std::fmt::Write;

const HEADER: &str = "rank,model,cluster,stack,devices,tensor,pipeline,data,context,expert,\
    virtual_stages,sequence_parallel,global_batch,micro_batch,num_micro_batches,schedule,\
    optimizer_sharding,recompute,iteration_time_s,iteration_time_low_s,iteration_time_high_s,\
    tokens_per_s,mfu,hfu,peak_memory_bytes,memory_capacity_bytes\n";

/// The plans of an outcome as comma-separated values (RFC 4180, lines end with a line feed).
pub fn csv(outcome: &SearchOutcome) -> String {
    let mut out = String::from(HEADER);
    row(&mut out, 1, &outcome.plan, &outcome.prediction);
    for (index, other) in outcome.alternatives.iter().enumerate() {
        row(&mut out, index + 2, &other.plan, &other.prediction);
    }
    out
}

fn row(out: &mut String, rank: usize, plan: &Plan, prediction: &Prediction) {
    let p = &plan.parallelism;
    let micro_batches = plan.num_micro_batches().map_or(String::new(), |count| count.to_string());
    let (model, cluster, stack) = (cell(&plan.model), cell(&plan.cluster), cell(&plan.stack));
    let _ = write!(
        out,
        "{rank},{model},{cluster},{stack},{},{},{},{},{},{},{},{},{},{},{micro_batches},{},{},{},",
        plan.devices(),
        p.tensor,
        p.pipeline,
        p.data,
        p.context,
        p.expert,
        p.virtual_stages,
        p.sequence_parallel,
        plan.batch.global,
        plan.batch.micro,
        schedule(plan.schedule),
        plan.optimizer_sharding.name(),
        recompute(plan),
    );
    let _ = writeln!(
        out,
        "{},{},{},{},{},{},{},{}",
        prediction.iteration_time_s,
        prediction.iteration_time_low_s,
        prediction.iteration_time_high_s,
        prediction.tokens_per_s,
        prediction.mfu,
        prediction.hfu,
        prediction.peak_memory_bytes,
        prediction.memory_capacity_bytes
    );
}

fn cell(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}
