//! Nothing that a solver returns is believed before it is computed again.

use super::backend::{Backend, Raw};
use super::error::SolveError;
use super::problem::{Problem, Sense};
use super::solution::{Solution, Status};

/// How far an integer value may be from a whole number.
const INTEGRALITY: f64 = 1e-5;
/// How far a row may be from its limit, for each unit of its largest term.
const FEASIBILITY: f64 = 1e-6;
/// How far the objective may be from what the solver said, for each unit of it.
const OBJECTIVE: f64 = 1e-6;

/// Rounds integer values, then checks bounds, rows, objective and bound.
pub(super) fn checked(
    problem: &Problem,
    backend: Backend,
    raw: Raw,
) -> Result<Solution, SolveError> {
    let Some(mut values) = raw.values else {
        return without_values(backend, raw.status, raw.bound);
    };
    let wrong = |what: String| Err(SolveError::Wrong { solver: backend.name(), what });
    if values.len() != problem.variables.len() {
        return wrong(format!("{} values for {} variables", values.len(), problem.variables.len()));
    }
    for (index, (value, variable)) in values.iter_mut().zip(&problem.variables).enumerate() {
        if variable.integer {
            let whole = value.round();
            if (*value - whole).abs() > INTEGRALITY || !value.is_finite() {
                return wrong(format!("integer variable {index} is {value}"));
            }
            *value = whole;
        }
        let slack = FEASIBILITY * value.abs().max(1.0);
        let inside = *value >= variable.lower - slack && *value <= variable.upper + slack;
        if !inside || !value.is_finite() {
            return wrong(format!("variable {index} is {value}, outside of its bounds"));
        }
        *value = value.clamp(variable.lower, variable.upper);
    }
    for (index, row) in problem.rows.iter().enumerate() {
        let mut sum = 0.0;
        let mut scale = row.limit.abs().max(1.0);
        for &(variable, coefficient) in &row.terms {
            let term = coefficient * values[variable];
            sum += term;
            // Continuous values are right to a tolerance of their own.
            scale = scale.max(term.abs()).max(coefficient.abs());
        }
        let excess = match row.sense {
            Sense::AtMost => sum - row.limit,
            Sense::AtLeast => row.limit - sum,
            Sense::Equal => (sum - row.limit).abs(),
        };
        if excess > FEASIBILITY * scale {
            return wrong(format!("row {index} is off by {excess}"));
        }
    }
    let objective: f64 = problem.variables.iter().zip(&values).map(|(v, x)| v.cost * x).sum();
    let scale: f64 = problem.variables.iter().zip(&values).map(|(v, x)| (v.cost * x).abs()).sum();
    if let Some(claimed) = raw.objective
        && (claimed - objective).abs() > OBJECTIVE * scale.max(1.0)
    {
        return wrong(format!("objective {objective} is not {claimed} as it says"));
    }
    let bound = raw.bound.min(objective);
    let relative = (objective - bound) / objective.abs().max(f64::MIN_POSITIVE);
    // What is left of the gap after rounding is not a gap.
    let closed = objective - bound <= OBJECTIVE * scale.max(1.0);
    match raw.status {
        Status::Optimal if !closed => wrong(format!("optimal at {objective}, but bound {bound}")),
        Status::Optimal => {
            Ok(Solution { status: Status::Optimal, objective, bound, gap: 0.0, values })
        }
        _ => {
            let gap = if relative.is_nan() { f64::INFINITY } else { relative };
            Ok(Solution { status: Status::Limit, objective, bound, gap, values })
        }
    }
}

fn without_values(backend: Backend, status: Status, bound: f64) -> Result<Solution, SolveError> {
    let (objective, bound) = match status {
        Status::Infeasible => (f64::INFINITY, f64::INFINITY),
        Status::Unbounded => (f64::NEG_INFINITY, f64::NEG_INFINITY),
        Status::Limit => (f64::INFINITY, if bound.is_nan() { f64::NEG_INFINITY } else { bound }),
        Status::Optimal => {
            let what = "optimal, without values".to_owned();
            return Err(SolveError::Wrong { solver: backend.name(), what });
        }
    };
    Ok(Solution { status, objective, bound, gap: f64::INFINITY, values: Vec::new() })
}
