//! Where the iteration goes: a bar for each part, longest first.

use super::axis::{self, Area, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering};
use super::figure::{Chart, RIGHT, WIDTH};
use super::palette::Ink;
use crate::report::number;
use crate::sim::Prediction;

const ROW: f64 = 30.0;
const NAMES: f64 = 160.0;
const VALUES: f64 = 130.0;

/// One bar for each part of the iteration that is not zero.
pub(super) fn chart(prediction: &Prediction) -> Option<Chart> {
    let total = prediction.iteration_time_s;
    let mut parts: Vec<(&str, f64)> = prediction
        .breakdown
        .parts()
        .into_iter()
        .filter(|(_, time)| time.is_finite() && *time > 0.0)
        .collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    if parts.is_empty() || !(total.is_finite() && total > 0.0) {
        return None;
    }
    let listed: Vec<String> = parts
        .iter()
        .map(|(name, time)| format!("{name} {}", number::percent(time / total)))
        .collect();
    let title = format!("Where the iteration of {} goes", number::seconds(total));
    let description = format!(
        "Exposed time on the stage that decides the iteration; the bars add up to it: {}.",
        listed.join(", ")
    );
    let height = 48.0 + parts.len() as f64 * ROW + 48.0;
    Some(Chart::new("breakdown", (WIDTH, height), title, description, |canvas| {
        bars(canvas, &parts, total);
    }))
}

fn bars(canvas: &mut Canvas<'_>, parts: &[(&str, f64)], total: f64) {
    let longest = parts.first().map_or(1.0, |(_, time)| *time);
    let (unit, size) = axis::time_unit(total);
    let area = Area { left: NAMES, top: 44.0, right: RIGHT - VALUES, bottom: canvas.height - 48.0 };
    let scale = Scale::linear((0.0, longest / size), (area.left, area.right));
    axis::ground(canvas, area);
    axis::below(canvas, area, &scale, 6, &format!("time ({unit})"));
    for (row, (name, time)) in parts.iter().enumerate() {
        let y = area.top + row as f64 * ROW + 5.0;
        let middle = y + (ROW - 10.0) / 2.0;
        let end = scale.at(time / size);
        let name_look = Lettering::new(SMALL + 1.0, Ink::Text).at(Anchor::End);
        canvas.text(area.left - 10.0, middle, name, name_look);
        canvas.rect(area.left, y, end - area.left, ROW - 10.0, ink(name));
        let value = format!("{} ({})", number::seconds(*time), number::percent(time / total));
        canvas.text(end + 8.0, middle, &value, Lettering::new(SMALL + 1.0, Ink::Text));
    }
}

fn ink(part: &str) -> Ink {
    match part {
        "compute" => Ink::Blue,
        "recompute" => Ink::Sky,
        "tensor parallel" => Ink::Orange,
        "context parallel" => Ink::Purple,
        "expert parallel" => Ink::Yellow,
        "pipeline transfers" => Ink::Purple,
        "data parallel" => Ink::Green,
        "optimizer" => Ink::Vermilion,
        _ => Ink::Grey,
    }
}
