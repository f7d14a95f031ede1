//! Predicted against measured, on logarithmic axes.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::Lettering;
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;

const HEIGHT: f64 = 640.0;
const INKS: [Ink; 7] =
    [Ink::Blue, Ink::Orange, Ink::Green, Ink::Purple, Ink::Vermilion, Ink::Sky, Ink::Grey];

/// Measured and predicted value of a point, and the index of its series.
pub(in crate::report) type Point = (f64, f64, usize);

/// A chart of points near the line on which predictions are right; `series` are the names of at
/// most seven groups. Nothing where there is no point.
pub(in crate::report) fn chart(
    name: &'static str,
    title: String,
    unit: &str,
    series: &[&str],
    points: &[Point],
) -> Option<Chart> {
    let finite = |p: &&Point| p.0.is_finite() && p.1.is_finite() && p.0 > 0.0 && p.1 > 0.0;
    let points: Vec<Point> = points.iter().filter(finite).copied().collect();
    let low = points.iter().map(|p| p.0.min(p.1)).fold(f64::INFINITY, f64::min) * 0.8;
    let high = points.iter().map(|p| p.0.max(p.1)).fold(0.0, f64::max) * 1.25;
    if points.is_empty() {
        return None;
    }
    let description = format!(
        "{} measured values from {low:.2} to {high:.0} {unit}, each against its prediction; the \
         line is where both are equal, the dashed ones 20 % off.",
        points.len()
    );
    Some(Chart::new(name, (WIDTH, HEIGHT), title, description, |canvas| {
        let area = Area { left: LEFT, top: 112.0, right: RIGHT, bottom: HEIGHT - 48.0 };
        let across = Scale::logarithmic((low, high), (area.left, area.right));
        let up = Scale::logarithmic((low, high), (area.bottom, area.top));
        let entries: Vec<(Mark, &str)> =
            series.iter().zip(INKS).map(|(name, ink)| (Mark::Dot(ink), *name)).collect();
        axis::legend(canvas, 48.0, &entries);
        axis::ground(canvas, area);
        axis::beside(canvas, area, &up, 6, &format!("predicted ({unit})"));
        axis::below(canvas, area, &across, 8, &format!("measured ({unit})"));
        let line = |factor: f64| {
            let from = (low / factor.min(1.0)).max(low);
            let to = (high / factor.max(1.0)).min(high);
            ((across.at(from), up.at(from * factor)), (across.at(to), up.at(to * factor)))
        };
        for factor in [0.8, 1.2] {
            let (from, to) = line(factor);
            canvas.dashes(from, to, Ink::Axis, 1.0);
        }
        let (from, to) = line(1.0);
        canvas.line(from, to, Ink::Axis, 1.5);
        let (x, y) = (across.at(low * 1.3), up.at(low * 1.3 * 1.2));
        canvas.text(x - 8.0, y - 24.0, "+20 %", Lettering::new(SMALL, Ink::Muted));
        for (measured, predicted, group) in &points {
            let ink = INKS[(*group).min(INKS.len() - 1)];
            canvas.circle(across.at(*measured), up.at(*predicted), 3.5, ink, 0.6);
        }
    }))
}
