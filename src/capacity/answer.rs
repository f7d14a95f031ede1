//! What a review is asked: fewest devices, cheapest, fastest.

use super::cell::{Cell, CellOutcome};
use crate::units::{Seconds, UsDollars};
use serde::Serialize;

/// What the recommended cell is best at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Length of the run.
    Time,
    /// Money; device-hours where no price is known.
    Cost,
    /// Devices that are paid for.
    Devices,
    /// Energy.
    Energy,
}

/// A cell: index of its cluster, and of its size there.
pub type Place = (usize, usize);

/// What limits the choice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReviewLimits {
    /// Longest run.
    pub deadline: Option<Seconds>,
    /// Most money.
    pub budget: Option<UsDollars>,
}

impl ReviewLimits {
    /// Whether a cell keeps within the limits.
    pub fn hold(&self, cell: &Cell) -> bool {
        self.hold_for(cell.days, cell.cost_usd)
    }

    /// Whether it does even at the upper end of the interval.
    pub fn hold_surely(&self, cell: &Cell) -> bool {
        self.hold_for(cell.days_high, cell.cost_high_usd)
    }

    fn hold_for(&self, days: f64, cost: Option<f64>) -> bool {
        let in_time = self.deadline.is_none_or(|deadline| days * 86_400.0 <= deadline.get());
        let paid = self.budget.is_none_or(|budget| cost.is_some_and(|cost| cost <= budget.get()));
        in_time && paid
    }
}

/// An answer, at the prediction and at the upper end of its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BestCell {
    /// The best cell that keeps the limits as predicted.
    pub expected: Option<Place>,
    /// The best cell that keeps them also at the upper end of the interval.
    pub sure: Option<Place>,
}

/// The answers of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// What is recommended: best at the objective within all limits.
    pub recommended: BestCell,
    /// The next best of each kind: on the same cluster, and on another one.
    pub runner_up: [Option<Place>; 2],
    /// Fewest devices for the deadline.
    pub fewest: Option<BestCell>,
    /// Cheapest within the deadline, if there is one.
    pub cheapest: BestCell,
    /// Fastest within the budget, if there is one.
    pub fastest: BestCell,
}

impl Objective {
    /// What is minimised, then what decides between equals.
    fn key(self, cell: &Cell) -> [f64; 2] {
        let money = cell.cost_usd.unwrap_or(cell.device_hours);
        match self {
            Objective::Time => [cell.days, money],
            Objective::Cost => [money, cell.days],
            Objective::Devices => [cell.devices_rented as f64, cell.days],
            Objective::Energy => [cell.energy_mwh, cell.days],
        }
    }
}

/// The best of the cells that `keep` lets pass; the first of equals.
fn best(
    outcomes: &[Vec<CellOutcome>],
    objective: Objective,
    keep: impl Fn(Place, &Cell) -> bool,
) -> Option<Place> {
    let mut best: Option<(Place, [f64; 2])> = None;
    for (c, cells) in outcomes.iter().enumerate() {
        for (s, outcome) in cells.iter().enumerate() {
            let Some(cell) = outcome.cell().filter(|cell| keep((c, s), cell)) else { continue };
            let key = objective.key(cell);
            if best.is_none_or(|(_, least)| key < least) {
                best = Some(((c, s), key));
            }
        }
    }
    best.map(|(place, _)| place)
}

impl Answers {
    /// Chooses among the cells.
    pub fn of(
        outcomes: &[Vec<CellOutcome>],
        objective: Objective,
        limits: ReviewLimits,
    ) -> Answers {
        let answer = |objective: Objective, limits: ReviewLimits| BestCell {
            expected: best(outcomes, objective, |_, cell| limits.hold(cell)),
            sure: best(outcomes, objective, |_, cell| limits.hold_surely(cell)),
        };
        let recommended = answer(objective, limits);
        let next = |same: bool| {
            let (c, s) = recommended.expected?;
            best(outcomes, objective, |place, cell| {
                limits.hold(cell) && (place.0 == c) == same && place != (c, s)
            })
        };
        let ReviewLimits { deadline, budget } = limits;
        Answers {
            recommended,
            runner_up: [next(true), next(false)],
            fewest: deadline
                .map(|_| answer(Objective::Devices, ReviewLimits { deadline, budget: None })),
            cheapest: answer(Objective::Cost, ReviewLimits { deadline, budget: None }),
            fastest: answer(Objective::Time, ReviewLimits { deadline: None, budget }),
        }
    }
}
