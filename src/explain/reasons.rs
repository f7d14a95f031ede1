//! The numbers of a plan and its neighbours in sentences.

use super::{ExplainInput, Neighbour, Outcome};
use crate::units::{Bytes, Seconds};

/// What decides the time, what room there is, and what the neighbours say, in sentences.
pub fn reasons(subject: &ExplainInput<'_>, neighbours: &[Neighbour]) -> Vec<String> {
    let mut sentences = vec![bottleneck(subject)];
    sentences.extend(pace(subject));
    sentences.push(headroom(subject));
    sentences.push(nearest(subject, neighbours));
    sentences.extend(excluded(neighbours));
    sentences
}

/// Parts of the iteration, the largest first after computation.
fn bottleneck(subject: &ExplainInput<'_>) -> String {
    let prediction = subject.prediction;
    let total = prediction.iteration_time_s;
    let parts = prediction.breakdown.parts();
    let show = |(name, time): (&str, f64)| {
        format!("{name} {} ({:.1} %)", Seconds::new(time), 100.0 * time / total)
    };
    let mut rest = parts[1..].to_vec();
    rest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rest: Vec<String> =
        rest.into_iter().filter(|(_, time)| time / total >= 0.005).map(show).collect();
    let rest = if rest.is_empty() { "next to nothing".to_owned() } else { rest.join(", ") };
    format!("Of {} an iteration, {}; the rest is {rest}", Seconds::new(total), show(parts[0]))
}

/// The stage that decides.
fn pace(subject: &ExplainInput<'_>) -> Option<String> {
    let stages = &subject.prediction.stages;
    let times: Vec<f64> = stages.iter().map(|stage| stage.forward_s + stage.backward_s).collect();
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let slowest = (0..times.len()).max_by(|a, b| times[*a].total_cmp(&times[*b]).then(b.cmp(a)))?;
    (times.len() > 1 && mean > 0.0).then(|| {
        format!(
            "Stage {slowest} sets the pace: {} forward and backward for a micro-batch, {:.1} % over \
             the mean of {} stages",
            Seconds::new(times[slowest]),
            100.0 * (times[slowest] / mean - 1.0),
            times.len()
        )
    })
}

/// The fullest stage and what fills it.
fn headroom(subject: &ExplainInput<'_>) -> String {
    let stages = &subject.prediction.stages;
    let capacity = Bytes::new(subject.prediction.memory_capacity_bytes);
    let fullest = (0..stages.len())
        .max_by_key(|q| (stages[*q].peak_memory_bytes, std::cmp::Reverse(*q)))
        .unwrap_or(0);
    let Some(stage) = stages.get(fullest) else {
        return "There is no stage".to_owned();
    };
    let kinds = [
        ("parameters", stage.parameters_bytes),
        ("gradients", stage.gradients_bytes),
        ("optimizer states", stage.optimizer_bytes),
        ("activations", stage.activations_bytes),
        ("workspace and runtime", stage.other_bytes),
    ];
    let (kind, most) = kinds.into_iter().max_by_key(|(_, bytes)| *bytes).unwrap_or_default();
    let peak = Bytes::new(stage.peak_memory_bytes);
    let room = if peak > capacity {
        format!("{} more than there is", peak.saturating_sub(capacity))
    } else {
        format!("{} free", capacity.saturating_sub(peak))
    };
    format!(
        "Stage {fullest} is the fullest: {peak} of {capacity}, {room}; the largest part is {kind}, {}",
        Bytes::new(most)
    )
}

/// The fastest neighbour.
fn nearest(subject: &ExplainInput<'_>, neighbours: &[Neighbour]) -> String {
    let timed = neighbours.iter().filter_map(|n| Some((n.slower(subject)?, n)));
    let Some((slower, near)) = timed.min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return "No change of one choice gives another plan that fits".to_owned();
    };
    let percent = 100.0 * slower.abs();
    let label = near.label();
    match slower {
        s if s < -1e-9 => format!("A change of one choice is faster: {label} saves {percent:.2} %"),
        s if s > 1e-9 => {
            format!("No change of one choice is faster; the nearest, {label}, costs {percent:.2} %")
        }
        _ => format!("No change of one choice is faster; {label} takes as long"),
    }
}

/// Neighbours that memory excludes.
fn excluded(neighbours: &[Neighbour]) -> Option<String> {
    let over = |n: &&Neighbour| matches!(n.outcome, Outcome::Overflows { .. });
    let labels: Vec<String> = neighbours.iter().filter(over).map(Neighbour::label).collect();
    (!labels.is_empty()).then(|| format!("Memory excludes {}", labels.join("; ")))
}
