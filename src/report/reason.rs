//! Why the plan takes as long as it does and what limits it, in sentences computed from its numbers.

use super::input::ReportInput;
use super::number;
use super::summary::{Headroom, memory_kinds};
use crate::plan::Plan;
use crate::sim::Prediction;

/// A part of the iteration below this share is not worth a word.
const NEGLIGIBLE: f64 = 0.005;
/// Memory with less than this share free is called nearly full.
const TIGHT: f64 = 0.05;

/// Sentences on where the time goes, what binds, and how even the stages are.
pub(super) fn reasons(input: &ReportInput<'_>) -> Vec<String> {
    let prediction = input.prediction();
    let plan = &input.outcome.plan;
    let mut sentences = vec![where_time_goes(prediction)];
    sentences.extend(largest_loss(plan, prediction));
    sentences.push(what_memory_says(prediction));
    sentences.extend(balance(prediction));
    sentences.extend(recomputation(prediction));
    sentences
}

fn where_time_goes(prediction: &Prediction) -> String {
    let total = prediction.iteration_time_s;
    let parts = prediction.breakdown.parts();
    let compute = parts[0].1;
    let mut losses: Vec<(&str, f64)> =
        parts[1..].iter().copied().filter(|(_, time)| *time / total >= NEGLIGIBLE).collect();
    losses.sort_by(|a, b| b.1.total_cmp(&a.1));
    let listed: Vec<String> = losses
        .iter()
        .map(|(name, time)| {
            format!("{name} {} ({})", number::percent(time / total), number::seconds(*time))
        })
        .collect();
    let rest = match listed.as_slice() {
        [] => "no other part reaches half a per cent".to_owned(),
        _ => format!("the rest is {}", listed.join(", ")),
    };
    format!(
        "Computation takes {} of the iteration on the stage that decides it ({} of {}); {rest}.",
        number::percent(compute / total),
        number::seconds(compute),
        number::seconds(total)
    )
}

/// The largest part that is not computation, with what causes it in this plan.
fn largest_loss(plan: &Plan, prediction: &Prediction) -> Option<String> {
    let total = prediction.iteration_time_s;
    let (name, time) = prediction.breakdown.parts()[1..]
        .iter()
        .copied()
        .filter(|(_, time)| *time / total >= NEGLIGIBLE)
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let p = &plan.parallelism;
    let cause = match name {
        "recompute" => "forward passes that run again in the backward pass to save memory".into(),
        "tensor parallel" => {
            format!("collectives over {} ranks that each layer waits for", p.tensor)
        }
        "context parallel" => {
            format!("keys and values exchanged over {} ranks of a sequence", p.context)
        }
        "expert parallel" => format!("tokens exchanged over {} ranks of experts", p.expert),
        "pipeline transfers" => {
            format!("activations and gradients between {} stages that nothing hides", p.pipeline)
        }
        "pipeline bubble" => bubble(plan),
        "data parallel" => format!(
            "gradient reduction and parameter gathering over {} replicas that nothing hides",
            p.data
        ),
        _ => "the update of the parameters at the end of each step".into(),
    };
    Some(format!(
        "Beyond computation most time goes to {name}, {} ({}): {cause}.",
        number::percent(time / total),
        number::seconds(time)
    ))
}

/// The bubble against its closed form for equal stages, (p-1)/(v m) of the busy time
/// (Narayanan et al. 2021, §2.2); ignores transfers and unequal stages.
fn bubble(plan: &Plan) -> String {
    let p = &plan.parallelism;
    let Some(micro_batches) = plan.num_micro_batches() else {
        return format!("{} stages fill and drain", p.pipeline);
    };
    let busy = (p.virtual_stages.max(1) as f64) * micro_batches.max(1) as f64;
    let ratio = p.pipeline.saturating_sub(1) as f64 / busy;
    format!(
        "{} stages fill and drain around {} micro-batches, which costs {} of the iteration even \
         with equal stages and free transfers",
        p.pipeline,
        number::count(micro_batches),
        number::percent(ratio / (1.0 + ratio))
    )
}

fn what_memory_says(prediction: &Prediction) -> String {
    let room = Headroom::of(prediction);
    let largest = prediction
        .stages
        .get(room.stage)
        .and_then(|stage| memory_kinds(stage).into_iter().rev().max_by_key(|(_, amount)| *amount));
    let most = largest.map_or(String::new(), |(kind, amount)| {
        format!(", the largest part is {kind} ({})", number::bytes(amount))
    });
    let fact = format!(
        "stage {} peaks at {} of {} ({}){most}",
        room.stage,
        number::bytes(room.peak),
        number::bytes(room.capacity),
        number::percent(room.share())
    );
    if !room.fits() {
        format!("The plan does not fit: {fact}.")
    } else if 1.0 - room.share() < TIGHT {
        format!("Memory is nearly full: {fact}.")
    } else {
        format!("Memory has room: {fact}.")
    }
}

fn balance(prediction: &Prediction) -> Option<String> {
    let times: Vec<f64> =
        prediction.stages.iter().map(|stage| stage.forward_s + stage.backward_s).collect();
    if times.len() < 2 {
        return None;
    }
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let (slowest, time) =
        times.iter().copied().enumerate().rev().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    Some(format!(
        "Stage {slowest} sets the pace: forward and backward of one micro-batch take {}, {} over \
         the average of {} stages.",
        number::seconds(time),
        number::percent((time - mean) / mean),
        times.len()
    ))
}

fn recomputation(prediction: &Prediction) -> Option<String> {
    let extra = prediction.hardware_tflops_per_device / prediction.model_tflops_per_device - 1.0;
    (extra.is_finite() && extra >= NEGLIGIBLE).then(|| {
        format!(
            "Recomputation and padding execute {} more operations than the model needs (HFU {}, \
             MFU {}).",
            number::percent(extra),
            number::percent(prediction.hfu),
            number::percent(prediction.mfu)
        )
    })
}
