//! What the recommended cell becomes where an assumption is off: a bar for each, widest first.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering};
use super::figure::{Chart, RIGHT, WIDTH};
use super::palette::Ink;
use crate::capacity::{Change, Lever, Review};
use crate::report::number;

const ROW: f64 = 34.0;
const NAMES: f64 = 210.0;
const VALUES: f64 = 110.0;

/// Bars of money, or of days where no price is known; nothing without a sensitivity.
pub(in crate::report) fn chart(review: &Review) -> Option<Chart> {
    let (_, cell) = review.recommended()?;
    let money = cell.cost_usd.is_some();
    let base = cell.cost_usd.unwrap_or(cell.days);
    let value = |change: &Change| if money { change.cost_usd } else { change.days };
    let mut rows: Vec<(&Lever, [Option<f64>; 2])> = review
        .levers
        .iter()
        .map(|lever| (lever, [value(&lever.less), value(&lever.more)]))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let off = |ends: &[Option<f64>; 2]| {
        ends.iter()
            .map(|end| end.map_or(f64::INFINITY, |end| (end - base).abs()))
            .fold(0.0, f64::max)
    };
    rows.sort_by(|a, b| off(&b.1).total_cmp(&off(&a.1)));
    let what = if money { "Cost" } else { "Length" };
    let words = |value: f64| if money { number::dollars(value) } else { number::days(value) };
    let title = format!("{what} of the run where an assumption is off (now {})", words(base));
    let most = rows[0];
    let ends: Vec<String> = [(&most.0.less, most.1[0]), (&most.0.more, most.1[1])]
        .into_iter()
        .map(|(change, end)| {
            format!("{} at {}", end.map_or("no plan".to_owned(), words), change.to)
        })
        .collect();
    let description = format!(
        "Each assumption down and up, the others as they are; the plan is searched again where it may \
         change. Most depends on {}: {}.",
        most.0.name,
        ends.join(", ")
    );
    let height = 84.0 + rows.len() as f64 * ROW + 48.0;
    Some(Chart::new("tornado", (WIDTH, height), title, description, |canvas| {
        let entries = [(Mark::Box(Ink::Blue), "less"), (Mark::Box(Ink::Orange), "more")];
        axis::legend(canvas, 50.0, &entries);
        bars(canvas, &rows, base, money);
    }))
}

fn bars(canvas: &mut Canvas<'_>, rows: &[(&Lever, [Option<f64>; 2])], base: f64, money: bool) {
    let (unit, size) = match (money, base) {
        (true, v) if v >= 1e6 => ("million USD", 1e6),
        (true, v) if v >= 1e3 => ("thousand USD", 1e3),
        (true, _) => ("USD", 1.0),
        (false, v) if v < 2.0 => ("hours", 1.0 / 24.0),
        (false, _) => ("days", 1.0),
    };
    let ends = || rows.iter().flat_map(|(_, ends)| ends.iter().flatten().copied());
    let (low, high) = ends().fold((base, base), |(low, high), end| (low.min(end), high.max(end)));
    let margin = (high - low).max(base * 0.01) * 0.06;
    let area = Area {
        left: NAMES + VALUES,
        top: 76.0,
        right: RIGHT - VALUES,
        bottom: canvas.height - 48.0,
    };
    let scale =
        Scale::linear(((low - margin) / size, (high + margin) / size), (area.left, area.right));
    axis::ground(canvas, area);
    axis::below(canvas, area, &scale, 7, unit);
    let middle = scale.at(base / size);
    let look = Lettering::new(SMALL + 1.0, Ink::Text);
    for (row, (lever, ends)) in rows.iter().enumerate() {
        let top = area.top + row as f64 * ROW + 6.0;
        let y = top + (ROW - 12.0) / 2.0;
        canvas.text(16.0, y, lever.name, look);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (change, end, ink) in
            [(&lever.less, ends[0], Ink::Blue), (&lever.more, ends[1], Ink::Orange)]
        {
            let x = end.map_or(area.right, |end| scale.at(end / size));
            let (from, to) = if x < middle { (x, middle) } else { (middle, x) };
            if to - from >= 0.5 {
                canvas.rect(from, top, to - from, ROW - 12.0, ink);
            }
            let label = match end {
                Some(_) => change.to.to_owned(),
                None => format!("{}: no plan fits", change.to),
            };
            if x < middle { left.push(label) } else { right.push(label) }
        }
        let small = Lettering::new(SMALL, Ink::Muted);
        let edges = ends.iter().flatten().map(|end| scale.at(end / size));
        let (first, last) =
            edges.fold((middle, middle), |(a, b), x| (f64::min(a, x), f64::max(b, x)));
        canvas.text(first - 6.0, y, &left.join(", "), small.at(Anchor::End));
        canvas.text(last + 6.0, y, &right.join(", "), small);
    }
    canvas.line((middle, area.top), (middle, area.bottom), Ink::Text, 1.5);
}
