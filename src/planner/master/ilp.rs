//! The master problem as an integer program, in a solver.
//!
//! Durations are of the order of 10¹³ ps, solvers work to about 10⁻⁷ of their numbers. So the
//! solver sees differences: T counts from a floor that no selection is below (the largest row with
//! the least of every stage), and a column's entries from the least of its stage. What it chooses
//! is priced in whole picoseconds, and it is asked again for anything strictly better until there
//! is none: the answer does not depend on its tolerances, but for differences below them.

use super::MasterAnswer;
use crate::planner::master::problem::{Alive, Master, UNREACHABLE};
use crate::solver::{
    Backend, Problem, Sense, Solution, SolveError, SolverLimits, Status, Variable, solve,
};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// A solver's time for a program; what is not proven by then stays undecided.
const LONGEST: Duration = Duration::from_secs(26);

/// Between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Selections within a solver's tolerance of the cutoff, but not below it, that are ruled out one
/// by one.
const MAX_CUTS: usize = 50;

/// The largest number that a solver sees.
const LARGEST: f64 = 1e3;

/// Numbers are multiples of this: smaller ones make bases that no simplex method can factor.
const FINEST: f64 = 1e-7;

/// What a solver says of a master problem.
#[derive(Debug, Clone, PartialEq)]
pub struct MasterProof {
    /// Variables of the program, all but one of them binary.
    pub variables: usize,
    /// Its rows.
    pub rows: usize,
    /// Programs solved: one, and one more for each selection found.
    pub programs: u64,
    /// The best selection below the cutoff, and its value in picoseconds.
    pub best: Option<(Vec<usize>, u64)>,
    /// No selection is below this, by the solver's dual bound of the first program, in
    /// picoseconds.
    pub bound: u64,
    /// Whether it is proven that there is no better selection below the cutoff.
    pub proven: bool,
}

/// The problem in the solver's terms.
struct Statement {
    problem: Problem,
    /// By stage: columns with their variables.
    columns: Vec<Vec<(usize, usize)>>,
    /// Picoseconds at which T is zero.
    floor: u64,
    /// Picoseconds of one unit.
    unit: f64,
}

impl Statement {
    fn chosen(&self, solution: &Solution) -> Option<Vec<usize>> {
        let of_stage = |stage: &Vec<(usize, usize)>| {
            stage.iter().find(|(_, z)| solution.values[*z] > 0.5).map(|(k, _)| *k)
        };
        self.columns.iter().map(of_stage).collect()
    }

    /// Rules one selection out, where all its columns are still there.
    fn forbid(&mut self, selection: &[usize]) {
        let variable = |(stage, k): (&Vec<(usize, usize)>, &usize)| {
            stage.iter().find(|(other, _)| other == k).map(|(_, z)| (*z, 1.0))
        };
        let terms: Option<Vec<_>> = self.columns.iter().zip(selection).map(variable).collect();
        if let Some(terms) = terms {
            let most = terms.len() as f64 - 1.0;
            self.problem.require(terms, Sense::AtMost, most);
        }
    }
}

impl Master {
    /// States the problem among the columns in `alive`: binary z\[q,k\] for each, T at least zero
    /// and below the cutoff; min T with Σ_k z\[q,k\] = 1, Σ n\[q,k\] z\[q,k\] = L and
    /// T ≥ c\[r\] + Σ a\[r,q,k\] z\[q,k\] for every row r.
    fn state(&self, alive: &Alive, cutoff: u64) -> Statement {
        let least = |q: usize, r: usize| {
            alive[q].iter().map(|k| self.stages[q][*k].values[r]).min().unwrap_or(0)
        };
        let stages = 0..self.stages.len();
        let leasts: Vec<Vec<u64>> = (0..self.constants.len())
            .map(|r| stages.clone().map(|q| least(q, r)).collect())
            .collect();
        let bases: Vec<u64> =
            self.constants.iter().zip(&leasts).map(|(c, l)| c + l.iter().sum::<u64>()).collect();
        let floor = bases.iter().copied().max().unwrap_or(0);
        let above = |q: usize, k: usize, r: usize| self.stages[q][k].values[r] - leasts[r][q];
        let rows = 0..bases.len();
        let entries = stages.clone().flat_map(|q| alive[q].iter().map(move |k| (q, *k)));
        let largest = entries
            .clone()
            .flat_map(|(q, k)| rows.clone().map(move |r| above(q, k, r)))
            .chain(bases.iter().map(|base| floor - base))
            .max()
            .unwrap_or(0);
        let unit = (largest as f64 / LARGEST).max(1.0);
        let upper = if cutoff >= UNREACHABLE {
            f64::INFINITY
        } else {
            (cutoff as f64 - 1.0 - floor as f64) / unit
        };
        let mut problem = Problem::default();
        let time = problem.add(Variable { cost: 1.0, lower: 0.0, upper, integer: false });
        let columns: Vec<Vec<(usize, usize)>> = alive
            .iter()
            .map(|stage| stage.iter().map(|k| (*k, problem.add(Variable::binary(0.0)))).collect())
            .collect();
        for stage in &columns {
            let terms = stage.iter().map(|(_, z)| (*z, 1.0)).collect();
            problem.require(terms, Sense::Equal, 1.0);
        }
        let variables =
            || columns.iter().enumerate().flat_map(|(q, s)| s.iter().map(move |e| (q, e)));
        let layers = variables().map(|(q, (k, z))| (*z, self.stages[q][*k].layers as f64));
        problem.require(layers.collect(), Sense::Equal, self.layers as f64);
        for (r, base) in bases.iter().enumerate() {
            let mut terms = vec![(time, 1.0)];
            // Rounded down, a row is still below every selection.
            let rounded = |picos: u64| (picos as f64 / unit / FINEST).floor() * FINEST;
            let parts = variables().map(|(q, (k, z))| (*z, -rounded(above(q, *k, r))));
            terms.extend(parts.filter(|(_, coefficient)| *coefficient != 0.0));
            problem.require(terms, Sense::AtLeast, -((floor - base) as f64) / unit);
        }
        Statement { problem, columns, floor, unit }
    }

    /// Solves the problem below `cutoff` with an integer-programming solver, over all columns.
    /// `stop` is asked between the solver's shares of time.
    ///
    /// # Errors
    /// A solver that fails, or returns a point that is none.
    pub fn prove(
        &self,
        cutoff: u64,
        backend: Backend,
        stop: &dyn Fn() -> bool,
    ) -> Result<MasterProof, SolveError> {
        self.ask(&mut self.all(), cutoff, false, backend, stop)
    }

    /// [`Master::solve_among`] by a solver: what the bounds leave of the columns is its program.
    ///
    /// # Errors
    /// A solver that fails, or returns a point that is none.
    pub fn prove_among(
        &self,
        alive: &mut Alive,
        cutoff: u64,
        backend: Backend,
        stop: &dyn Fn() -> bool,
    ) -> Result<(MasterAnswer, u64), SolveError> {
        let proof = self.ask(alive, cutoff, true, backend, stop)?;
        let answer = match (proof.best, proof.proven) {
            (found, false) => MasterAnswer::Undecided(found),
            (Some((chosen, value)), true) => MasterAnswer::Best(chosen, value),
            (None, true) => MasterAnswer::NothingBelow,
        };
        Ok((answer, proof.programs))
    }

    fn ask(
        &self,
        alive: &mut Alive,
        cutoff: u64,
        trim: bool,
        backend: Backend,
        stop: &dyn Fn() -> bool,
    ) -> Result<MasterProof, SolveError> {
        let solver = backend.name();
        let wrong = |what: &str| SolveError::Wrong { solver, what: what.to_owned() };
        let mut proof =
            MasterProof { variables: 0, rows: 0, programs: 0, best: None, bound: 0, proven: true };
        let mut cutoff = cutoff;
        let mut forbidden: Vec<Vec<usize>> = Vec::new();
        if trim && self.trim(alive, cutoff).is_none() {
            return Ok(proof);
        }
        // What a selection found here excludes may be wanted once there are more rows.
        let mut alive = alive.clone();
        loop {
            let mut statement = self.state(&alive, cutoff);
            forbidden.iter().for_each(|selection| statement.forbid(selection));
            let solution = while_wanted(&statement.problem, backend, stop)?;
            if proof.programs == 0 {
                proof.variables = statement.problem.variables.len();
                proof.rows = statement.problem.rows.len();
                let bound = (solution.bound * statement.unit).clamp(0.0, 1e18);
                proof.bound = statement.floor.saturating_add(bound as u64);
            }
            proof.programs += 1;
            match solution.status {
                Status::Infeasible => return Ok(proof),
                Status::Unbounded => return Err(wrong("a time without end")),
                Status::Limit => proof.proven = false,
                Status::Optimal => {}
            }
            if solution.values.is_empty() {
                return Ok(proof);
            }
            let chosen =
                statement.chosen(&solution).ok_or_else(|| wrong("a stage without a column"))?;
            let value = self.value(&chosen);
            if value < cutoff {
                proof.best = Some((chosen, value));
                proof.bound = proof.bound.min(value);
                cutoff = value;
            } else if forbidden.len() < MAX_CUTS {
                forbidden.push(chosen);
            } else {
                return Err(wrong("selections beyond the cutoff, again and again"));
            }
            if !proof.proven || (trim && self.trim(&mut alive, cutoff).is_none()) {
                return Ok(proof);
            }
        }
    }
}

/// Solves a problem on a thread of its own; where `stop` says so, it is left behind and ends by itself.
fn while_wanted(
    problem: &Problem,
    backend: Backend,
    stop: &dyn Fn() -> bool,
) -> Result<Solution, SolveError> {
    let limits = SolverLimits { time: Some(LONGEST), nodes: None };
    let (sender, receiver) = mpsc::channel();
    let solving = problem.clone();
    std::thread::spawn(move || sender.send(solve(&solving, backend, &limits)));
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if !stop() => {}
            Err(RecvTimeoutError::Timeout) => return Ok(Solution::nothing(Status::Limit)),
            Err(RecvTimeoutError::Disconnected) => {
                let what = "an end without an answer".to_owned();
                return Err(SolveError::Wrong { solver: backend.name(), what });
            }
        }
    }
}

#[cfg(test)]
#[path = "ilp_tests.rs"]
mod tests;
