//! A linear program with integer variables, as plain data.

/// A variable between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variable {
    /// Coefficient in the objective, which is minimised.
    pub cost: f64,
    /// Lower bound; may be negative infinity.
    pub lower: f64,
    /// Upper bound; may be infinity.
    pub upper: f64,
    /// Whether only whole numbers are allowed; these need finite bounds of 32-bit size.
    pub integer: bool,
}

impl Variable {
    /// Zero or one.
    pub const fn binary(cost: f64) -> Self {
        Variable { cost, lower: 0.0, upper: 1.0, integer: true }
    }

    /// Any number that is not negative.
    pub const fn non_negative(cost: f64) -> Self {
        Variable { cost, lower: 0.0, upper: f64::INFINITY, integer: false }
    }
}

/// How a row's sum stands to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// At most.
    AtMost,
    /// At least.
    AtLeast,
    /// Exactly.
    Equal,
}

/// A linear constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// Variables, by index, with their coefficients; each variable at most once.
    pub terms: Vec<(usize, f64)>,
    /// How the sum stands to the limit.
    pub sense: Sense,
    /// The limit.
    pub limit: f64,
}

/// Minimise Σ cost·x under bounds and rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problem {
    /// Variables.
    pub variables: Vec<Variable>,
    /// Constraints.
    pub rows: Vec<Constraint>,
}

impl Problem {
    /// Adds a variable and returns its index.
    pub fn add(&mut self, variable: Variable) -> usize {
        self.variables.push(variable);
        self.variables.len() - 1
    }

    /// Adds a constraint.
    pub fn require(&mut self, terms: Vec<(usize, f64)>, sense: Sense, limit: f64) {
        self.rows.push(Constraint { terms, sense, limit });
    }

    /// The same problem with variables and rows in the orders given, each a permutation.
    pub(super) fn reordered(&self, variables: &[usize], rows: &[usize]) -> Problem {
        let mut new = vec![0; variables.len()];
        variables.iter().enumerate().for_each(|(at, old)| new[*old] = at);
        let row = |row: &Constraint| {
            let mut terms: Vec<(usize, f64)> =
                row.terms.iter().map(|(variable, c)| (new[*variable], *c)).collect();
            terms.sort_by_key(|(variable, _)| *variable);
            Constraint { terms, ..row.clone() }
        };
        Problem {
            variables: variables.iter().map(|old| self.variables[*old]).collect(),
            rows: rows.iter().map(|old| row(&self.rows[*old])).collect(),
        }
    }

    /// Refuses what solvers accept silently or answer with nonsense.
    pub(super) fn validate(&self) -> Result<(), String> {
        for (index, variable) in self.variables.iter().enumerate() {
            let Variable { cost, lower, upper, integer } = *variable;
            if !cost.is_finite() {
                return Err(format!("variable {index} has cost {cost}"));
            }
            if lower.is_nan()
                || upper.is_nan()
                || lower == f64::INFINITY
                || upper == f64::NEG_INFINITY
            {
                return Err(format!("variable {index} has bounds {lower} and {upper}"));
            }
            let whole = f64::from(i32::MIN)..=f64::from(i32::MAX);
            if integer && !(whole.contains(&lower) && whole.contains(&upper)) {
                return Err(format!("integer variable {index} has bounds {lower} and {upper}"));
            }
        }
        let mut last_row = vec![usize::MAX; self.variables.len()];
        for (index, row) in self.rows.iter().enumerate() {
            if !row.limit.is_finite() {
                return Err(format!("row {index} has limit {}", row.limit));
            }
            for &(variable, coefficient) in &row.terms {
                if !coefficient.is_finite() {
                    return Err(format!("row {index} has coefficient {coefficient}"));
                }
                let Some(last) = last_row.get_mut(variable) else {
                    return Err(format!(
                        "row {index} names variable {variable}, which is not there"
                    ));
                };
                if std::mem::replace(last, index) == index {
                    return Err(format!("row {index} names variable {variable} twice"));
                }
            }
        }
        Ok(())
    }

    /// Whether a variable's bounds or a row without terms rule every point out.
    pub(super) fn is_trivially_infeasible(&self) -> bool {
        self.variables
            .iter()
            .any(|v| v.lower > v.upper || (v.integer && v.lower.ceil() > v.upper.floor()))
            || self.rows.iter().any(|row| {
                row.terms.is_empty()
                    && match row.sense {
                        Sense::AtMost => 0.0 > row.limit,
                        Sense::AtLeast => 0.0 < row.limit,
                        Sense::Equal => row.limit != 0.0,
                    }
            })
    }
}
