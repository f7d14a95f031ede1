//! The solvers behind `good_lp`.

use super::error::SolveError;
use super::problem::{Problem, Sense};
use super::solution::Status;
use good_lp::solvers::microlp::MicroLpProblem;
use good_lp::{
    Expression, ProblemVariables, ResolutionError, Solution, SolutionStatus, Solver, SolverModel,
    Variable, WithMipGap, WithTimeLimit, constraint, variable,
};
use std::time::Duration;

/// Which solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Pure Rust; good for small problems.
    Microlp,
    /// HiGHS (Huangfu and Hall 2018); only in builds with the feature `highs`.
    Highs,
}

impl Backend {
    /// The strongest one of this build.
    pub const fn best() -> Backend {
        if cfg!(feature = "highs") { Backend::Highs } else { Backend::Microlp }
    }

    /// Whether this build has it.
    pub const fn is_available(self) -> bool {
        matches!(self, Backend::Microlp) || cfg!(feature = "highs")
    }

    /// Its name, as it stands in results.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Microlp => "microlp",
            Backend::Highs => "highs",
        }
    }
}

/// When to stop without a proof.
///
/// A limit on time makes results depend on the machine; one on nodes does not.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SolverLimits {
    /// Wall time.
    pub time: Option<Duration>,
    /// Nodes of the branch-and-bound tree; HiGHS only, microlp pays no heed to it.
    pub nodes: Option<u32>,
}

/// What a solver says, unchecked.
pub(super) struct Raw {
    pub status: Status,
    pub objective: Option<f64>,
    /// Proven lower bound; negative infinity where the solver has none to show.
    pub bound: f64,
    pub values: Option<Vec<f64>>,
}

impl Raw {
    const fn without_values(status: Status) -> Raw {
        Raw { status, objective: None, bound: f64::NEG_INFINITY, values: None }
    }
}

pub(super) fn run(
    problem: &Problem,
    backend: Backend,
    limits: &SolverLimits,
) -> Result<Raw, SolveError> {
    if problem.is_trivially_infeasible() {
        return Ok(Raw::without_values(Status::Infeasible));
    }
    if problem.variables.is_empty() {
        let values = Some(Vec::new());
        return Ok(Raw { status: Status::Optimal, objective: Some(0.0), bound: 0.0, values });
    }
    match backend {
        Backend::Microlp => microlp(problem, limits),
        #[cfg(feature = "highs")]
        Backend::Highs => highs::run(problem, limits),
        #[cfg(not(feature = "highs"))]
        Backend::Highs => Err(SolveError::Unavailable),
    }
}

/// The problem as a model of some solver.
fn model<S: Solver>(problem: &Problem, solver: S) -> (S::Model, Vec<Variable>) {
    let mut variables = ProblemVariables::new();
    let mut columns = Vec::with_capacity(problem.variables.len());
    let mut objective = Expression::with_capacity(problem.variables.len());
    for definition in &problem.variables {
        let mut column = variable().min(definition.lower).max(definition.upper);
        if definition.integer {
            column = column.integer();
        }
        let column = variables.add(column);
        objective.add_mul(definition.cost, column);
        columns.push(column);
    }
    let mut model = variables.minimise(objective).using(solver);
    for row in problem.rows.iter().filter(|row| !row.terms.is_empty()) {
        let mut sum = Expression::with_capacity(row.terms.len());
        for &(variable, coefficient) in &row.terms {
            sum.add_mul(coefficient, columns[variable]);
        }
        model.add_constraint(match row.sense {
            Sense::AtMost => constraint::leq(sum, row.limit),
            Sense::AtLeast => constraint::geq(sum, row.limit),
            Sense::Equal => constraint::eq(sum, row.limit),
        });
    }
    (model, columns)
}

fn microlp(problem: &Problem, limits: &SolverLimits) -> Result<Raw, SolveError> {
    let (mut model, columns): (MicroLpProblem, _) = model(problem, good_lp::microlp);
    model = model
        .with_mip_gap(0.0)
        .map_err(|error| SolveError::Failed { solver: "microlp", message: error.to_string() })?;
    if let Some(time) = limits.time {
        model = model.with_time_limit(time.as_secs_f64());
    }
    let solution = match model.solve() {
        Ok(solution) => solution,
        Err(ResolutionError::Infeasible) => return Ok(Raw::without_values(Status::Infeasible)),
        Err(ResolutionError::Unbounded) => return Ok(Raw::without_values(Status::Unbounded)),
        // The only such error is a time limit reached without a feasible point.
        Err(ResolutionError::Other(_)) if limits.time.is_some() => {
            return Ok(Raw::without_values(Status::Limit));
        }
        Err(error) => {
            return Err(SolveError::Failed { solver: "microlp", message: error.to_string() });
        }
    };
    let values: Vec<f64> = columns.iter().map(|column| solution.value(*column)).collect();
    let optimal = matches!(solution.status(), SolutionStatus::Optimal);
    let status = if optimal { Status::Optimal } else { Status::Limit };
    let inner = solution.into_inner();
    let objective = inner.objective();
    let bound = match (optimal, inner.gap()) {
        (true, _) => objective,
        (false, Some(gap)) => objective - gap * objective.abs(),
        (false, None) => f64::NEG_INFINITY,
    };
    Ok(Raw { status, objective: Some(objective), bound, values: Some(values) })
}

#[cfg(feature = "highs")]
mod highs {
    use super::{Problem, Raw, SolveError, SolverLimits, Status, model};
    use ::highs::{HighsModelStatus, HighsSolutionStatus};

    fn failed(message: impl Into<String>) -> SolveError {
        SolveError::Failed { solver: "highs", message: message.into() }
    }

    /// One thread, a fixed seed and no gap: the same problem gives the same point. HiGHS refuses a
    /// second number of threads in one process, so it is 1 everywhere. Options set on `good_lp`'s
    /// model are lost with it, so they are set on the inner one.
    pub(super) fn run(problem: &Problem, limits: &SolverLimits) -> Result<Raw, SolveError> {
        let (model, _) = model(problem, good_lp::highs);
        let mut model = model.try_into_inner().map_err(|error| failed(error.to_string()))?;
        model.make_quiet();
        let option = |what: &str| failed(format!("it does not take the option {what}"));
        model.try_set_option("threads", 1).map_err(|_| option("threads"))?;
        model.try_set_option("random_seed", 0).map_err(|_| option("random_seed"))?;
        for name in ["mip_rel_gap", "mip_abs_gap"] {
            model.try_set_option(name, 0.0).map_err(|_| option(name))?;
        }
        // What is returned is checked to 1e-6, after whole numbers are rounded.
        for name in ["mip_feasibility_tolerance", "primal_feasibility_tolerance"] {
            model.try_set_option(name, 1e-9).map_err(|_| option(name))?;
        }
        if let Some(time) = limits.time {
            let seconds = time.as_secs_f64();
            model.try_set_option("time_limit", seconds).map_err(|_| option("time_limit"))?;
        }
        if let Some(nodes) = limits.nodes {
            let nodes = i32::try_from(nodes).unwrap_or(i32::MAX);
            model.try_set_option("mip_max_nodes", nodes).map_err(|_| option("mip_max_nodes"))?;
        }
        let solved = model.try_solve().map_err(|error| failed(format!("{error:?}")))?;
        let status = match solved.status() {
            HighsModelStatus::Optimal => Status::Optimal,
            HighsModelStatus::Infeasible => return Ok(Raw::without_values(Status::Infeasible)),
            HighsModelStatus::Unbounded => return Ok(Raw::without_values(Status::Unbounded)),
            HighsModelStatus::UnboundedOrInfeasible => {
                return if is_feasible(problem)? {
                    Ok(Raw::without_values(Status::Unbounded))
                } else {
                    Ok(Raw::without_values(Status::Infeasible))
                };
            }
            HighsModelStatus::ReachedTimeLimit
            | HighsModelStatus::ReachedIterationLimit
            | HighsModelStatus::ReachedSolutionLimit
            | HighsModelStatus::ReachedInterrupt
            | HighsModelStatus::ReachedMemoryLimit => Status::Limit,
            other => return Err(failed(format!("{other:?}"))),
        };
        let integer = problem.variables.iter().any(|variable| variable.integer);
        let objective = solved.objective_value();
        let bound = match (integer, status) {
            (false, Status::Optimal) => objective,
            (false, _) => f64::NEG_INFINITY,
            (true, _) => solved.double_info_value(c"mip_dual_bound").unwrap_or(f64::NEG_INFINITY),
        };
        if solved.primal_solution_status() != HighsSolutionStatus::Feasible {
            return Ok(Raw { bound, ..Raw::without_values(status) });
        }
        let values = Some(solved.get_solution().columns().to_vec());
        Ok(Raw { status, objective: Some(objective), bound, values })
    }

    /// Whether there is a feasible point, by solving without an objective.
    fn is_feasible(problem: &Problem) -> Result<bool, SolveError> {
        let mut constant = problem.clone();
        for variable in &mut constant.variables {
            variable.cost = 0.0;
        }
        let raw = run(&constant, &SolverLimits::default())?;
        Ok(raw.status == Status::Optimal)
    }
}
