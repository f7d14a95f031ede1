//! Capacity reviews: the best plan on every number of devices of several clusters, what each costs
//! in days, money and energy with failures counted, and the answers that follow.
//!
//! [`Grid`] is what is asked, [`run`] searches all cells, [`Review`] is what a report shows. A cell
//! is one number of devices of one cluster. All of them are paid for as long as the run takes, so
//! the fastest plan of a cell is also its cheapest: every cell is searched for time, and the
//! objective chooses among cells.

mod answer;
mod cell;
mod devices;
pub mod goodput;
#[cfg(test)]
mod goodput_tests;
mod grid;
mod review;
#[cfg(test)]
mod review_tests;
mod sensitivity;

pub use answer::{Answers, BestCell, Objective, Place, ReviewLimits};
pub use cell::{Cell, CellOutcome, SPARE_CONFIDENCE, Terms};
pub use devices::{DeviceCounts, SizeError, resize};
pub use grid::{Grid, GridCluster, Progress, Size, run, sizeless};
pub use review::{ClusterFacts, Flip, Review};
pub use sensitivity::{Change, Lever};
