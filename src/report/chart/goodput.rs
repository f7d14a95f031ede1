//! Goodput over numbers of devices, and where the rest of the time goes.

use super::axis::{self, Area, Mark, Scale};
use super::canvas::Canvas;
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use super::series;
use crate::capacity::{Cell, Review};
use crate::report::number;

const HEIGHT: f64 = 380.0;
const MIDDLE: f64 = WIDTH / 2.0;

/// A part of the time, its colour and name.
type Part = (fn(&Cell) -> f64, Ink, &'static str);

/// Where time that is not useful goes, from the axis upwards.
const PARTS: [Part; 3] = [
    (|cell| cell.checkpoint_share, Ink::Sky, "writing checkpoints"),
    (|cell| cell.restart_share, Ink::Vermilion, "restarts"),
    (|cell| cell.lost_share, Ink::Yellow, "work done again"),
];

/// Lines of the goodput, and the parts of the rest on the cluster of the recommended cell; nothing
/// where no failure rate is known or there is one number of devices.
pub(in crate::report) fn chart(review: &Review) -> Option<Chart> {
    let left = Area { left: LEFT, top: 124.0, right: MIDDLE - 24.0, bottom: HEIGHT - 48.0 };
    let right = Area { left: MIDDLE + 48.0, top: 124.0, right: RIGHT, bottom: HEIGHT - 48.0 };
    series::devices_scale(review, left)?;
    let known = |cell: &Cell| cell.between_failures_s.is_some();
    review.cells().find(|(_, cell)| known(cell))?;
    let cluster = review.recommended().map_or(0, |((c, _), _)| c);
    let name = &review.clusters[cluster].name;
    let words = (0..review.clusters.len()).filter_map(|c| {
        let (_, devices, cell) = *series::cells(review, c).last()?;
        Some(format!(
            "{} on {} devices of {}",
            number::percent(cell.goodput),
            number::count(devices),
            review.clusters[c].name
        ))
    });
    let description = format!(
        "Share of the time that is useful work with failures at random and checkpoints at Daly's \
         interval: {}. At the right, where the rest goes on {name}.",
        words.collect::<Vec<_>>().join(", ")
    );
    let title = "Goodput under failures".to_owned();
    Some(Chart::new("goodput", (WIDTH, HEIGHT), title, description, |canvas| {
        let mut entries = series::entries(review);
        entries.push((Mark::Diamond(Ink::Vermilion), "recommended"));
        axis::legend(canvas, 50.0, &entries);
        let parts: Vec<(Mark, &str)> =
            PARTS.iter().map(|(_, ink, name)| (Mark::Box(*ink), *name)).collect();
        axis::legend(canvas, 72.0, &parts);
        lines(canvas, review, left);
        losses(canvas, review, cluster, right);
    }))
}

fn lines(canvas: &mut Canvas<'_>, review: &Review, area: Area) {
    let Some((across, sizes)) = series::devices_scale(review, area) else { return };
    let least = review.cells().map(|(_, cell)| cell.goodput).fold(1.0, f64::min) * 100.0;
    let low = (100.0 - (100.0 - least) * 1.25).clamp(0.0, 99.0);
    let up = Scale::linear((low, 100.0 + (100.0 - low) * 0.06), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, "goodput (%)");
    series::device_ticks(canvas, area, &across, &sizes);
    let at = |devices: u64, cell: &Cell| (across.at(devices as f64), up.at(cell.goodput * 100.0));
    for c in 0..review.clusters.len() {
        let line: Vec<_> =
            series::cells(review, c).iter().map(|(_, n, cell)| at(*n, cell)).collect();
        series::curve(canvas, &line, c, review.clusters.len());
    }
    if let Some(((c, s), cell)) = review.recommended() {
        series::chosen(canvas, at(review.clusters[c].devices[s], cell));
    }
}

/// Areas one above the other.
fn losses(canvas: &mut Canvas<'_>, review: &Review, cluster: usize, area: Area) {
    let Some((across, sizes)) = series::devices_scale(review, area) else { return };
    let cells = series::cells(review, cluster);
    let most = cells.iter().map(|(_, _, cell)| 1.0 - cell.goodput).fold(0.0, f64::max) * 100.0;
    let up = Scale::linear((0.0, (most * 1.15).max(0.1)), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, "");
    let name = format!("time that is not useful, {} (%)", review.clusters[cluster].name);
    series::axis_name(canvas, area, &name);
    series::device_ticks(canvas, area, &across, &sizes);
    let mut below = vec![0.0; cells.len()];
    for (of, ink, _) in PARTS {
        let above: Vec<f64> =
            cells.iter().zip(&below).map(|((_, _, cell), low)| low + of(cell) * 100.0).collect();
        let at = |(i, value): (usize, &f64)| (across.at(cells[i].1 as f64), up.at(*value));
        let mut corners: Vec<(f64, f64)> = above.iter().enumerate().map(at).collect();
        corners.extend(below.iter().enumerate().map(at).rev());
        if cells.len() > 1 {
            canvas.polygon(&corners, ink, 1.0);
        }
        below = above;
    }
}
