//! The master problem as an integer program, for a second solver.

use crate::planner::master::problem::Master;
use crate::solver::{Backend, Problem, Sense, SolveError, SolverLimits, Status, Variable, solve};

/// What a second solver says of a master problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterProof {
    /// The solver.
    pub solver: &'static str,
    /// Binary variables.
    pub binaries: usize,
    /// Value of the selection that it returned, in whole picoseconds; nothing where it found that
    /// there is none.
    pub value: Option<u64>,
    /// Whether it proved that selection best.
    pub proven: bool,
}

impl Master {
    /// The problem in the solver's terms: binary z\[q,k\] for every column, T in units of `scale`
    /// picoseconds; min T with Σ_k z\[q,k\] = 1, Σ n\[q,k\] z\[q,k\] = L and
    /// T ≥ c\[r\] + Σ a\[r,q,k\] z\[q,k\] for every row r.
    fn problem(&self, scale: f64) -> (Problem, Vec<Vec<usize>>) {
        let mut problem = Problem::default();
        let time = problem.add(Variable::non_negative(1.0));
        let columns: Vec<Vec<usize>> = self
            .stages
            .iter()
            .map(|stage| stage.iter().map(|_| problem.add(Variable::binary(0.0))).collect())
            .collect();
        for stage in &columns {
            problem.require(stage.iter().map(|z| (*z, 1.0)).collect(), Sense::Equal, 1.0);
        }
        let entries = || self.stages.iter().flatten().zip(columns.iter().flatten());
        let layers = entries().map(|(entry, z)| (*z, entry.layers as f64)).collect();
        problem.require(layers, Sense::Equal, self.layers as f64);
        for (r, constant) in self.constants.iter().enumerate() {
            let mut terms = vec![(time, 1.0)];
            terms.extend(entries().map(|(entry, z)| (*z, -(entry.values[r] as f64) / scale)));
            problem.require(terms, Sense::AtLeast, *constant as f64 / scale);
        }
        (problem, columns)
    }

    /// Solves the problem with an integer-programming solver and prices what it chose in whole
    /// picoseconds.
    ///
    /// # Errors
    /// A solver that fails, or returns a point that is none.
    pub fn solve_ilp(&self, backend: Backend) -> Result<MasterProof, SolveError> {
        let largest = self.constants.iter().copied().max().unwrap_or(1).max(
            self.stages
                .iter()
                .flatten()
                .flat_map(|entry| entry.values.iter().copied())
                .max()
                .unwrap_or(1),
        );
        let (problem, columns) = self.problem((largest as f64 / 1e3).max(1.0));
        let solution = solve(&problem, backend, &SolverLimits::default())?;
        let chosen: Option<Vec<usize>> = columns
            .iter()
            .map(|stage| {
                stage.iter().position(|z| solution.values.get(*z).is_some_and(|v| *v > 0.5))
            })
            .collect();
        Ok(MasterProof {
            solver: backend.name(),
            binaries: columns.iter().map(Vec::len).sum(),
            value: chosen.filter(|_| !solution.values.is_empty()).map(|chosen| self.value(&chosen)),
            proven: matches!(solution.status, Status::Optimal | Status::Infeasible),
        })
    }
}
