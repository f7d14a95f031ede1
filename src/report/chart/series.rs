//! What the charts of a review share: one series for each cluster, over numbers of devices.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::palette::Ink;
use crate::capacity::{Cell, Place, Review};
use crate::report::number;

const INKS: [Ink; 6] = [Ink::Blue, Ink::Orange, Ink::Green, Ink::Purple, Ink::Sky, Ink::Grey];

/// Colour of a cluster.
pub(super) fn ink(cluster: usize) -> Ink {
    INKS[cluster % INKS.len()]
}

/// Entries of the legend for the clusters.
pub(super) fn entries(review: &Review) -> Vec<(Mark, &str)> {
    let entry = |(c, cluster)| {
        let cluster: &crate::capacity::ClusterFacts = cluster;
        (Mark::Line(ink(c)), cluster.name.as_str())
    };
    review.clusters.iter().enumerate().map(entry).collect()
}

/// The cells of a cluster that have a plan, with their devices.
pub(super) fn cells(review: &Review, c: usize) -> Vec<(Place, u64, &Cell)> {
    let cluster = &review.clusters[c];
    let cells = cluster.outcomes.iter().zip(&cluster.devices).enumerate();
    cells.filter_map(|(s, (outcome, devices))| Some(((c, s), *devices, outcome.cell()?))).collect()
}

/// The scale of devices that all cells fit on; nothing where there are fewer than two sizes.
pub(super) fn devices_scale(review: &Review, area: Area) -> Option<(Scale, Vec<u64>)> {
    let mut sizes: Vec<u64> = (0..review.clusters.len())
        .flat_map(|c| cells(review, c))
        .map(|(_, devices, _)| devices)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let (first, last) = (*sizes.first()?, *sizes.last()?);
    (first < last).then(|| {
        let ends = (area.left + 16.0, area.right - 16.0);
        (Scale::logarithmic((first as f64, last as f64), ends), sizes)
    })
}

/// Numbers of devices below a plot: powers of two first, others where there is room.
pub(super) fn device_ticks(canvas: &mut Canvas<'_>, area: Area, scale: &Scale, sizes: &[u64]) {
    let look = Lettering::new(SMALL, Ink::Muted).at(Anchor::Middle);
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let powers = sizes.iter().filter(|n| n.is_power_of_two());
    let others = sizes.iter().filter(|n| !n.is_power_of_two());
    for (round, sizes) in [powers.collect::<Vec<_>>(), others.collect()].into_iter().enumerate() {
        for devices in sizes {
            let x = scale.at(*devices as f64);
            let label = number::count(*devices);
            let half = text_width(&label, SMALL) / 2.0 + 4.0;
            let free = taken.iter().all(|(from, to)| x + half < *from || x - half > *to);
            if round == 0 || free {
                canvas.line((x, area.top), (x, area.bottom), Ink::Grid, 1.0);
            }
            if free {
                canvas.text(x, area.bottom + 14.0, &label, look);
                taken.push((x - half, x + half));
            }
        }
    }
    canvas.line((area.left, area.bottom), (area.right, area.bottom), Ink::Axis, 1.0);
    canvas.text((area.left + area.right) / 2.0, area.bottom + 32.0, "devices", look);
}

/// A line with a dot for each cell of cluster `c` of `of`; those drawn first are thicker, so that
/// they show where lines coincide.
pub(super) fn curve(canvas: &mut Canvas<'_>, points: &[(f64, f64)], c: usize, of: usize) {
    let more = of.saturating_sub(c + 1).min(3) as f64;
    if points.len() > 1 {
        canvas.path(points, ink(c), 2.0 + 2.0 * more);
    }
    for (x, y) in points {
        canvas.circle(*x, *y, 3.5 + 1.5 * more, ink(c), 1.0);
    }
}

/// The recommended cell.
pub(super) fn chosen(canvas: &mut Canvas<'_>, (x, y): (f64, f64)) {
    axis::diamond(canvas, x, y, 9.5, Ink::Surface);
    axis::diamond(canvas, x, y, 8.0, Ink::Vermilion);
}

/// Name of a vertical axis of a plot that does not stand at the left edge.
pub(super) fn axis_name(canvas: &mut Canvas<'_>, area: Area, name: &str) {
    let look = Lettering::new(SMALL, Ink::Muted);
    canvas.text(area.left - 40.0, area.top - 12.0, name, look);
}

/// Smallest and largest of some positive numbers.
pub(super) fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let ends = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    (ends.1 > 0.0).then_some(ends)
}
