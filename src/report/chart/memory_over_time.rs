//! Memory in use over one iteration, on the fullest rank of the fullest stage.

use super::axis::{self, Area, Mark, Scale};
use super::canvas::Canvas;
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use crate::report::number;
use crate::sim::{Prediction, Timeline};
use crate::units::Bytes;

const HEIGHT: f64 = 300.0;

/// A step line under the line of the capacity; nothing where no memory was recorded.
pub(super) fn chart(prediction: &Prediction, timeline: &Timeline) -> Option<Chart> {
    let fullest = timeline.memory.iter().rev().max_by_key(|sample| sample.bytes)?;
    let (stage, peak) = (fullest.stage, fullest.bytes);
    let samples: Vec<(f64, f64)> = timeline
        .memory
        .iter()
        .filter(|sample| sample.stage == stage)
        .map(|sample| (sample.time.seconds().get(), sample.bytes.gib()))
        .collect();
    let end = timeline.end.seconds().get();
    if end <= 0.0 {
        return None;
    }
    let title = format!("Memory over time on stage {stage}, the fullest");
    let description = format!(
        "Bytes in use on the stage's fullest rank over one iteration of {}; the peak is {} of {}.",
        number::seconds(end),
        peak,
        number::bytes(prediction.memory_capacity_bytes)
    );
    let capacity = prediction.memory_capacity_bytes;
    Some(Chart::new("memory-over-time", (WIDTH, HEIGHT), title, description, |canvas| {
        plot(canvas, &samples, end, (peak, Bytes::new(capacity)));
    }))
}

fn plot(
    canvas: &mut Canvas<'_>,
    samples: &[(f64, f64)],
    end: f64,
    (peak, capacity): (Bytes, Bytes),
) {
    let area = Area { left: LEFT, top: 100.0, right: RIGHT, bottom: HEIGHT - 48.0 };
    let (unit, size) = axis::time_unit(end);
    let highest = capacity.gib().max(peak.gib()) * 1.1;
    let across = Scale::linear((0.0, end / size), (area.left, area.right));
    let up = Scale::linear((0.0, highest), (area.bottom, area.top));
    let (peak_text, capacity_text) =
        (format!("in use, peak {peak}"), format!("capacity {capacity}"));
    axis::legend(
        canvas,
        50.0,
        &[(Mark::Box(Ink::Blue), &peak_text), (Mark::Dashes(Ink::Vermilion), &capacity_text)],
    );
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, "memory in use (GiB)");
    axis::below(canvas, area, &across, 8, &format!("time ({unit})"));
    let steps = steps(samples, |time| across.at(time / size), |amount| up.at(amount), area);
    let mut outline = steps.clone();
    outline.push((area.right, area.bottom));
    outline.push((steps.first().map_or(area.left, |first| first.0), area.bottom));
    canvas.polygon(&outline, Ink::Sky, 0.45);
    canvas.path(&steps, Ink::Blue, 1.5);
    let y = up.at(capacity.gib());
    canvas.dashes((area.left, y), (area.right, y), Ink::Vermilion, 2.0);
}

/// The step line in pixels; where several samples share a column of pixels, only the first, the
/// extremes and the last are drawn.
pub(super) fn steps(
    samples: &[(f64, f64)],
    across: impl Fn(f64) -> f64,
    up: impl Fn(f64) -> f64,
    area: Area,
) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut rest = samples;
    let mut level = None;
    while let Some((time, _)) = rest.first() {
        let x = across(*time).clamp(area.left, area.right);
        let until = rest.iter().take_while(|(time, _)| across(*time) < x + 0.5).count().max(1);
        let (column, tail) = rest.split_at(until);
        let heights = column.iter().map(|(_, amount)| up(*amount));
        let lowest = heights.clone().fold(f64::NEG_INFINITY, f64::max);
        let highest = heights.fold(f64::INFINITY, f64::min);
        if let Some(level) = level {
            points.push((x, level));
        }
        let last = column.last().map_or(area.bottom, |(_, amount)| up(*amount));
        if column.len() > 2 {
            points.push((x, lowest));
            points.push((x, highest));
        }
        points.push((x, last));
        level = Some(last);
        rest = tail;
    }
    if let Some(level) = level {
        points.push((area.right, level));
    }
    points
}
