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
//! searched depth first with the same completion bounds. [`Master::problem`] states the same
//! problem for an ILP solver.

/// One column, as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Layers of the stage.
    pub layers: u64,
    /// Contribution to each row.
    pub values: Vec<u64>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Columns of each stage.
    pub stages: Vec<Vec<Entry>>,
    /// Constant of each row.
    pub constants: Vec<u64>,
    /// Layers to place (L).
    pub layers: u64,
}

/// What came of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The best selection, of this value, below the cutoff.
    Best(Vec<usize>, u64),
    /// Nothing is below the cutoff.
    NothingBelow,
    /// The node limit was reached; any improvement found so far.
    Undecided(Option<(Vec<usize>, u64)>),
}

const UNREACHABLE: u64 = u64::MAX / 4;

/// For every row, the least sum of stages q.. (or ..q) that places a number of layers.
struct Completion {
    width: usize,
    table: Vec<u64>,
}

impl Completion {
    fn at(&self, q: usize, layers: u64) -> u64 {
        self.table[q * self.width + layers as usize]
    }
}

/// Depth-first search state.
struct Dive<'a> {
    master: &'a Master,
    /// Columns still alive, best first, by stage.
    alive: &'a [Vec<usize>],
    suffixes: &'a [Completion],
    cutoff: u64,
    nodes: u64,
    limit: u64,
    chosen: Vec<usize>,
}

impl Master {
    /// The best selection whose value is below `cutoff`.
    ///
    /// Among equals the one that is found first wins: stages in order, each with the number of
    /// layers closest to an even split of what is left. `limit` bounds the nodes of the search.
    pub fn solve(&self, cutoff: u64, limit: u64) -> Answer {
        let mut best: Option<(Vec<usize>, u64)> = None;
        let mut cutoff = cutoff;
        while let Some((alive, suffixes)) = self.trim(cutoff) {
            let mut dive = Dive {
                master: self,
                alive: &alive,
                suffixes: &suffixes,
                cutoff,
                nodes: 0,
                limit,
                chosen: Vec::with_capacity(self.stages.len()),
            };
            let mut partial = self.constants.clone();
            match dive.descend(0, self.layers, &mut partial) {
                Some(true) => {
                    let value = self.value(&dive.chosen);
                    cutoff = value;
                    best = Some((dive.chosen, value));
                    if self.constants.is_empty() {
                        break; // Without rows all selections are equal.
                    }
                }
                Some(false) => break,
                None => return Answer::Undecided(best),
            }
        }
        best.map_or(Answer::NothingBelow, |(chosen, value)| Answer::Best(chosen, value))
    }

    /// The largest row of a selection.
    pub fn value(&self, chosen: &[usize]) -> u64 {
        let row = |r: usize| {
            let parts = chosen.iter().zip(&self.stages);
            self.constants[r] + parts.map(|(k, stage)| stage[*k].values[r]).sum::<u64>()
        };
        (0..self.constants.len()).map(row).max().unwrap_or(0)
    }

    /// The columns that may be part of a selection below `cutoff`, and for each row the least
    /// completion; nothing where no selection can be.
    fn trim(&self, cutoff: u64) -> Option<(Vec<Vec<usize>>, Vec<Completion>)> {
        let mut alive: Vec<Vec<usize>> =
            self.stages.iter().map(|stage| (0..stage.len()).collect()).collect();
        let rows = self.constants.len();
        loop {
            if alive.iter().any(Vec::is_empty) || !self.places_all(&alive) {
                return None;
            }
            // One row that can not be below is enough; the latest is the likeliest.
            let mut suffixes = Vec::with_capacity(rows);
            for r in (0..rows).rev() {
                let suffix = self.completion(&alive, r, true);
                if self.constants[r] + suffix.at(0, self.layers) >= cutoff {
                    return None;
                }
                suffixes.push(suffix);
            }
            suffixes.reverse();
            let before: usize = alive.iter().map(Vec::len).sum();
            for (r, suffix) in suffixes.iter().enumerate() {
                let prefix = self.completion(&alive, r, false);
                for (q, columns) in alive.iter_mut().enumerate() {
                    columns.retain(|k| {
                        let entry = &self.stages[q][*k];
                        self.best_with(q, entry, r, &prefix, suffix) < cutoff
                    });
                }
            }
            if alive.iter().map(Vec::len).sum::<usize>() == before {
                return Some((alive, suffixes));
            }
        }
    }

    /// Whether the layers lie between the least and the most that the columns place.
    fn places_all(&self, alive: &[Vec<usize>]) -> bool {
        let layers = |q: usize, k: &usize| self.stages[q][*k].layers;
        let least: u64 = (0..alive.len())
            .map(|q| alive[q].iter().map(|k| layers(q, k)).min().unwrap_or(0))
            .sum();
        let most: u64 = (0..alive.len())
            .map(|q| alive[q].iter().map(|k| layers(q, k)).max().unwrap_or(0))
            .sum();
        (least..=most).contains(&self.layers)
    }

    /// Least value of row `r` over all selections with this column at stage `q`.
    fn best_with(
        &self,
        q: usize,
        entry: &Entry,
        r: usize,
        prefix: &Completion,
        suffix: &Completion,
    ) -> u64 {
        let Some(rest) = self.layers.checked_sub(entry.layers) else { return UNREACHABLE };
        let split = |before: u64| prefix.at(q, before) + suffix.at(q + 1, rest - before);
        let others = (0..=rest).map(split).min().unwrap_or(UNREACHABLE);
        self.constants[r] + entry.values[r] + others
    }

    /// Least sums of row `r` by stage and layers: of stages q.. (suffix) or ..q (prefix).
    fn completion(&self, alive: &[Vec<usize>], r: usize, suffix: bool) -> Completion {
        let p = self.stages.len();
        let width = self.layers as usize + 1;
        let mut table = vec![UNREACHABLE; (p + 1) * width];
        let (start, order): (usize, Vec<usize>) =
            if suffix { (p, (0..p).rev().collect()) } else { (0, (0..p).collect()) };
        table[start * width] = 0;
        for q in order {
            let (from, to) = if suffix { (q + 1, q) } else { (q, q + 1) };
            for k in &alive[q] {
                let entry = &self.stages[q][*k];
                let shift = entry.layers as usize;
                for layers in shift..width {
                    let value = table[from * width + layers - shift] + entry.values[r];
                    let slot = &mut table[to * width + layers];
                    *slot = (*slot).min(value);
                }
            }
        }
        Completion { width, table }
    }
}

impl Dive<'_> {
    /// Places stages q.. with `left` layers; true when a selection below the cutoff is in
    /// `chosen`, nothing when the node limit is reached.
    fn descend(&mut self, q: usize, left: u64, partial: &mut [u64]) -> Option<bool> {
        if q == self.master.stages.len() {
            return Some(left == 0);
        }
        self.nodes += 1;
        if self.nodes > self.limit {
            return None;
        }
        let stages_left = (self.master.stages.len() - q) as u64;
        let entries = &self.master.stages[q];
        let even = |k: &usize| (entries[*k].layers * stages_left).abs_diff(left);
        let mut order = self.alive[q].clone();
        order.sort_by_key(|k| (even(k), *k));
        for k in order {
            let entry = &entries[k];
            let Some(rest) = left.checked_sub(entry.layers) else { continue };
            let fits =
                partial.iter().zip(&entry.values).zip(self.suffixes).all(
                    |((sum, value), suffix)| sum + value + suffix.at(q + 1, rest) < self.cutoff,
                );
            if !fits {
                continue;
            }
            for (sum, value) in partial.iter_mut().zip(&entry.values) {
                *sum += value;
            }
            self.chosen.push(k);
            if self.descend(q + 1, rest, partial)? {
                return Some(true);
            }
            self.chosen.pop();
            for (sum, value) in partial.iter_mut().zip(&entry.values) {
                *sum -= value;
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute_force(master: &Master) -> Option<u64> {
        let mut best = None;
        let mut chosen = vec![0; master.stages.len()];
        loop {
            let layers: u64 =
                chosen.iter().zip(&master.stages).map(|(k, s): (&usize, _)| s[*k].layers).sum();
            if layers == master.layers {
                let value = master.value(&chosen);
                best = Some(best.map_or(value, |b: u64| b.min(value)));
            }
            let mut q = 0;
            loop {
                if q == chosen.len() {
                    return best;
                }
                chosen[q] += 1;
                if chosen[q] < master.stages[q].len() {
                    break;
                }
                chosen[q] = 0;
                q += 1;
            }
        }
    }

    fn instance() -> impl Strategy<Value = Master> {
        (1usize..5, 1usize..4).prop_flat_map(|(stages, rows)| {
            let entry = (1u64..4, prop::collection::vec(0u64..40, rows))
                .prop_map(|(layers, values)| Entry { layers, values });
            let stage = prop::collection::vec(entry, 1..5);
            (prop::collection::vec(stage, stages), prop::collection::vec(0u64..20, rows), 1u64..14)
                .prop_map(|(stages, constants, layers)| Master { stages, constants, layers })
        })
    }

    proptest! {
        #[test]
        fn equals_brute_force(master in instance(), slack in 0u64..30) {
            let truth = brute_force(&master);
            match master.solve(u64::MAX / 8, u64::MAX) {
                Answer::Best(chosen, value) => {
                    prop_assert_eq!(Some(value), truth);
                    prop_assert_eq!(master.value(&chosen), value);
                }
                answer => prop_assert!(truth.is_none() && answer == Answer::NothingBelow),
            }
            if let Some(truth) = truth {
                prop_assert_eq!(master.solve(truth, u64::MAX), Answer::NothingBelow);
                let below = master.solve(truth + 1 + slack, u64::MAX);
                prop_assert!(matches!(below, Answer::Best(_, value) if value == truth));
            }
        }
    }

    #[test]
    fn a_limit_is_reported() {
        let entry = |layers| Entry { layers, values: vec![layers] };
        let master =
            Master { stages: vec![vec![entry(1), entry(2)]; 6], constants: vec![0], layers: 9 };
        assert_eq!(master.solve(100, 2), Answer::Undecided(None));
    }
}
