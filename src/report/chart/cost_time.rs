//! Money against time: one point for each cell, the Pareto front, deadline and budget.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use super::series;
use crate::capacity::Review;
use crate::report::number;

const HEIGHT: f64 = 480.0;

type Point = (f64, f64);

/// A scatter; nothing where fewer than two cells have a price.
pub(in crate::report) fn chart(review: &Review) -> Option<Chart> {
    let mut all: Vec<Point> =
        review.cells().filter_map(|(_, cell)| Some((cell.days, cell.cost_usd?))).collect();
    if all.len() < 2 {
        return None;
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut front: Vec<Point> = Vec::new();
    for point in &all {
        if front.last().is_none_or(|last| point.1 < last.1) {
            front.push(*point);
        }
    }
    let (fastest, cheapest) = (*front.first()?, *front.last()?);
    let description = format!(
        "Length and cost of the run in every cell, failures counted; {} of {} cells are on the Pareto \
         front, from {} for {} to {} for {}. The bars at the recommended cell are its interval.",
        front.len(),
        all.len(),
        number::days(fastest.0),
        number::dollars(fastest.1),
        number::days(cheapest.0),
        number::dollars(cheapest.1)
    );
    let title = "Cost against time".to_owned();
    Some(Chart::new("cost-time", (WIDTH, HEIGHT), title, description, |canvas| {
        if let Some(plot) = Plot::new(review, &all) {
            plot.draw(canvas, review, &front);
        }
    }))
}

struct Plot {
    area: Area,
    across: Scale,
    up: Scale,
    days: (&'static str, f64),
    money: (&'static str, f64),
}

impl Plot {
    fn new(review: &Review, all: &[Point]) -> Option<Plot> {
        let chosen = review.recommended().map(|(_, cell)| cell);
        let more_days = chosen.into_iter().flat_map(|cell| [cell.days_low, cell.days_high]);
        let more_cost =
            chosen.into_iter().flat_map(|cell| [cell.cost_low_usd, cell.cost_high_usd]).flatten();
        let days = series::ends(all.iter().map(|point| point.0).chain(more_days))?;
        let cost = series::ends(all.iter().map(|point| point.1).chain(more_cost))?;
        let area = Area { left: LEFT, top: 112.0, right: RIGHT, bottom: HEIGHT - 48.0 };
        let days_unit = if days.1 < 2.0 { ("hours", 24.0) } else { ("days", 1.0) };
        let money = match cost.1 {
            v if v >= 2e6 => ("million USD", 1e-6),
            v if v >= 2e3 => ("thousand USD", 1e-3),
            _ => ("USD", 1.0),
        };
        let across = Scale::logarithmic(
            (days.0 * days_unit.1 * 0.85, days.1 * days_unit.1 * 1.15),
            (area.left, area.right),
        );
        let range = cost.1 / cost.0;
        let pixels = (area.bottom, area.top);
        let up = if range > 6.0 {
            Scale::logarithmic((cost.0 * money.1 * 0.85, cost.1 * money.1 * 1.15), pixels)
        } else {
            Scale::linear((0.0, cost.1 * money.1 * 1.1), pixels)
        };
        Some(Plot { area, across, up, days: days_unit, money })
    }

    fn at(&self, point: Point) -> Point {
        (self.across.at(point.0 * self.days.1), self.up.at(point.1 * self.money.1))
    }

    fn draw(&self, canvas: &mut Canvas<'_>, review: &Review, front: &[Point]) {
        self.legend(canvas, review);
        axis::ground(canvas, self.area);
        axis::beside(canvas, self.area, &self.up, 8, &format!("cost ({})", self.money.0));
        axis::below(
            canvas,
            self.area,
            &self.across,
            8,
            &format!("length of the run ({})", self.days.0),
        );
        self.limits(canvas, review);
        self.front(canvas, front);
        for c in 0..review.clusters.len() {
            for (_, _, cell) in series::cells(review, c) {
                if let Some(cost) = cell.cost_usd {
                    let (x, y) = self.at((cell.days, cost));
                    canvas.circle(x, y, 4.5, series::ink(c), 1.0);
                }
            }
        }
        self.chosen(canvas, review);
        self.labels(canvas, review, front);
    }

    fn legend(&self, canvas: &mut Canvas<'_>, review: &Review) {
        let mut entries: Vec<(Mark, &str)> = review
            .clusters
            .iter()
            .enumerate()
            .map(|(c, cluster)| (Mark::Dot(series::ink(c)), cluster.name.as_str()))
            .collect();
        entries.push((Mark::Diamond(Ink::Vermilion), "recommended, with its interval"));
        entries.push((Mark::Line(Ink::Axis), "Pareto front"));
        if review.limits != crate::capacity::ReviewLimits::default() {
            entries.push((Mark::Dashes(Ink::Vermilion), "limits"));
        }
        axis::legend(canvas, 50.0, &entries);
        let note = "numbers at the points are devices";
        canvas.text(16.0, 76.0, note, Lettering::new(SMALL, Ink::Muted));
    }

    fn limits(&self, canvas: &mut Canvas<'_>, review: &Review) {
        let Area { left, right, top, bottom } = self.area;
        if let Some(deadline) = review.limits.deadline {
            let x = self.across.at(deadline.get() / 86_400.0 * self.days.1);
            if (left..=right).contains(&x) {
                canvas.dashes((x, top), (x, bottom), Ink::Vermilion, 2.0);
            }
        }
        if let Some(budget) = review.limits.budget {
            let y = self.up.at(budget.get() * self.money.1);
            if (top..=bottom).contains(&y) {
                canvas.dashes((left, y), (right, y), Ink::Vermilion, 2.0);
            }
        }
    }

    /// Where lines stand that labels would cross: limits, and the interval of the recommended cell.
    fn lines(&self, review: &Review) -> Vec<(Point, Point)> {
        let Area { left, right, top, bottom } = self.area;
        let mut lines = Vec::new();
        if let Some(deadline) = review.limits.deadline {
            let x = self.across.at(deadline.get() / 86_400.0 * self.days.1);
            lines.push(((x - 1.0, top), (x + 1.0, bottom)));
        }
        if let Some(budget) = review.limits.budget {
            let y = self.up.at(budget.get() * self.money.1);
            lines.push(((left, y - 1.0), (right, y + 1.0)));
        }
        if let Some((_, cell)) = review.recommended()
            && let (Some(cost), Some(low), Some(high)) =
                (cell.cost_usd, cell.cost_low_usd, cell.cost_high_usd)
        {
            let (from, to) = (self.at((cell.days_low, high)), self.at((cell.days_high, low)));
            let (x, y) = self.at((cell.days, cost));
            lines.push(((from.0, y - 1.0), (to.0, y + 1.0)));
            lines.push(((x - 1.0, from.1), (x + 1.0, to.1)));
        }
        lines
    }

    /// The upright parts of the front.
    fn risers(&self, front: &[Point]) -> Vec<(Point, Point)> {
        let mut above = self.area.top;
        let mut risers = Vec::new();
        for point in front {
            let (x, y) = self.at(*point);
            risers.push(((x - 1.0, above.min(y)), (x + 1.0, above.max(y))));
            above = y;
        }
        risers
    }

    fn front(&self, canvas: &mut Canvas<'_>, front: &[Point]) {
        let places: Vec<Point> = front.iter().map(|point| self.at(*point)).collect();
        axis::steps(canvas, self.area, &places, Ink::Axis);
    }

    fn chosen(&self, canvas: &mut Canvas<'_>, review: &Review) {
        let Some((_, cell)) = review.recommended() else { return };
        let (Some(cost), Some(low), Some(high)) =
            (cell.cost_usd, cell.cost_low_usd, cell.cost_high_usd)
        else {
            return;
        };
        let (from, to) = (self.at((cell.days_low, low)), self.at((cell.days_high, high)));
        let (x, y) = self.at((cell.days, cost));
        canvas.line((from.0, y), (to.0, y), Ink::Vermilion, 1.5);
        canvas.line((x, from.1), (x, to.1), Ink::Vermilion, 1.5);
        series::chosen(canvas, (x, y));
    }

    /// Devices of the cells: the recommended one, then powers of two, then others, where there is
    /// room.
    fn labels(&self, canvas: &mut Canvas<'_>, review: &Review, front: &[Point]) {
        let recommended = review.recommended().map(|(place, _)| place);
        let mut points: Vec<(u8, u64, Point)> = Vec::new();
        for (place, cell) in review.cells() {
            let devices = review.clusters[place.0].devices[place.1];
            let Some(cost) = cell.cost_usd else { continue };
            let rank = match (Some(place) == recommended, devices.is_power_of_two()) {
                (true, _) => 0,
                (_, true) => 1,
                _ => 2,
            };
            points.push((rank, devices, self.at((cell.days, cost))));
        }
        points.sort_by_key(|(rank, devices, _)| (*rank, *devices));
        let reach = |rank: u8| if rank == 0 { 9.0 } else { 5.0 };
        let mut taken: Vec<(Point, Point)> =
            points.iter().map(|(rank, _, at)| around(*at, reach(*rank), reach(*rank))).collect();
        taken.extend(self.lines(review));
        taken.extend(self.risers(front));
        for (_, devices, (x, y)) in &points {
            let label = number::count(*devices);
            let half = text_width(&label, SMALL) / 2.0;
            let places = [
                (0.0, -15.0),
                (0.0, 15.0),
                (half + 11.0, 0.0),
                (-half - 11.0, 0.0),
                (half + 10.0, -14.0),
                (half + 10.0, 14.0),
                (-half - 10.0, 14.0),
                (-half - 10.0, -14.0),
            ];
            let free = places.into_iter().map(|(dx, dy)| (x + dx, y + dy)).find(|place| {
                let (low, high) = around(*place, half, 7.0);
                let inside = low.0 > self.area.left
                    && high.0 < self.area.right
                    && low.1 > self.area.top
                    && high.1 < self.area.bottom;
                inside
                    && taken.iter().all(|(from, to)| {
                        high.0 < from.0 || low.0 > to.0 || high.1 < from.1 || low.1 > to.1
                    })
            });
            if let Some(place) = free {
                let look = Lettering::new(SMALL, Ink::Text).at(Anchor::Middle);
                canvas.text(place.0, place.1, &label, look);
                taken.push(around(place, half, 7.0));
            }
        }
    }
}

fn around((x, y): Point, width: f64, height: f64) -> (Point, Point) {
    ((x - width, y - height), (x + width, y + height))
}
