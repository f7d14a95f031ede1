//! The plans behind the best one: what differs, what it costs, what would turn the order around.

use super::number;
use super::summary::{degrees, half_width, recompute, schedule};
use crate::plan::Plan;
use crate::planner::Alternative;
use crate::sim::Prediction;

/// What differs between two plans, in the words of the plan file: `t 8 -> 4`.
pub(super) fn changes(from: &Plan, to: &Plan) -> Vec<String> {
    let (a, b) = (&from.parallelism, &to.parallelism);
    let mut list: Vec<String> = [
        ("t", a.tensor, b.tensor),
        ("p", a.pipeline, b.pipeline),
        ("d", a.data, b.data),
        ("c", a.context, b.context),
        ("e", a.expert, b.expert),
        ("v", a.virtual_stages, b.virtual_stages),
        ("micro-batch", from.batch.micro, to.batch.micro),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(name, old, new)| format!("{name} {old} -> {new}"))
    .collect();
    if from.schedule != to.schedule {
        list.push(format!("{} -> {}", schedule(from.schedule), schedule(to.schedule)));
    }
    if a.sequence_parallel != b.sequence_parallel {
        let word = if b.sequence_parallel { "with" } else { "without" };
        list.push(format!("{word} sequence parallel"));
    }
    if from.optimizer_sharding != to.optimizer_sharding {
        let (old, new) = (from.optimizer_sharding.name(), to.optimizer_sharding.name());
        list.push(format!("optimizer sharding {old} -> {new}"));
    }
    let (old, new) = (recompute(from), recompute(to));
    if old != new {
        list.push(format!("recompute {old} -> {new}"));
    }
    if list.is_empty() && from.stages != to.stages {
        list.push("other stage boundaries".to_owned());
    }
    if list.is_empty() && from.operators != to.operators {
        list.push("other operator shardings".to_owned());
    }
    list
}

/// Sentences on the runner-up and what would make it the better plan.
pub(super) fn runner_up(
    best: &Plan,
    prediction: &Prediction,
    others: &[Alternative],
) -> Vec<String> {
    let Some(second) = others.first() else {
        return vec!["No other plan was kept to compare with.".to_owned()];
    };
    let other = &second.prediction;
    let gap = other.iteration_time_s - prediction.iteration_time_s;
    let differences = changes(best, &second.plan);
    let how = if differences.is_empty() {
        "the same in every choice listed here".to_owned()
    } else {
        differences.join(", ")
    };
    let mut sentences = vec![format!(
        "The runner-up is {} ({how}): {} per iteration ({}, {}) and {} of memory ({}).",
        degrees(&second.plan),
        number::seconds(other.iteration_time_s),
        number::signed_seconds(gap),
        number::signed_percent(gap / prediction.iteration_time_s),
        number::bytes(other.peak_memory_bytes),
        number::signed_bytes(other.peak_memory_bytes, prediction.peak_memory_bytes)
    )];
    sentences.extend(time_flip(prediction, other, gap));
    sentences.push(memory_flip(prediction, other));
    sentences.extend(within_interval(prediction, gap));
    sentences
}

/// In which parts the runner-up loses and gains, and the change that would bring it level.
fn time_flip(best: &Prediction, other: &Prediction, gap: f64) -> Option<String> {
    let mut parts: Vec<(&str, f64, f64)> = best
        .breakdown
        .parts()
        .iter()
        .zip(other.breakdown.parts())
        .map(|((name, mine), (_, theirs))| (*name, theirs - mine, theirs))
        .collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (&(loss, lost, current), &(gain, gained, _)) = (parts.first()?, parts.last()?);
    if !(lost > 0.0 && gap >= 0.0) {
        return None;
    }
    let mut text = format!("It loses most by {loss} ({})", number::signed_seconds(lost));
    if gained < 0.0 {
        text.push_str(&format!(" and gains most by {gain} ({})", number::signed_seconds(gained)));
    }
    let needed = gap / current;
    if needed <= 1.0 {
        text.push_str(&format!(
            "; it would draw level if its {loss} took {} less ({} instead of {})",
            number::percent(needed),
            number::seconds(current - gap),
            number::seconds(current)
        ));
    } else {
        text.push_str("; no saving in that part alone would bring it level");
    }
    text.push('.');
    Some(text)
}

fn memory_flip(best: &Prediction, other: &Prediction) -> String {
    let (mine, theirs) = (best.peak_memory_bytes, other.peak_memory_bytes);
    if mine > theirs {
        format!(
            "On devices with less than {} this plan would no longer fit; the runner-up needs {}.",
            number::bytes(mine),
            number::bytes(theirs)
        )
    } else {
        format!(
            "It needs {}, so less memory would not turn the choice to it.",
            if mine == theirs {
                "as much memory".to_owned()
            } else {
                format!("{} more memory", number::bytes(theirs - mine))
            }
        )
    }
}

fn within_interval(best: &Prediction, gap: f64) -> Option<String> {
    let half = half_width(best) * best.iteration_time_s;
    (gap >= 0.0 && gap < half).then(|| {
        format!(
            "The difference of {} is less than half the interval of the prediction ({}), so \
             measuring both plans could turn the order around.",
            number::seconds(gap),
            number::seconds(half)
        )
    })
}
