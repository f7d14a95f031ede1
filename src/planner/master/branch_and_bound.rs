//! Depth-first search among the columns of a master problem.
//!
//! Stages are placed in order. A column is left out where some row exceeds the cutoff even with the
//! best completion of the stages behind it. What stages q.. with so many layers came to nothing with
//! before comes to nothing again where every row's sum of the stages before is no smaller now, or
//! can not reach the cutoff: such sums are kept (dominance by states that are exhausted; Ibaraki 1977).

use crate::planner::master::problem::{Alive, Master, Reach, UNREACHABLE};
use std::collections::BTreeMap;

/// Nodes that a search visits after its last improvement before the columns are trimmed again.
const TRIM_AFTER: u64 = 2_000;

/// Nodes between two looks at whether to stop: some microseconds each.
const LOOK_EVERY: u64 = 64;

/// When a search for the best columns ends without a proof.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Nodes that are visited without an improvement.
    pub nodes: u64,
    /// Nodes without an improvement after which the best selection found will do.
    pub enough: u64,
    /// Asked all the while; true stops the search.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

impl Limits<'_> {
    /// So many nodes for the best, however long they take.
    pub fn nodes(nodes: u64) -> Limits<'static> {
        Limits { nodes, enough: u64::MAX, stop: &|| false }
    }
}

/// Rows that are alike from each stage on: what stages q.. add to them is the same, so that of what
/// the stages before have added only the most counts.
pub(crate) struct Alike {
    /// For each q up to the number of stages: the class of every row.
    classes: Vec<Vec<usize>>,
    /// How many classes there are.
    counts: Vec<usize>,
}

impl Alike {
    /// Of the first `rows` rows, over the columns alive.
    fn new(master: &Master, alive: &Alive, rows: usize) -> Alike {
        let p = alive.len();
        let mut alike = Alike { classes: vec![vec![0; rows]; p + 1], counts: vec![1; p + 1] };
        for q in (0..p).rev() {
            let stage = &master.stages[q];
            let mut known: BTreeMap<(usize, Vec<u64>), usize> = BTreeMap::new();
            for r in 0..rows {
                let values = alive[q].iter().map(|k| stage[*k].values[r]).collect();
                let next = known.len();
                alike.classes[q][r] =
                    *known.entry((alike.classes[q + 1][r], values)).or_insert(next);
            }
            alike.counts[q] = known.len();
        }
        alike
    }

    /// The most of each class at stage `q`.
    fn most(&self, q: usize, sums: &[u64], most: &mut Vec<u64>) {
        most.clear();
        most.resize(self.counts[q], 0);
        for (class, sum) in self.classes[q].iter().zip(sums) {
            most[*class] = most[*class].max(*sum);
        }
    }
}

/// What is known of placing stages q.. with so many layers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Explored {
    /// The largest sum for every class of rows.
    most: Vec<u64>,
    /// The most of each class before with which it was tried without result, one after the other.
    tried: Vec<u64>,
}

impl Explored {
    /// The largest sums, by place within reach; nothing tried yet.
    fn all(master: &Master, alive: &Alive, reach: &Reach, alike: &Alike) -> Vec<Explored> {
        let mut all = vec![Explored::default(); reach.len];
        if let Some(end) = reach.index(alive.len(), 0) {
            all[end].most = vec![0];
        }
        for q in (0..alive.len()).rev() {
            let (low, high, start) = reach.spans[q];
            // One row of each class, and its class behind.
            let mut rows = vec![(0, 0); alike.counts[q]];
            for (r, class) in alike.classes[q].iter().enumerate() {
                rows[*class] = (r, alike.classes[q + 1][r]);
            }
            for left in low..=high {
                let mut most = vec![0; rows.len()];
                for k in &alive[q] {
                    let entry = &master.stages[q][*k];
                    let rest = left.checked_sub(entry.layers);
                    let Some(after) = rest.and_then(|rest| reach.index(q + 1, rest)) else {
                        continue;
                    };
                    for (most, (r, behind)) in most.iter_mut().zip(&rows) {
                        let after = all[after].most.get(*behind).copied().unwrap_or(0);
                        *most = (*most).max(after + entry.values[*r]);
                    }
                }
                all[start + (left - low) as usize].most = most;
            }
        }
        all
    }

    fn add(&mut self, sums: &[u64]) {
        if self.tried.len() < MOST_TRIED * sums.len() {
            self.tried.extend(sums);
        }
    }
}

/// Sums that are kept for each number of layers before a stage.
const MOST_TRIED: usize = 512;

/// Depth-first search state.
pub(crate) struct BranchAndBound<'a> {
    pub(crate) master: &'a Master,
    /// Columns still alive, best first, by stage.
    pub(crate) alive: &'a Alive,
    pub(crate) reach: &'a Reach,
    /// The last row is a mean of the others: what is cheapest there is tried first.
    pub(crate) by_mean: bool,
    /// For every row, the least sum of stages q.. that places a number of layers.
    pub(crate) suffixes: &'a [Vec<u64>],
    pub(crate) alike: Alike,
    /// By place within reach: the sums with which stages q.. were placed without result.
    pub(crate) explored: Vec<Explored>,
    /// Room for one such sum.
    pub(crate) spare: Vec<u64>,
    pub(crate) cutoff: u64,
    /// Nodes visited since the last improvement.
    pub(crate) nodes: u64,
    /// Nodes that may still be visited in all.
    pub(crate) left: u64,
    pub(crate) limits: Limits<'a>,
    pub(crate) chosen: Vec<usize>,
    /// The best selection below the cutoff so far; its value is the cutoff.
    pub(crate) best: Option<Vec<usize>>,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Nothing is left below the cutoff.
    Exhausted,
    /// Many nodes were visited since the last improvement: with fewer columns there are fewer.
    Improved,
    /// What was found will do.
    Enough,
    /// The node limit was reached without an improvement.
    Limit,
}

impl<'a> BranchAndBound<'a> {
    /// Among the columns alive, with their reach and the least completions of each row. With `by_mean`
    /// the last row is a mean of the others.
    pub(crate) fn new(
        master: &'a Master,
        alive: &'a Alive,
        (reach, suffixes): (&'a Reach, &'a [Vec<u64>]),
        by_mean: bool,
        limits: Limits<'a>,
    ) -> BranchAndBound<'a> {
        // Where the others come to nothing, so does their mean.
        let rows = master.constants.len() - usize::from(by_mean);
        let alike = Alike::new(master, alive, rows);
        let explored = Explored::all(master, alive, reach, &alike);
        BranchAndBound {
            master,
            alive,
            reach,
            by_mean,
            suffixes,
            alike,
            explored,
            spare: Vec::new(),
            cutoff: u64::MAX,
            nodes: 0,
            left: u64::MAX,
            limits,
            chosen: Vec::with_capacity(master.stages.len()),
            best: None,
        }
    }

    pub(crate) fn run(&mut self) -> Depth {
        let mut partial = self.master.constants.clone();
        match self.descend(0, self.master.layers, &mut partial) {
            Some(()) => Depth::Exhausted,
            None if self.best.is_none() => Depth::Limit,
            None if self.limits.enough < u64::MAX => Depth::Enough,
            None => Depth::Improved,
        }
    }

    /// Whether column `k` of stage `q` may be part of a selection below the cutoff that places
    /// `rest` layers behind it.
    fn may_be_below(&self, q: usize, k: usize, rest: u64, partial: &[u64]) -> bool {
        let Some(at) = self.reach.index(q + 1, rest) else { return false };
        let values = &self.master.stages[q][k].values;
        if values.is_empty() && self.best.is_some() {
            return false; // Without rows all selections are equal.
        }
        let below = |((sum, value), suffix): ((&u64, &u64), &Vec<u64>)| {
            suffix[at] < UNREACHABLE && sum + value + suffix[at] < self.cutoff
        };
        partial.iter().zip(values).zip(self.suffixes).all(below)
    }

    /// Whether what follows was tried without result with sums that were no larger, or whose rows can not
    /// reach the cutoff.
    fn is_explored(&mut self, q: usize, place: Option<usize>, partial: &[u64]) -> bool {
        let Some(explored) = place.and_then(|place| self.explored.get_mut(place)) else {
            return false;
        };
        if explored.tried.is_empty() {
            return false;
        }
        let cutoff = self.cutoff.saturating_sub(1);
        self.alike.most(q, partial, &mut self.spare);
        for (sum, most) in self.spare.iter_mut().zip(&explored.most) {
            *sum = (*sum).max(cutoff.saturating_sub(*most));
        }
        let found = explored
            .tried
            .chunks_exact(self.spare.len())
            .position(|tried| tried.iter().zip(&self.spare).all(|(tried, sum)| tried <= sum));
        if let Some(at) = found {
            // Likely to be the one again.
            let (rows, first) = (self.spare.len(), at / 2 * self.spare.len());
            for r in 0..rows {
                explored.tried.swap(first + r, at * rows + r);
            }
        }
        found.is_some()
    }

    /// Places stages q.. with `left` layers in all ways that improve; nothing where that ends
    /// early.
    fn descend(&mut self, q: usize, left: u64, partial: &mut [u64]) -> Option<()> {
        if q == self.master.stages.len() {
            if left == 0 {
                self.cutoff = partial.iter().copied().max().unwrap_or(0);
                self.best = Some(self.chosen.clone());
                self.nodes = 0;
            }
            return Some(());
        }
        self.nodes += 1;
        let found = self.best.is_some();
        let most = if found { TRIM_AFTER.min(self.limits.enough) } else { u64::MAX };
        if self.left == 0 || self.nodes > most.min(self.limits.nodes) {
            return None;
        }
        self.left -= 1;
        if self.nodes.is_multiple_of(LOOK_EVERY) && (self.limits.stop)() {
            return None;
        }
        let place = self.reach.index(q, left);
        if self.is_explored(q, place, partial) {
            return Some(());
        }
        let stages_left = (self.master.stages.len() - q) as u64;
        let entries = &self.master.stages[q];
        let mut order: Vec<((u64, u64), usize, u64)> = Vec::new();
        for k in &self.alive[q] {
            let layers = entries[*k].layers;
            let Some(rest) = left.checked_sub(layers) else { continue };
            if !self.may_be_below(q, *k, rest, partial) {
                continue;
            }
            let uneven = (layers * stages_left).abs_diff(left);
            let place = self.reach.index(q + 1, rest).filter(|_| self.by_mean);
            let rank = match (place, entries[*k].values.last(), self.suffixes.last()) {
                (Some(at), Some(value), Some(suffix)) => value + suffix[at],
                _ => uneven,
            };
            order.push(((rank, uneven), *k, rest));
        }
        order.sort_unstable();
        for (_, k, rest) in order {
            // The cutoff may be lower by now.
            if self.best.is_some() && !self.may_be_below(q, k, rest, partial) {
                continue;
            }
            for (sum, value) in partial.iter_mut().zip(&entries[k].values) {
                *sum += value;
            }
            self.chosen.push(k);
            self.descend(q + 1, rest, partial)?;
            self.chosen.pop();
            for (sum, value) in partial.iter_mut().zip(&entries[k].values) {
                *sum -= value;
            }
        }
        if q + 2 < self.master.stages.len()
            && let Some(explored) = place.and_then(|place| self.explored.get_mut(place))
        {
            self.alike.most(q, partial, &mut self.spare);
            explored.add(&self.spare);
        }
        Some(())
    }
}
