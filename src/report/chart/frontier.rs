//! The candidates in the plane of memory and time, with the Pareto front.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use crate::planner::SearchOutcome;
use crate::report::number;
use crate::units::Bytes;
use std::collections::BTreeSet;

const HEIGHT: f64 = 460.0;
/// Slowest over fastest from which time is drawn on a logarithmic axis.
const WIDE: f64 = 4.0;
/// Alternatives that bear a number.
const NUMBERED: usize = 9;

/// Memory in GiB and time in seconds.
type Point = (f64, f64);

/// Scatter of the candidates; nothing where there is no other plan than the best.
pub(super) fn chart(outcome: &SearchOutcome) -> Option<Chart> {
    let best = point(outcome.prediction.peak_memory_bytes, outcome.prediction.iteration_time_s);
    let others: Vec<Point> = outcome
        .alternatives
        .iter()
        .map(|other| point(other.prediction.peak_memory_bytes, other.prediction.iteration_time_s))
        .collect();
    let mut all: Vec<Point> = outcome
        .frontier
        .iter()
        .map(|candidate| point(candidate.peak_memory_bytes, candidate.iteration_time_s))
        .chain(others.iter().copied())
        .chain([best])
        .filter(|(memory, time)| memory.is_finite() && time.is_finite() && *time > 0.0)
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    if all.len() < 2 {
        return None;
    }
    let front = pareto(&all);
    let capacity = Bytes::new(outcome.prediction.memory_capacity_bytes);
    let description = format!(
        "Predicted memory and time of {} candidates, one dot each; {} of them are on the Pareto \
         front, where less memory costs time. The chosen plan takes {} and {}.",
        all.len(),
        front.len(),
        number::seconds(best.1),
        number::bytes(outcome.prediction.peak_memory_bytes)
    );
    let title = "Candidates: iteration time against memory".to_owned();
    Some(Chart::new("frontier", (WIDTH, HEIGHT), title, description, |canvas| {
        Scatter::new(&all, capacity).draw(canvas, &all, &front, best, &others);
    }))
}

fn point(memory: u64, time: f64) -> Point {
    (Bytes::new(memory).gib(), time)
}

/// Points that no other point beats in both memory and time; `sorted` is by memory, then time.
fn pareto(sorted: &[Point]) -> Vec<Point> {
    let mut front: Vec<Point> = Vec::new();
    for point in sorted {
        if front.last().is_none_or(|last| point.1 < last.1) {
            front.push(*point);
        }
    }
    front
}

struct Scatter {
    area: Area,
    across: Scale,
    up: Scale,
    unit: (&'static str, f64),
    capacity: Bytes,
}

impl Scatter {
    fn new(all: &[Point], capacity: Bytes) -> Self {
        let area = Area { left: LEFT, top: 124.0, right: RIGHT, bottom: HEIGHT - 48.0 };
        let times = || all.iter().map(|point| point.1);
        let (fastest, slowest) =
            (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
        let unit = axis::time_unit(slowest);
        let memory = all.last().map_or(1.0, |point| point.0).max(capacity.gib()) * 1.05;
        let pixels = (area.bottom - 8.0, area.top + 8.0);
        let up = if slowest > WIDE * fastest {
            Scale::logarithmic((fastest / unit.1 * 0.93, slowest / unit.1 * 1.05), pixels)
        } else {
            let margin = (slowest - fastest).max(slowest * 0.02) * 0.08;
            let low = ((fastest - margin) / unit.1).max(0.0);
            Scale::linear((low, (slowest + margin) / unit.1), pixels)
        };
        let across = Scale::linear((0.0, memory), (area.left, area.right));
        Scatter { area, across, up, unit, capacity }
    }

    fn at(&self, point: Point) -> Point {
        (self.across.at(point.0), self.up.at(point.1 / self.unit.1))
    }

    fn draw(
        &self,
        canvas: &mut Canvas<'_>,
        all: &[Point],
        front: &[Point],
        best: Point,
        others: &[Point],
    ) {
        self.legend(canvas, others.len());
        axis::ground(canvas, self.area);
        axis::beside(canvas, self.area, &self.up, 6, &format!("iteration time ({})", self.unit.0));
        axis::below(canvas, self.area, &self.across, 9, "peak memory of a device (GiB)");
        self.dots(canvas, all);
        self.front(canvas, front);
        let x = self.across.at(self.capacity.gib());
        canvas.dashes((x, self.area.top), (x, self.area.bottom), Ink::Vermilion, 2.0);
        self.numbers(canvas, best, others);
        let (x, y) = self.at(best);
        axis::diamond(canvas, x, y, 9.5, Ink::Surface);
        axis::diamond(canvas, x, y, 8.0, Ink::Vermilion);
    }

    fn legend(&self, canvas: &mut Canvas<'_>, others: usize) {
        let capacity = format!("capacity {}", self.capacity);
        let behind = format!("next best, numbered from 2 to {}", others.min(NUMBERED) + 1);
        let mut entries = vec![
            (Mark::Diamond(Ink::Vermilion), "chosen plan"),
            (Mark::Dot(Ink::Grey), "candidate"),
        ];
        match others {
            0 => {}
            1 => entries.insert(1, (Mark::Dot(Ink::Orange), "runner-up (2)")),
            _ => entries.insert(1, (Mark::Dot(Ink::Orange), &behind)),
        }
        entries.push((Mark::Line(Ink::Blue), "Pareto front"));
        entries.push((Mark::Dashes(Ink::Vermilion), &capacity));
        axis::legend(canvas, 50.0, &entries);
    }

    /// One dot for all candidates of the same place; places are coarser where there are thousands.
    fn dots(&self, canvas: &mut Canvas<'_>, all: &[Point]) {
        let place = if all.len() > 2000 { 4.0 } else { 2.0 };
        let mut taken = BTreeSet::new();
        for point in all {
            let (x, y) = self.at(*point);
            if taken.insert(((x / place).round() as i64, (y / place).round() as i64)) {
                canvas.circle(x, y, 3.0, Ink::Grey, 0.75);
            }
        }
    }

    /// The front as steps: with this much memory, this is the best time.
    fn front(&self, canvas: &mut Canvas<'_>, front: &[Point]) {
        let places: Vec<Point> = front.iter().map(|point| self.at(*point)).collect();
        axis::steps(canvas, self.area, &places, Ink::Blue);
    }

    /// Dots and numbers of the alternatives; a number that has no room is left out.
    fn numbers(&self, canvas: &mut Canvas<'_>, best: Point, others: &[Point]) {
        let mut taken: Vec<(Point, Point)> = vec![around(self.at(best), 11.0, 11.0)];
        let places: Vec<Point> =
            others.iter().take(NUMBERED).map(|other| self.at(*other)).collect();
        for (x, y) in &places {
            canvas.circle(*x, *y, 5.0, Ink::Orange, 1.0);
            taken.push(around((*x, *y), 5.0, 5.0));
        }
        for (index, (x, y)) in places.iter().enumerate() {
            let label = (index + 2).to_string();
            let half = text_width(&label, SMALL) / 2.0;
            let free = [
                (-11.0, 11.0),
                (0.0, -14.0),
                (13.0, 0.0),
                (-13.0, 0.0),
                (0.0, 14.0),
                (12.0, -12.0),
                (12.0, 12.0),
            ]
            .into_iter()
            .map(|(dx, dy)| (x + dx, y + dy))
            .find(|place| {
                let (low, high) = around(*place, half, 7.0);
                taken.iter().all(|(from, to)| {
                    high.0 < from.0 || low.0 > to.0 || high.1 < from.1 || low.1 > to.1
                })
            });
            if let Some(place) = free {
                let look = Lettering::new(SMALL, Ink::Text).at(Anchor::Middle).bold();
                canvas.text(place.0, place.1, &label, look);
                taken.push(around(place, half, 7.0));
            }
        }
    }
}

fn around((x, y): Point, width: f64, height: f64) -> (Point, Point) {
    ((x - width, y - height), (x + width, y + height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points = [(1.0, 9.0), (2.0, 9.0), (2.0, 9.5), (3.0, 5.0), (4.0, 6.0), (5.0, 4.0)];
        assert_eq!(pareto(&points), [(1.0, 9.0), (3.0, 5.0), (5.0, 4.0)]);
    }
}
