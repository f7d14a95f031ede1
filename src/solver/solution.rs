//! What a solver found, and how it stands to the problem.

/// How a solution stands to the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Proven best.
    Optimal,
    /// A limit stopped the search; the values, if any, are feasible and no more.
    Limit,
    /// There is no feasible point.
    Infeasible,
    /// The objective falls without end.
    Unbounded,
}

/// What a solver found, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// How it stands to the problem.
    pub status: Status,
    /// Objective of the values, computed from them; infinite without values.
    pub objective: f64,
    /// No feasible point is below this, as far as the solver has proven.
    pub bound: f64,
    /// (objective - bound) / |objective|; zero when optimal, infinite without values.
    pub gap: f64,
    /// Values of the variables, integer ones exactly so; empty where there are none.
    pub values: Vec<f64>,
}

impl Solution {
    /// Without values, and without a bound.
    pub(crate) fn nothing(status: Status) -> Solution {
        Solution {
            status,
            objective: f64::INFINITY,
            bound: f64::NEG_INFINITY,
            gap: f64::INFINITY,
            values: Vec::new(),
        }
    }
}
