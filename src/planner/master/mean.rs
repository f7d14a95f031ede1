//! A mean of a master problem's rows, as one more row.
//!
//! No selection is below any weighted mean of its rows, so a mean bounds it like a row does, and the
//! least of all selections under it comes from the same dynamic program. The best mean is the
//! Lagrangian dual (Geoffrion 1974): as strong as the linear relaxation over all ways to place the
//! layers. Its weights are found by multiplicative updates towards the rows that the cheapest selection
//! exceeds (Plotkin, Shmoys and Tardos 1995).

use crate::planner::master::problem::{Alive, Master, Reaches, UNREACHABLE};

/// Weights are whole parts of this.
const WHOLE: f64 = 65_536.0;

/// Updates of the weights.
const ROUNDS: u32 = 40;

/// What a mean of the rows says.
pub(super) struct Mean {
    /// Some selection may be below the cutoff, or below the best that was met.
    pub open: bool,
    /// The best selection below the cutoff among the cheapest of all means, with its value.
    pub best: Option<(Vec<usize>, u64)>,
}

impl Master {
    /// Adds the best mean that is found over the columns alive.
    pub(super) fn add_mean(&mut self, alive: &Alive, cutoff: u64) -> Mean {
        let rows = self.constants.len();
        let mut weights = vec![1.0; rows];
        let (mut highest, mut cutoff) = ((0, whole(&weights)), cutoff);
        let mut mean = Mean { open: false, best: None };
        let Some(reaches) = self.reaches(alive) else { return mean };
        self.add_row(0, |_, _| 0);
        for round in 0..ROUNDS {
            let parts = whole(&weights);
            self.set_mean(alive, &parts);
            let Some((value, chosen)) = self.cheapest(alive, &reaches) else { return mean };
            if value >= cutoff {
                return mean;
            }
            if value > highest.0 {
                highest = (value, parts);
            }
            let sums: Vec<u64> = (0..rows).map(|r| self.row(r, &chosen)).collect();
            let most = sums.iter().copied().max().unwrap_or(0);
            if most < cutoff {
                (cutoff, mean.best) = (most, Some((chosen, most)));
            }
            let over = |sum: u64| sum as f64 - value as f64;
            let apart = sums.iter().map(|sum| over(*sum).abs()).fold(0.0, f64::max);
            if apart == 0.0 || highest.0 >= cutoff {
                break;
            }
            let pace = 2.0 / f64::from(round + 1).sqrt();
            for (weight, sum) in weights.iter_mut().zip(sums) {
                *weight *= (pace * over(sum) / apart).exp();
            }
        }
        self.set_mean(alive, &highest.1);
        mean.open = highest.0 < cutoff;
        mean
    }

    /// Makes the last row the mean of the others, rounded down.
    fn set_mean(&mut self, alive: &Alive, parts: &[u64]) {
        let mean = |values: &[u64]| {
            let products = values.iter().zip(parts);
            let sum: u128 = products.map(|(v, part)| u128::from(*v) * u128::from(*part)).sum();
            (sum / WHOLE as u128) as u64
        };
        let last = parts.len();
        self.constants[last] = mean(&self.constants[..last]);
        for (stage, columns) in self.stages.iter_mut().zip(alive) {
            for k in columns {
                let values = &mut stage[*k].values;
                values[last] = mean(&values[..last]);
            }
        }
    }

    /// The selection that is least under the last row, and its value there.
    fn cheapest(
        &self,
        alive: &Alive,
        Reaches { stages, suffix: reach, .. }: &Reaches,
    ) -> Option<(u64, Vec<usize>)> {
        let r = self.constants.len() - 1;
        let tails = self.completions(alive, (reach, stages), r);
        let mut left = self.layers;
        let mut here = tails[reach.index(0, left)?];
        if here == UNREACHABLE {
            return None;
        }
        let value = self.constants[r] + here;
        let mut chosen = Vec::with_capacity(alive.len());
        for (q, columns) in alive.iter().enumerate() {
            let (k, rest) = columns.iter().find_map(|k| {
                let entry = &self.stages[q][*k];
                let rest = left.checked_sub(entry.layers)?;
                let after = tails[reach.index(q + 1, rest)?];
                (after + entry.values[r] == here).then_some((*k, rest))
            })?;
            chosen.push(k);
            here -= self.stages[q][k].values[r];
            left = rest;
        }
        Some((value, chosen))
    }
}

/// Weights as whole parts, together no more than [`WHOLE`].
fn whole(weights: &[f64]) -> Vec<u64> {
    let all: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / all * WHOLE * (1.0 - 1e-9)) as u64).collect()
}
