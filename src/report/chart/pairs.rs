//! Predicted beside measured values, a pair of bars for each.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::figure::{Chart, RIGHT, WIDTH};
use super::palette::Ink;
use crate::report::number;

const ROW: f64 = 36.0;
const BAR: f64 = 12.0;
/// Room for the error on the right.
const ERRORS: f64 = 76.0;

/// A value that was predicted and measured.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Pair {
    /// What it is of.
    pub(in crate::report) name: String,
    /// Predicted.
    pub(in crate::report) predicted: f64,
    /// Measured.
    pub(in crate::report) measured: f64,
}

/// Name of the unit and its size in bytes in which `largest` is a handy number.
pub(in crate::report) fn bytes_unit(largest: f64) -> (&'static str, f64) {
    let gib = f64::from(1u32 << 30);
    if largest >= gib { ("GiB", gib) } else { ("MiB", f64::from(1u32 << 20)) }
}

/// A pair of bars for each value, in the order given; nothing where there is none. `unit` names the
/// unit and gives its size.
pub(in crate::report) fn chart(
    name: &'static str,
    title: String,
    description: String,
    (unit, size): (&str, f64),
    pairs: &[Pair],
) -> Option<Chart> {
    let most = pairs.iter().map(|pair| pair.predicted.max(pair.measured)).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let height = 84.0 + pairs.len() as f64 * ROW + 48.0;
    Some(Chart::new(name, (WIDTH, height), title, description, |canvas| {
        let entries = [(Mark::Box(Ink::Blue), "predicted"), (Mark::Box(Ink::Orange), "measured")];
        axis::legend(canvas, 50.0, &entries);
        let names = pairs.iter().map(|pair| text_width(&pair.name, SMALL)).fold(0.0, f64::max);
        let area = Area {
            left: 16.0 + names + 12.0,
            top: 76.0,
            right: RIGHT - ERRORS,
            bottom: canvas.height - 48.0,
        };
        let across = Scale::linear((0.0, most / size * 1.05), (area.left, area.right));
        axis::ground(canvas, area);
        axis::below(canvas, area, &across, 7, unit);
        for (row, pair) in pairs.iter().enumerate() {
            bars(canvas, area, pair, area.top + row as f64 * ROW, |value| across.at(value / size));
        }
        canvas.line((area.left, area.top), (area.left, area.bottom), Ink::Axis, 1.0);
    }))
}

fn bars(canvas: &mut Canvas<'_>, area: Area, pair: &Pair, top: f64, at: impl Fn(f64) -> f64) {
    let middle = top + ROW / 2.0;
    let look = Lettering::new(SMALL, Ink::Text);
    canvas.text(area.left - 8.0, middle, &pair.name, look.at(Anchor::End));
    for (value, ink, y) in [
        (pair.predicted, Ink::Blue, middle - BAR - 0.5),
        (pair.measured, Ink::Orange, middle + 0.5),
    ] {
        canvas.rect(area.left, y, (at(value) - area.left).max(0.5), BAR, ink);
    }
    if pair.measured > 0.0 {
        let error = number::signed_percent(pair.predicted / pair.measured - 1.0);
        canvas.text(area.right + 8.0, middle, &error, look);
    }
}
