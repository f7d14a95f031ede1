//! Axes with round ticks, and the legend.

use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::palette::Ink;

/// Font size of ticks and legends, in pixels.
pub(super) const SMALL: f64 = 12.0;
/// Font size of titles, in pixels.
pub(super) const TITLE: f64 = 16.0;

/// The rectangle of a plot, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    /// Left edge.
    pub(super) left: f64,
    /// Upper edge.
    pub(super) top: f64,
    /// Right edge.
    pub(super) right: f64,
    /// Lower edge.
    pub(super) bottom: f64,
}

/// From data to pixels along one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    /// Linear, `low` at pixel `from` and `high` at pixel `to`.
    pub(super) fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high, from, to, logarithmic: false }
    }

    /// Logarithmic, for positive numbers.
    pub(super) fn logarithmic((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let low = low.max(f64::MIN_POSITIVE);
        let high = if high > low { high } else { low * 2.0 };
        Scale { low, high, from, to, logarithmic: true }
    }

    /// The pixel of a number.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round numbers on the scale, about `target` of them.
    pub(super) fn ticks(&self, target: usize) -> Vec<f64> {
        if self.logarithmic {
            return self.logarithmic_ticks(target);
        }
        let step = round_step((self.high - self.low) / target.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil();
        let last = (self.high / step + 1e-9).floor();
        (0..=(last - first).clamp(0.0, 200.0) as u64).map(|i| (first + i as f64) * step).collect()
    }

    fn logarithmic_ticks(&self, target: usize) -> Vec<f64> {
        let inside = |leads: &[f64]| -> Vec<f64> {
            let (from, to) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            (from..=to)
                .flat_map(|power| leads.iter().map(move |lead| lead * 10f64.powi(power)))
                .filter(|value| *value >= self.low * 0.999 && *value <= self.high * 1.001)
                .collect()
        };
        [&[1.0][..], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]]
            .into_iter()
            .map(inside)
            .find(|ticks| ticks.len() >= target.saturating_sub(1).max(2))
            .unwrap_or_else(|| Scale { logarithmic: false, ..*self }.ticks(target))
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not less than `step`.
pub(super) fn round_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let lead = step / power;
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| lead <= round * 1.000_001);
    round.unwrap_or(10.0) * power
}

/// Decimals that tell ticks `step` apart.
pub(super) fn decimals(ticks: &[f64]) -> usize {
    (0..6)
        .find(|digits| {
            let scale = 10f64.powi(*digits as i32);
            ticks.iter().all(|tick| {
                let scaled = tick * scale;
                (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0)
            })
        })
        .unwrap_or(6)
}

/// Ticks as text, with the same number of decimals for all.
pub(super) fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let digits = decimals(ticks);
    ticks.iter().map(|tick| format!("{tick:.digits$}")).collect()
}

/// Name of the unit and its size in seconds in which `longest` is a handy number.
pub(in crate::report) fn time_unit(longest: f64) -> (&'static str, f64) {
    match longest {
        v if v >= 1.0 => ("s", 1.0),
        v if v >= 1e-3 => ("ms", 1e-3),
        _ => ("µs", 1e-6),
    }
}

/// The title at the top left.
pub(super) fn title(canvas: &mut Canvas<'_>, text: &str) {
    canvas.text(16.0, 22.0, text, Lettering::new(TITLE, Ink::Text).bold());
}

/// The ground of a plot.
pub(super) fn ground(canvas: &mut Canvas<'_>, area: Area) {
    canvas.rect(area.left, area.top, area.right - area.left, area.bottom - area.top, Ink::Plot);
}

/// Grid lines and labels of a horizontal axis below the plot, and its name.
pub(super) fn below(canvas: &mut Canvas<'_>, area: Area, scale: &Scale, ticks: usize, name: &str) {
    let values = scale.ticks(ticks);
    let look = Lettering::new(SMALL, Ink::Muted).at(Anchor::Middle);
    let mut free_from = f64::NEG_INFINITY;
    for (value, label) in values.iter().zip(tick_labels(&values)) {
        let x = scale.at(*value);
        canvas.line((x, area.top), (x, area.bottom), Ink::Grid, 1.0);
        let half = text_width(&label, SMALL) / 2.0;
        if x - half >= free_from {
            canvas.line((x, area.bottom), (x, area.bottom + 4.0), Ink::Axis, 1.0);
            canvas.text(x, area.bottom + 14.0, &label, look);
            free_from = x + half + 4.0;
        }
    }
    canvas.line((area.left, area.bottom), (area.right, area.bottom), Ink::Axis, 1.0);
    let middle = (area.left + area.right) / 2.0;
    canvas.text(middle, area.bottom + 32.0, name, look);
}

/// Grid lines and labels of a vertical axis left of the plot; its name stands above the axis.
pub(super) fn beside(canvas: &mut Canvas<'_>, area: Area, scale: &Scale, ticks: usize, name: &str) {
    let values = scale.ticks(ticks);
    let look = Lettering::new(SMALL, Ink::Muted).at(Anchor::End);
    for (value, label) in values.iter().zip(tick_labels(&values)) {
        let y = scale.at(*value);
        canvas.line((area.left, y), (area.right, y), Ink::Grid, 1.0);
        canvas.text(area.left - 7.0, y, &label, look);
    }
    canvas.line((area.left, area.top), (area.left, area.bottom), Ink::Axis, 1.0);
    canvas.text(16.0, area.top - 12.0, name, Lettering::new(SMALL, Ink::Muted));
}

/// How an entry of the legend is marked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// A filled box.
    Box(Ink),
    /// Two boxes one above the other.
    Both(Ink, Ink),
    /// A dashed line.
    Dashes(Ink),
    /// A solid line.
    Line(Ink),
    /// A dot.
    Dot(Ink),
    /// A diamond.
    Diamond(Ink),
}

/// Draws the legend from the left at `y`, in as many rows as it needs; gives the rows.
pub(super) fn legend(canvas: &mut Canvas<'_>, y: f64, entries: &[(Mark, &str)]) -> usize {
    let (mut x, mut row) = (16.0, 0);
    for (mark, label) in entries {
        let width = 24.0 + text_width(label, SMALL) + 14.0;
        if x + width > canvas.width - 8.0 && x > 16.0 {
            (x, row) = (16.0, row + 1);
        }
        let middle = y + row as f64 * 20.0;
        draw_mark(canvas, x, middle, *mark);
        canvas.text(x + 22.0, middle, label, Lettering::new(SMALL, Ink::Text));
        x += width;
    }
    row + 1
}

fn draw_mark(canvas: &mut Canvas<'_>, x: f64, y: f64, mark: Mark) {
    match mark {
        Mark::Box(ink) => canvas.rect(x + 1.0, y - 6.0, 14.0, 12.0, ink),
        Mark::Both(upper, lower) => {
            canvas.rect(x + 1.0, y - 6.0, 14.0, 6.0, upper);
            canvas.rect(x + 1.0, y, 14.0, 6.0, lower);
        }
        Mark::Dashes(ink) => canvas.dashes((x - 1.0, y), (x + 17.0, y), ink, 2.0),
        Mark::Line(ink) => canvas.line((x - 1.0, y), (x + 17.0, y), ink, 2.0),
        Mark::Dot(ink) => canvas.circle(x + 8.0, y, 4.0, ink, 1.0),
        Mark::Diamond(ink) => diamond(canvas, x + 8.0, y, 7.0, ink),
    }
}

/// A Pareto front as steps, from the top of the area down its places to the right edge.
pub(super) fn steps(canvas: &mut Canvas<'_>, area: Area, places: &[(f64, f64)], ink: Ink) {
    let mut steps: Vec<(f64, f64)> = Vec::with_capacity(2 * places.len() + 1);
    for (x, y) in places {
        let before = steps.last().map_or(area.top, |last| last.1);
        steps.push((*x, before));
        steps.push((*x, *y));
    }
    if let Some((_, y)) = steps.last().copied() {
        steps.push((area.right, y));
    }
    canvas.path(&steps, ink, 1.5);
}

/// A diamond around a point.
pub(super) fn diamond(canvas: &mut Canvas<'_>, x: f64, y: f64, radius: f64, ink: Ink) {
    let corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
    canvas.polygon(&corners, ink, 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let scale = Scale::linear((0.0, 13.75), (0.0, 100.0));
        assert_eq!(scale.ticks(6), [0.0, 5.0, 10.0]);
        assert_eq!(tick_labels(&scale.ticks(6)), ["0", "5", "10"]);
        let scale = Scale::linear((0.0, 0.8), (0.0, 100.0));
        assert_eq!(tick_labels(&scale.ticks(5)), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        let scale = Scale::logarithmic((1.0, 1000.0), (0.0, 100.0));
        assert_eq!(scale.ticks(4), [1.0, 10.0, 100.0, 1000.0]);
        assert!((scale.at(31.622_776_6) - 50.0).abs() < 1e-6);
    }

    #[test]
    fn steps_are_one_two_five() {
        for (raw, round) in [(0.9, 1.0), (1.1, 2.0), (2.0, 2.0), (2.1, 5.0), (6.0, 10.0)] {
            assert!((round_step(raw) - round).abs() < 1e-9);
            assert!((round_step(raw * 1e-6) / (round * 1e-6) - 1.0).abs() < 1e-9);
        }
        assert!((round_step(f64::NAN) - 1.0).abs() < 1e-9);
    }
}
