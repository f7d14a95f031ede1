//! Memory by stage and kind, as stacked bars under the line of the capacity.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use crate::report::number;
use crate::report::summary::{Headroom, memory_kinds};
use crate::sim::Prediction;
use crate::units::Bytes;

const HEIGHT: f64 = 400.0;
const INKS: [Ink; 5] = [Ink::Blue, Ink::Sky, Ink::Green, Ink::Orange, Ink::Grey];

/// One bar for each stage.
pub(super) fn chart(prediction: &Prediction) -> Option<Chart> {
    if prediction.stages.is_empty() {
        return None;
    }
    let room = Headroom::of(prediction);
    let description = format!(
        "Peak memory of the fullest rank of each of {} stages. Stage {} is the fullest: {} of {}, \
         {}.",
        prediction.stages.len(),
        room.stage,
        number::bytes(room.peak),
        number::bytes(room.capacity),
        room.words()
    );
    let title = "Memory by stage and kind".to_owned();
    Some(Chart::new("memory", (WIDTH, HEIGHT), title, description, |canvas| {
        let area = Area { left: LEFT, top: 100.0, right: RIGHT, bottom: HEIGHT - 48.0 };
        legend(canvas, prediction);
        bars(canvas, area, prediction);
    }))
}

fn legend(canvas: &mut Canvas<'_>, prediction: &Prediction) {
    let capacity = format!("capacity {}", number::bytes(prediction.memory_capacity_bytes));
    let mut entries: Vec<(Mark, &str)> = Vec::with_capacity(6);
    for (index, ink) in INKS.into_iter().enumerate() {
        let kind = |stage| memory_kinds(stage)[index];
        if let Some(stage) = prediction.stages.iter().find(|stage| kind(stage).1 > 0) {
            entries.push((Mark::Box(ink), kind(stage).0));
        }
    }
    entries.push((Mark::Dashes(Ink::Vermilion), &capacity));
    axis::legend(canvas, 50.0, &entries);
}

fn bars(canvas: &mut Canvas<'_>, area: Area, prediction: &Prediction) {
    let gib = |amount: u64| Bytes::new(amount).gib();
    let capacity = gib(prediction.memory_capacity_bytes);
    let sums: Vec<f64> = prediction
        .stages
        .iter()
        .map(|stage| memory_kinds(stage).iter().map(|(_, amount)| gib(*amount)).sum())
        .collect();
    let highest = sums.iter().copied().fold(capacity, f64::max) * 1.1;
    let scale = Scale::linear((0.0, highest), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &scale, 5, "memory of a device (GiB)");
    let slot = (area.right - area.left) / sums.len() as f64;
    let width = (slot * 0.72).min(90.0);
    for (index, stage) in prediction.stages.iter().enumerate() {
        let middle = area.left + (index as f64 + 0.5) * slot;
        let left = middle - width / 2.0;
        let mut below = 0.0;
        for ((_, amount), ink) in memory_kinds(stage).into_iter().zip(INKS) {
            let above = below + gib(amount);
            let (top, bottom) = (scale.at(above), scale.at(below));
            if bottom - top >= 0.25 {
                let gap = if bottom - top > 3.0 { 1.0 } else { 0.0 };
                canvas.rect(left, top + gap, width, bottom - top - gap, ink);
            }
            if bottom - top >= 15.0 && width >= 34.0 {
                let look = Lettering::new(11.0, ink.contrast()).at(Anchor::Middle);
                canvas.text(middle, (top + bottom) / 2.0, &format!("{:.1}", gib(amount)), look);
            }
            below = above;
        }
        if width >= 34.0 {
            let look = Lettering::new(SMALL, Ink::Text).at(Anchor::Middle).bold();
            canvas.text(middle, scale.at(below) - 9.0, &format!("{below:.1}"), look);
        }
    }
    let y = scale.at(capacity);
    canvas.dashes((area.left, y), (area.right, y), Ink::Vermilion, 2.0);
    stage_labels(canvas, area, sums.len());
}

/// Numbers of the stages below the bars, as many as have room.
fn stage_labels(canvas: &mut Canvas<'_>, area: Area, stages: usize) {
    let slot = (area.right - area.left) / stages as f64;
    let widest = text_width(&stages.to_string(), SMALL) + 8.0;
    let stride = super::rows::stride(widest / slot);
    let look = Lettering::new(SMALL, Ink::Muted).at(Anchor::Middle);
    for index in (0..stages).step_by(stride) {
        let middle = area.left + (index as f64 + 0.5) * slot;
        canvas.text(middle, area.bottom + 14.0, &index.to_string(), look);
    }
    canvas.line((area.left, area.bottom), (area.right, area.bottom), Ink::Axis, 1.0);
    canvas.text((area.left + area.right) / 2.0, area.bottom + 32.0, "stage", look);
}
