//! The master problem: one column for each stage, all layers placed, the largest of the path rows
//! as small as possible.
//!
//! ```text
//! min  max_r ( c_r + Σ_q Σ_k a[r][q][k] z[q][k] )
//!      Σ_k z[q][k] = 1                     for every stage q      (one column)
//!      Σ_q Σ_k n[q][k] z[q][k] = L                                (all layers)
//!      z binary
//! ```
//!
//! Only plans strictly faster than a cutoff matter, which decides most instances before any
//! branching: a column is dropped when some row exceeds the cutoff even with the best completion
//! of all other stages (a dynamic program for each row, exact for that row alone). What remains is
//! searched depth first with the same completion bounds ([`crate::planner::master::branch_and_bound`]);
//! where that takes long, with a mean of the rows as one more ([`mean`]). [`Master::problem`]
//! states the same problem for an ILP solver.

mod branch_and_bound;
pub mod column;
pub mod ilp;
mod mean;
pub mod pipeline_shape;
pub mod problem;

pub use branch_and_bound::Limits;

use crate::planner::master::branch_and_bound::{BranchAndBound, Depth};
use crate::planner::master::problem::{Alive, Master, Reach, Reaches, UNREACHABLE};

/// What came of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterAnswer {
    /// The best selection, of this value, below the cutoff.
    Best(Vec<usize>, u64),
    /// A selection of this value below the cutoff: there may be better ones.
    Good(Vec<usize>, u64),
    /// Nothing is below the cutoff.
    NothingBelow,
    /// A limit was reached; any improvement found so far.
    Undecided(Option<(Vec<usize>, u64)>),
}

/// Nodes after which a search takes a mean of the rows to help, or is content with what it has.
pub const FEW_NODES: u64 = 300;

/// A search for the best selection of an instance.
struct Attempt {
    cutoff: u64,
    best: Option<(Vec<usize>, u64)>,
    /// Nodes that may still be visited in all.
    nodes: u64,
    /// The last row is a mean of the others.
    by_mean: bool,
    /// What is left to search, with the least completions of each row; nothing where nothing is.
    trimmed: Option<(Reach, Vec<Vec<u64>>)>,
}

impl Attempt {
    /// Searches the columns alive depth first, trimmed again after improvements.
    fn search(&mut self, master: &Master, alive: &mut Alive, limits: Limits<'_>) -> Depth {
        while let Some((reach, suffixes)) = self.trimmed.take() {
            let tables = (&reach, suffixes.as_slice());
            let mut search = BranchAndBound::new(master, alive, tables, self.by_mean, limits);
            (search.cutoff, search.left) = (self.cutoff, self.nodes);
            let depth = search.run();
            self.nodes = search.left;
            if let Some(chosen) = search.best {
                self.cutoff = search.cutoff;
                self.best = Some((chosen, self.cutoff));
            }
            match depth {
                Depth::Exhausted => break,
                Depth::Improved if self.nodes == 0 || (limits.stop)() => return Depth::Limit,
                Depth::Improved => self.trimmed = master.trim(alive, self.cutoff),
                Depth::Enough | Depth::Limit => return depth,
            }
        }
        Depth::Exhausted
    }

    /// What was found, where there may be more.
    fn good(self) -> MasterAnswer {
        let good = |(chosen, value)| MasterAnswer::Good(chosen, value);
        self.best.map_or(MasterAnswer::Undecided(None), good)
    }

    /// What was found, where nothing is left.
    fn answer(self) -> MasterAnswer {
        let best = |(chosen, value)| MasterAnswer::Best(chosen, value);
        self.best.map_or(MasterAnswer::NothingBelow, best)
    }
}

impl Master {
    /// The best selection whose value is below `cutoff`.
    ///
    /// Among equals the one that is found first wins: stages in order, each with the number of
    /// layers closest to an even split of what is left.
    pub fn solve(&self, cutoff: u64, limits: Limits<'_>) -> MasterAnswer {
        self.solve_among(&mut self.all(), cutoff, limits)
    }

    /// [`Master::solve`] among the columns in `alive`, which loses those that can not be part of a
    /// selection below the cutoff: with more rows or a lower cutoff they can not either.
    pub fn solve_among(&self, alive: &mut Alive, cutoff: u64, limits: Limits<'_>) -> MasterAnswer {
        let trimmed = self.trim(alive, cutoff);
        // What a selection found here excludes may be wanted once there are more rows.
        let mut alive = alive.clone();
        let nodes = limits.nodes.min(FEW_NODES);
        let mut attempt = Attempt { cutoff, best: None, nodes, by_mean: false, trimmed };
        let mut ended = attempt.search(self, &mut alive, limits);
        if ended == Depth::Limit && nodes < limits.nodes {
            // It is hard: a mean of the rows may say at once what they do not say one by one.
            let mut meant = self.clone();
            let mean = meant.add_mean(&alive, attempt.cutoff);
            if let Some((chosen, value)) = mean.best {
                attempt.cutoff = value;
                attempt.best = Some((chosen, value));
            }
            if !mean.open {
                return attempt.answer();
            }
            if attempt.best.is_some() && limits.enough < u64::MAX {
                return attempt.good();
            }
            (attempt.nodes, attempt.by_mean) = (u64::MAX, true);
            attempt.trimmed = meant.trim(&mut alive, attempt.cutoff);
            ended = attempt.search(&meant, &mut alive, limits);
        }
        match ended {
            Depth::Exhausted => attempt.answer(),
            Depth::Enough => attempt.good(),
            _ => MasterAnswer::Undecided(attempt.best),
        }
    }

    /// Whether rows one by one or a mean of them prove that no selection is below `cutoff`.
    pub fn is_excluded(&self, cutoff: u64) -> bool {
        let mut alive = self.all();
        if self.trim(&mut alive, cutoff).is_none() {
            return true;
        }
        let mean = self.clone().add_mean(&alive, cutoff);
        !mean.open && mean.best.is_none()
    }

    /// Removes from `alive` the columns that can not be part of a selection below `cutoff`, and
    /// gives the least completion for each row; nothing where no selection can be.
    fn trim(&self, alive: &mut Alive, cutoff: u64) -> Option<(Reach, Vec<Vec<u64>>)> {
        let rows = self.constants.len();
        loop {
            let Reaches { stages, prefix, suffix } = self.reaches(alive)?;
            let mut suffixes = vec![Vec::new(); rows];
            let before: usize = alive.iter().map(Vec::len).sum();
            // One row that can not be below is enough; the latest is the likeliest.
            for r in (0..rows).rev() {
                let least = self.leasts(alive, &stages, r);
                let tails = completion(&suffix, &least, &stages, true);
                let whole = suffix.index(0, self.layers).map_or(UNREACHABLE, |i| tails[i]);
                if whole == UNREACHABLE || self.constants[r] + whole >= cutoff {
                    return None;
                }
                let heads = completion(&prefix, &least, &stages, false);
                for (q, columns) in alive.iter_mut().enumerate() {
                    let rest = self.rest(q, stages[q], (&prefix, &heads), (&suffix, &tails));
                    columns.retain(|k| {
                        let entry = &self.stages[q][*k];
                        let others = rest[(entry.layers - stages[q].0) as usize];
                        others < UNREACHABLE
                            && self.constants[r] + entry.values[r] + others < cutoff
                    });
                }
                suffixes[r] = tails;
            }
            // Completions over columns that are gone still bound; a few are not worth another pass.
            let after: usize = alive.iter().map(Vec::len).sum();
            if before - after <= before / 8 {
                return Some((suffix, suffixes));
            }
        }
    }

    /// How many layers the columns alive may place; nothing where they can not place all.
    fn reaches(&self, alive: &Alive) -> Option<Reaches> {
        let mut stages = Vec::with_capacity(alive.len());
        for (columns, stage) in alive.iter().zip(&self.stages) {
            let layers = || columns.iter().map(|k| stage[*k].layers);
            stages.push((layers().min()?, layers().max()?));
        }
        let mut before = vec![(0, 0)];
        for (low, high) in &stages {
            let (least, most) = before[before.len() - 1];
            before.push((least + low, most + high));
        }
        let (least, most) = before[stages.len()];
        if !(least..=most).contains(&self.layers) {
            return None;
        }
        // What stages ..q place and what stages q.. place is all there is.
        let within = |(low, high): &(u64, u64)| {
            let (after_low, after_high) = (least - low, most - high);
            (self.layers.saturating_sub(after_high).max(*low), (self.layers - after_low).min(*high))
        };
        let spans: Vec<(u64, u64)> = before.iter().map(within).collect();
        let suffix = spans.iter().map(|(low, high)| (self.layers - high, self.layers - low));
        let suffix = Reach::new(suffix);
        Some(Reaches { stages, prefix: Reach::new(spans.into_iter()), suffix })
    }

    /// The least contributions to row `r` of each stage, by its layers.
    fn leasts(&self, alive: &Alive, stages: &[(u64, u64)], r: usize) -> Vec<Vec<u64>> {
        (0..alive.len()).map(|q| self.least(&alive[q], q, r, stages[q])).collect()
    }

    /// Least sums of row `r` over stages q.., by place within reach.
    fn completions(
        &self,
        alive: &Alive,
        (suffix, stages): (&Reach, &[(u64, u64)]),
        r: usize,
    ) -> Vec<u64> {
        completion(suffix, &self.leasts(alive, stages, r), stages, true)
    }

    /// Least contribution to row `r` of the columns of stage `q`, by layers from the fewest on.
    fn least(&self, columns: &[usize], q: usize, r: usize, (low, high): (u64, u64)) -> Vec<u64> {
        let mut least = vec![UNREACHABLE; (high - low) as usize + 1];
        for k in columns {
            let entry = &self.stages[q][*k];
            let slot = &mut least[(entry.layers - low) as usize];
            *slot = (*slot).min(entry.values[r]);
        }
        least
    }

    /// Least sum of a row over all stages but `q`, by the layers of that stage.
    fn rest(
        &self,
        q: usize,
        (low, high): (u64, u64),
        (prefix, before): (&Reach, &[u64]),
        (suffix, after): (&Reach, &[u64]),
    ) -> Vec<u64> {
        let (least, most, start) = prefix.spans[q];
        let with = |layers: u64| {
            let Some(rest) = self.layers.checked_sub(layers) else { return UNREACHABLE };
            let (fewest, farthest, end) = suffix.spans[q + 1];
            let from = least.max(rest.saturating_sub(farthest));
            let to = most.min(rest.wrapping_sub(fewest));
            if rest < fewest || from > to {
                return UNREACHABLE;
            }
            let heads = &before[start + (from - least) as usize..=start + (to - least) as usize];
            let (low, high) = (rest - to - fewest, rest - from - fewest);
            let tails = &after[end + low as usize..=end + high as usize];
            let sums = heads.iter().zip(tails.iter().rev()).map(|(head, tail)| head + tail);
            sums.min().unwrap_or(UNREACHABLE)
        };
        (low..=high).map(with).collect()
    }
}

/// Least sums of a row by q and layers, of stages q.. (suffix) or ..q (prefix), where `least` are
/// the least contributions of each stage by its layers.
fn completion(reach: &Reach, least: &[Vec<u64>], stages: &[(u64, u64)], suffix: bool) -> Vec<u64> {
    let p = least.len();
    let mut table = vec![UNREACHABLE; reach.len];
    if let Some(start) = reach.index(if suffix { p } else { 0 }, 0) {
        table[start] = 0;
    }
    for step in 0..p {
        let q = if suffix { p - 1 - step } else { step };
        let (from, to) = if suffix { (q + 1, q) } else { (q, q + 1) };
        let (low, high, start) = reach.spans[from];
        let (least_to, most_to, start_to) = reach.spans[to];
        for (layers, value) in (stages[q].0..).zip(&least[q]) {
            // Layers before this stage whose sum with it is within reach.
            let first = low.max(least_to.saturating_sub(layers));
            let Some(last) = most_to.checked_sub(layers).map(|last| last.min(high)) else { break };
            if first > last {
                continue;
            }
            let count = (last - first) as usize + 1;
            let (source, target) =
                (start + (first - low) as usize, start_to + (first + layers - least_to) as usize);
            for i in 0..count {
                let sum = table[source + i] + value;
                table[target + i] = table[target + i].min(sum);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests;
