//! Length of the run and efficiency over numbers of devices, one line for each cluster.

use super::axis::{self, Area, Mark, Scale};
use super::canvas::Canvas;
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use super::series;
use crate::capacity::Review;
use crate::report::number;

const HEIGHT: f64 = 400.0;
const MIDDLE: f64 = WIDTH / 2.0;

/// Two plots side by side; nothing for fewer than two numbers of devices.
pub(in crate::report) fn chart(review: &Review) -> Option<Chart> {
    let left = Area { left: LEFT, top: 100.0, right: MIDDLE - 24.0, bottom: HEIGHT - 48.0 };
    let right = Area { left: MIDDLE + 48.0, top: 100.0, right: RIGHT, bottom: HEIGHT - 48.0 };
    series::devices_scale(review, left)?;
    let clusters = (0..review.clusters.len()).filter_map(|c| {
        let cells = series::cells(review, c);
        let (first, last) = (cells.first()?, cells.last()?);
        Some(format!(
            "{}: from {} on {} devices to {} on {}, where efficiency is {}",
            review.clusters[c].name,
            number::days(first.2.days),
            number::count(first.1),
            number::days(last.2.days),
            number::count(last.1),
            number::percent(review.efficiency(last.0).unwrap_or(0.0))
        ))
    });
    let description = format!(
        "Length of the run with failures counted, and useful tokens for each device over the best size \
         of its cluster. {}.",
        clusters.collect::<Vec<_>>().join("; ")
    );
    let title = "Scaling: length of the run and efficiency".to_owned();
    Some(Chart::new("scaling", (WIDTH, HEIGHT), title, description, |canvas| {
        let mut entries = series::entries(review);
        entries.push((Mark::Dashes(Ink::Grey), "linear scaling"));
        entries.push((Mark::Diamond(Ink::Vermilion), "recommended"));
        axis::legend(canvas, 50.0, &entries);
        days(canvas, review, left);
        efficiency(canvas, review, right);
    }))
}

fn days(canvas: &mut Canvas<'_>, review: &Review, area: Area) {
    let Some((across, sizes)) = series::devices_scale(review, area) else { return };
    let Some((low, high)) = series::ends(review.cells().map(|(_, cell)| cell.days)) else { return };
    let (unit, factor) = if high < 2.0 { ("hours", 24.0) } else { ("days", 1.0) };
    let up =
        Scale::logarithmic((low * factor * 0.8, high * factor * 1.15), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, &format!("length of the run ({unit})"));
    series::device_ticks(canvas, area, &across, &sizes);
    for c in 0..review.clusters.len() {
        let cells = series::cells(review, c);
        let at = |devices: u64, days: f64| (across.at(devices as f64), up.at(days * factor));
        if let (Some((_, first, cell)), Some((_, last, _))) = (cells.first(), cells.last()) {
            let ideal = cell.days * *first as f64 / *last as f64;
            let shown = ideal.max(low * 0.8);
            let reach = (*first as f64 * cell.days / shown).round() as u64;
            canvas.dashes(at(*first, cell.days), at(reach, shown), Ink::Grey, 1.5);
        }
        let line: Vec<_> = cells.iter().map(|(_, n, cell)| at(*n, cell.days)).collect();
        series::curve(canvas, &line, c, review.clusters.len());
    }
    if let Some(((c, s), cell)) = review.recommended() {
        let devices = review.clusters[c].devices[s] as f64;
        series::chosen(canvas, (across.at(devices), up.at(cell.days * factor)));
    }
}

fn efficiency(canvas: &mut Canvas<'_>, review: &Review, area: Area) {
    let Some((across, sizes)) = series::devices_scale(review, area) else { return };
    let up = Scale::linear((0.0, 105.0), (area.bottom, area.top));
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 6, "");
    series::axis_name(canvas, area, "efficiency (%)");
    series::device_ticks(canvas, area, &across, &sizes);
    let at = |devices: u64, place| {
        let share = review.efficiency(place).unwrap_or(0.0);
        (across.at(devices as f64), up.at(share * 100.0))
    };
    for c in 0..review.clusters.len() {
        let line: Vec<_> =
            series::cells(review, c).iter().map(|(place, n, _)| at(*n, *place)).collect();
        series::curve(canvas, &line, c, review.clusters.len());
    }
    if let Some(((c, s), _)) = review.recommended() {
        series::chosen(canvas, at(review.clusters[c].devices[s], (c, s)));
    }
}
