//! Depth-first search among the columns of a master problem.
//!
//! Stages are placed in order. A column is left out where some row exceeds the cutoff even with the
//! best completion of the stages behind it. What stages q.. with so many layers came to nothing with
//! before comes to nothing again where every row's sum of the stages before is no smaller now, or
//! can not reach the cutoff: such sums are kept (dominance by states that are exhausted; Ibaraki 1977).

use crate::planner::master::problem::{Alive, Master, Reach, UNREACHABLE};

/// Nodes that a search visits after its last improvement before the columns are trimmed again.
const TRIM_AFTER: u64 = 2_000;

/// Nodes between two looks at whether to stop: some microseconds each.
const LOOK_EVERY: u64 = 64;

/// When a search for the best columns ends without a proof.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Nodes that are visited without an improvement.
    pub nodes: u64,
    /// Asked all the while; true stops the search.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

impl Limits<'_> {
    /// So many nodes, however long they take.
    pub fn nodes(nodes: u64) -> Limits<'static> {
        Limits { nodes, stop: &|| false }
    }
}

/// What is known of placing stages q.. with so many layers.
#[derive(Debug, Clone)]
pub(crate) struct Explored {
    /// The largest sum for every row.
    most: Vec<u64>,
    /// Sums of the stages before with which it was tried without result, all rows of one after those of
    /// the other.
    tried: Vec<u64>,
}

impl Explored {
    /// The largest sums, by place within reach; nothing tried yet.
    pub(crate) fn all(master: &Master, alive: &Alive, reach: &Reach) -> Vec<Explored> {
        let rows = master.constants.len();
        let nothing = Explored { most: vec![0; rows], tried: Vec::new() };
        let mut all = vec![nothing; reach.len];
        for q in (0..alive.len()).rev() {
            let (low, high, start) = reach.spans[q];
            for left in low..=high {
                let mut most = vec![0; rows];
                for k in &alive[q] {
                    let entry = &master.stages[q][*k];
                    let rest = left.checked_sub(entry.layers);
                    let Some(after) = rest.and_then(|rest| reach.index(q + 1, rest)) else {
                        continue;
                    };
                    for ((most, after), value) in
                        most.iter_mut().zip(&all[after].most).zip(&entry.values)
                    {
                        *most = (*most).max(after + value);
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
const MOST_TRIED: usize = 128;

/// Depth-first search state.
pub(crate) struct BranchAndBound<'a> {
    pub(crate) master: &'a Master,
    /// Columns still alive, best first, by stage.
    pub(crate) alive: &'a [Vec<usize>],
    pub(crate) reach: &'a Reach,
    /// For every row, the least sum of stages q.. that places a number of layers.
    pub(crate) suffixes: &'a [Vec<u64>],
    /// By place within reach: sums of all rows with which stages q.. were placed without result.
    pub(crate) explored: Vec<Explored>,
    /// Room for one such sum.
    pub(crate) spare: Vec<u64>,
    pub(crate) cutoff: u64,
    /// Nodes visited since the last improvement.
    pub(crate) nodes: u64,
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
    /// The node limit was reached without an improvement.
    Limit,
}

impl BranchAndBound<'_> {
    pub(crate) fn run(&mut self) -> Depth {
        let mut partial = self.master.constants.clone();
        match self.descend(0, self.master.layers, &mut partial) {
            Some(()) => Depth::Exhausted,
            None if self.best.is_some() => Depth::Improved,
            None => Depth::Limit,
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
    fn is_explored(&mut self, place: Option<usize>, partial: &[u64]) -> bool {
        let Some(explored) = place.and_then(|place| self.explored.get_mut(place)) else {
            return false;
        };
        if explored.tried.is_empty() {
            return false;
        }
        let cutoff = self.cutoff.saturating_sub(1);
        self.spare.clear();
        let rows = partial.iter().zip(&explored.most);
        self.spare.extend(rows.map(|(sum, most)| *sum.max(&cutoff.saturating_sub(*most))));
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
        if self.nodes > if self.best.is_some() { TRIM_AFTER } else { self.limits.nodes } {
            return None;
        }
        if self.nodes.is_multiple_of(LOOK_EVERY) && (self.limits.stop)() {
            return None;
        }
        let place = self.reach.index(q, left);
        if self.is_explored(place, partial) {
            return Some(());
        }
        let stages_left = (self.master.stages.len() - q) as u64;
        let entries = &self.master.stages[q];
        let mut order: Vec<(u64, usize, u64)> = Vec::new();
        for k in &self.alive[q] {
            let layers = entries[*k].layers;
            let Some(rest) = left.checked_sub(layers) else { continue };
            if self.may_be_below(q, *k, rest, partial) {
                order.push(((layers * stages_left).abs_diff(left), *k, rest));
            }
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
            explored.add(partial);
        }
        Some(())
    }
}
