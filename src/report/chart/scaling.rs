//! Iteration time and utilisation over numbers of devices.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use crate::report::ScalingPoint;
use crate::report::number;

const HEIGHT: f64 = 360.0;
const MIDDLE: f64 = WIDTH / 2.0;

/// Two plots side by side; nothing for fewer than two numbers of devices.
pub(super) fn chart(points: &[ScalingPoint]) -> Option<Chart> {
    let valid = |point: &ScalingPoint| {
        point.devices > 0 && point.iteration_time_s > 0.0 && point.iteration_time_s.is_finite()
    };
    let mut points: Vec<ScalingPoint> = points.iter().copied().filter(valid).collect();
    points.sort_by_key(|point| point.devices);
    points.dedup_by_key(|point| point.devices);
    let (first, last) = (*points.first()?, *points.last()?);
    if points.len() < 2 {
        return None;
    }
    let speedup = first.iteration_time_s / last.iteration_time_s;
    let description = format!(
        "The best plan on {} to {} devices: {} times the devices make the iteration {speedup:.2} \
         times as fast, from {} to {}; MFU goes from {} to {}.",
        number::count(first.devices),
        number::count(last.devices),
        number::rate(last.devices as f64 / first.devices as f64),
        number::seconds(first.iteration_time_s),
        number::seconds(last.iteration_time_s),
        number::percent(first.mfu),
        number::percent(last.mfu)
    );
    let title = "Scaling over devices".to_owned();
    Some(Chart::new("scaling", (WIDTH, HEIGHT), title, description, |canvas| {
        let entries =
            [(Mark::Line(Ink::Blue), "best plan"), (Mark::Dashes(Ink::Grey), "linear scaling")];
        axis::legend(canvas, 50.0, &entries);
        times(canvas, &points);
        utilisation(canvas, &points);
    }))
}

fn devices_scale(points: &[ScalingPoint], area: Area) -> Scale {
    let ends = (points.first(), points.last());
    let (low, high) = (ends.0.map_or(1, |p| p.devices), ends.1.map_or(2, |p| p.devices));
    Scale::logarithmic((low as f64, high as f64), (area.left + 16.0, area.right - 16.0))
}

fn times(canvas: &mut Canvas<'_>, points: &[ScalingPoint]) {
    let area = Area { left: LEFT, top: 100.0, right: MIDDLE - 24.0, bottom: HEIGHT - 48.0 };
    let across = devices_scale(points, area);
    let slowest = points.iter().map(|point| point.iteration_time_s).fold(0.0, f64::max);
    let (unit, size) = axis::time_unit(slowest);
    let ideal = |point: &ScalingPoint| {
        points[0].iteration_time_s * points[0].devices as f64 / point.devices as f64
    };
    let fastest = points
        .iter()
        .flat_map(|point| [point.iteration_time_s, ideal(point)])
        .fold(f64::INFINITY, f64::min);
    let up =
        Scale::logarithmic((fastest / size * 0.9, slowest / size * 1.1), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, &format!("iteration time ({unit})"));
    device_labels(canvas, area, &across, points);
    let at =
        |point: &ScalingPoint, time: f64| (across.at(point.devices as f64), up.at(time / size));
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        canvas.dashes(at(first, ideal(first)), at(last, ideal(last)), Ink::Grey, 1.5);
    }
    let line: Vec<_> = points.iter().map(|point| at(point, point.iteration_time_s)).collect();
    curve(canvas, &line);
}

fn utilisation(canvas: &mut Canvas<'_>, points: &[ScalingPoint]) {
    let area = Area { left: MIDDLE + 48.0, top: 100.0, right: RIGHT, bottom: HEIGHT - 48.0 };
    let across = devices_scale(points, area);
    let highest = points.iter().map(|point| point.mfu * 100.0).fold(1.0, f64::max);
    let up = Scale::linear((0.0, highest * 1.15), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, "");
    let look = Lettering::new(SMALL, Ink::Muted);
    canvas.text(area.left - 32.0, area.top - 12.0, "MFU (% of peak)", look);
    device_labels(canvas, area, &across, points);
    let line: Vec<_> = points
        .iter()
        .map(|point| (across.at(point.devices as f64), up.at(point.mfu * 100.0)))
        .collect();
    curve(canvas, &line);
}

fn curve(canvas: &mut Canvas<'_>, points: &[(f64, f64)]) {
    canvas.path(points, Ink::Blue, 2.0);
    for (x, y) in points {
        canvas.circle(*x, *y, 4.0, Ink::Blue, 1.0);
    }
}

/// The numbers of devices themselves as ticks, as many as have room.
fn device_labels(canvas: &mut Canvas<'_>, area: Area, across: &Scale, points: &[ScalingPoint]) {
    let look = Lettering::new(SMALL, Ink::Muted).at(Anchor::Middle);
    let mut free_from = f64::NEG_INFINITY;
    for point in points {
        let x = across.at(point.devices as f64);
        let label = number::count(point.devices);
        let half = text_width(&label, SMALL) / 2.0;
        canvas.line((x, area.top), (x, area.bottom), Ink::Grid, 1.0);
        if x - half >= free_from {
            canvas.text(x, area.bottom + 14.0, &label, look);
            free_from = x + half + 6.0;
        }
    }
    canvas.line((area.left, area.bottom), (area.right, area.bottom), Ink::Axis, 1.0);
    canvas.text((area.left + area.right) / 2.0, area.bottom + 32.0, "devices", look);
}
