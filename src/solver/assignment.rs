//! One choice for each node of a graph, at least cost, where neighbours' choices cost together and
//! resources are limited: sharding strategies, and the problems of the IOPDDL contest.
//!
//! ```text
//! min  Σ_i Σ_k c[i,k] s[i,k] + Σ_(i,j) Σ_k,l r[k,l] e[k,l]        s binary, 0 ≤ e ≤ 1 continuous
//!      Σ_k s[i,k] = 1                     every node i
//!      Σ_l e[k,l] = s[i,k]                every edge (i,j), every k
//!      Σ_k e[k,l] = s[j,l]                every edge (i,j), every l but one, which follows
//!      Σ u[i,k] s[i,k] + Σ w[k,l] e[k,l] ≤ U      every resource
//! ```
//!
//! These rows describe the local polytope; with s binary e is integral by itself. Edges that cost
//! the same whatever is chosen have no variables; choices and pairs that are not allowed have none
//! either, rather than a high cost, which would drown the others in the solver's tolerances.
//! Alpa's product form (Zheng et al. 2022, §4.2) has the same integer points and a weaker
//! relaxation. Whole numbers come in and go out: what the solver chose is priced again exactly.

use super::backend::{Backend, SolverLimits};
use super::error::SolveError;
use super::problem::{Problem, Sense, Variable};
use super::solution::Status;
use super::solve::solve;

/// Amounts are multiples of this, in units of the largest: smaller ones make bases that no simplex
/// method can factor.
const FINEST: f64 = 1e-8;

/// Choices within a solver's tolerance, but over a limit, that are ruled out one by one.
const MAX_CUTS: usize = 100;

/// The cost of two neighbours' choices together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentEdge {
    /// One node.
    pub from: usize,
    /// The other; not the same.
    pub to: usize,
    /// By choice of `from`, then of `to`; `None` where the pair is not allowed.
    pub costs: Vec<Vec<Option<u64>>>,
}

/// Something that choices use up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// Nodes that use it, each with its usage by choice.
    pub nodes: Vec<(usize, Vec<u64>)>,
    /// Edges that use it (by index), each with its usage by choices of both ends.
    pub edges: Vec<(usize, Vec<Vec<u64>>)>,
    /// How much there is.
    pub limit: u64,
}

/// The problem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssignmentIlp {
    /// Cost of each choice of each node; `None` where the choice is not allowed.
    pub costs: Vec<Vec<Option<u64>>>,
    /// Pairs of nodes that cost together.
    pub edges: Vec<AssignmentEdge>,
    /// Limited resources.
    pub resources: Vec<Resource>,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentSolution {
    /// How it stands to the problem.
    pub status: Status,
    /// Choice of each node, where one was found.
    pub choice: Option<Vec<usize>>,
    /// Its cost, exact.
    pub cost: Option<u64>,
    /// No assignment costs less, as far as the solver has proven.
    pub bound: f64,
    /// Variables of the program.
    pub variables: usize,
    /// Its rows.
    pub rows: usize,
}

/// Variables of a node or edge within the problem.
struct Columns {
    /// `None` for choices that are not allowed.
    nodes: Vec<Vec<Option<usize>>>,
    /// Empty where the edge has no variables; `None` for pairs that are not allowed.
    edges: Vec<Vec<Vec<Option<usize>>>>,
    /// Cost of one unit of the objective.
    unit: f64,
    /// What constant edges cost.
    constant: u64,
}

impl AssignmentIlp {
    /// Solves the problem.
    ///
    /// # Errors
    /// Indices or sizes that do not fit, and the errors of [`solve`]. A choice that uses up more
    /// than there is, counted exactly, is ruled out and the problem solved again.
    pub fn solve(
        &self,
        backend: Backend,
        limits: &SolverLimits,
    ) -> Result<AssignmentSolution, SolveError> {
        self.validate()?;
        let (mut problem, columns) = self.problem();
        let (variables, rows) = (problem.variables.len(), problem.rows.len());
        let answer = |status, choice, cost, bound| AssignmentSolution {
            status,
            choice,
            cost,
            bound,
            variables,
            rows,
        };
        for _ in 0..=MAX_CUTS {
            let solution = solve(&problem, backend, limits)?;
            let bound = solution.bound * columns.unit + columns.constant as f64;
            let status = solution.status;
            if solution.values.is_empty() && !self.costs.is_empty() {
                return Ok(answer(status, None, None, bound));
            }
            let is_chosen = |s: &Option<usize>| s.is_some_and(|s| solution.values[s] == 1.0);
            let chosen = |node: &Vec<Option<usize>>| node.iter().position(is_chosen);
            let choice: Vec<usize> =
                columns.nodes.iter().map(|node| chosen(node).unwrap_or(0)).collect();
            let Some(cost) = self.cost(&choice) else {
                let what = "choices that are not allowed".to_owned();
                return Err(SolveError::Wrong { solver: backend.name(), what });
            };
            let over = self.resources.iter().find(|r| self.usage(r, &choice) > r.limit);
            let Some(resource) = over else {
                return Ok(answer(status, Some(choice), Some(cost), bound.min(cost as f64)));
            };
            // Over the limit by less than the solver's tolerance: this combination is forbidden.
            let nodes = self.users(resource);
            let limit = nodes.len() as f64 - 1.0;
            let terms =
                nodes.iter().filter_map(|&node| Some((columns.nodes[node][choice[node]]?, 1.0)));
            problem.require(terms.collect(), Sense::AtMost, limit);
        }
        let what = "resources beyond their limits, again and again".to_owned();
        Err(SolveError::Wrong { solver: backend.name(), what })
    }

    /// The nodes whose choices decide what is used of a resource.
    fn users(&self, resource: &Resource) -> Vec<usize> {
        let ends = resource.edges.iter().flat_map(|(edge, _)| {
            let AssignmentEdge { from, to, .. } = self.edges[*edge];
            [from, to]
        });
        let mut users: Vec<usize> =
            resource.nodes.iter().map(|(node, _)| *node).chain(ends).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// The cost of a choice; nothing if a part or a pair of it is not allowed.
    pub fn cost(&self, choice: &[usize]) -> Option<u64> {
        let nodes: Option<u64> = self.costs.iter().zip(choice).map(|(costs, &k)| costs[k]).sum();
        let nodes = nodes?;
        self.edges.iter().try_fold(nodes, |sum, edge| {
            Some(sum + edge.costs[choice[edge.from]][choice[edge.to]]?)
        })
    }

    /// What a choice uses of a resource.
    pub fn usage(&self, resource: &Resource, choice: &[usize]) -> u64 {
        let nodes: u64 = resource.nodes.iter().map(|(node, usage)| usage[choice[*node]]).sum();
        let on_edge = |(edge, usage): &(usize, Vec<Vec<u64>>)| {
            let AssignmentEdge { from, to, .. } = self.edges[*edge];
            usage[choice[from]][choice[to]]
        };
        nodes + resource.edges.iter().map(on_edge).sum::<u64>()
    }

    /// The linear program, for those who want to look at it or solve it elsewhere.
    pub fn linear_program(&self) -> Result<Problem, SolveError> {
        self.validate()?;
        Ok(self.problem().0)
    }

    fn validate(&self) -> Result<(), SolveError> {
        let malformed = |what: String| Err(SolveError::Malformed(what));
        let sizes: Vec<usize> = self.costs.iter().map(Vec::len).collect();
        if let Some(empty) = sizes.iter().position(|&size| size == 0) {
            return malformed(format!("node {empty} has no choices"));
        }
        for (index, edge) in self.edges.iter().enumerate() {
            let (Some(&rows), Some(&columns)) = (sizes.get(edge.from), sizes.get(edge.to)) else {
                return malformed(format!("edge {index} ends at a node that is not there"));
            };
            let fits = edge.costs.len() == rows && edge.costs.iter().all(|r| r.len() == columns);
            if !fits || edge.from == edge.to {
                return malformed(format!("edge {index} does not fit its nodes"));
            }
        }
        for (index, resource) in self.resources.iter().enumerate() {
            let nodes = resource.nodes.iter().all(|(n, usage)| sizes.get(*n) == Some(&usage.len()));
            let edges = resource.edges.iter().all(|(edge, usage)| {
                self.edges.get(*edge).is_some_and(|edge| {
                    usage.len() == edge.costs.len()
                        && usage.iter().zip(&edge.costs).all(|(u, c)| u.len() == c.len())
                })
            });
            if !nodes || !edges {
                return malformed(format!("resource {index} does not fit what uses it"));
            }
        }
        Ok(())
    }

    fn problem(&self) -> (Problem, Columns) {
        let mut problem = Problem::default();
        let mut columns = Columns {
            nodes: Vec::with_capacity(self.costs.len()),
            edges: Vec::with_capacity(self.edges.len()),
            unit: self.unit(),
            constant: 0,
        };
        for costs in &self.costs {
            let node: Vec<Option<usize>> = costs
                .iter()
                .map(|cost| Some(problem.add(Variable::binary((*cost)? as f64 / columns.unit))))
                .collect();
            let allowed = node.iter().flatten();
            problem.require(allowed.map(|&s| (s, 1.0)).collect(), Sense::Equal, 1.0);
            columns.nodes.push(node);
        }
        let mut used = vec![false; self.edges.len()];
        for (edge, usage) in self.resources.iter().filter(|r| self.binds(r)).flat_map(|r| &r.edges)
        {
            used[*edge] |= usage.iter().flatten().any(|&amount| amount > 0);
        }
        for (edge, used) in self.edges.iter().zip(used) {
            self.add_edge(edge, used, &mut problem, &mut columns);
        }
        for resource in self.resources.iter().filter(|r| self.binds(r)) {
            add_resource(resource, &mut problem, &columns);
        }
        (problem, columns)
    }

    /// The median of the costs that are not zero, so that tolerances mean something: the largest
    /// may be far above anything that a solution takes.
    fn unit(&self) -> f64 {
        let nodes = self.costs.iter().flatten().flatten();
        let edges = self.edges.iter().flat_map(|edge| edge.costs.iter().flatten().flatten());
        let mut costs: Vec<u64> = nodes.chain(edges).copied().filter(|&cost| cost > 0).collect();
        let middle = costs.len() / 2;
        if costs.is_empty() { 1.0 } else { *costs.select_nth_unstable(middle).1 as f64 }
    }

    /// Whether choices exist that use more of a resource than there is.
    fn binds(&self, resource: &Resource) -> bool {
        let largest = |usage: &[u64]| usage.iter().copied().max().unwrap_or(0);
        let nodes = resource.nodes.iter().map(|(_, usage)| largest(usage));
        let edges = resource
            .edges
            .iter()
            .map(|(_, usage)| usage.iter().map(|row| largest(row)).max().unwrap_or(0));
        nodes.chain(edges).fold(0, u64::saturating_add) > resource.limit
    }

    fn add_edge(
        &self,
        edge: &AssignmentEdge,
        used: bool,
        problem: &mut Problem,
        columns: &mut Columns,
    ) {
        let (from, to) = (&columns.nodes[edge.from], &columns.nodes[edge.to]);
        // A pair is allowed where both of its choices are.
        let allowed = |k: usize, l: usize| from[k].and(to[l]).and(edge.costs[k][l]);
        let pairs = (0..from.len()).flat_map(|k| (0..to.len()).map(move |l| (k, l)));
        let mut possible = pairs.filter(|&(k, l)| from[k].is_some() && to[l].is_some());
        let first = possible.next().and_then(|(k, l)| edge.costs[k][l]);
        if !used && first.is_some() && possible.all(|(k, l)| edge.costs[k][l] == first) {
            columns.constant += first.unwrap_or(0);
            columns.edges.push(Vec::new());
            return;
        }
        let unit = columns.unit;
        let mut variable = |cost: u64| {
            let (lower, upper, integer) = (0.0, 1.0, false);
            problem.add(Variable { cost: cost as f64 / unit, lower, upper, integer })
        };
        let table: Vec<Vec<Option<usize>>> = (0..from.len())
            .map(|k| (0..to.len()).map(|l| allowed(k, l).map(&mut variable)).collect())
            .collect();
        for (row, &s) in table.iter().zip(from) {
            let terms = row.iter().flatten().map(|&e| (e, 1.0));
            problem.require(terms.chain(s.map(|s| (s, -1.0))).collect(), Sense::Equal, 0.0);
        }
        // One of these rows follows from the others and those above.
        let implied = to.iter().position(Option::is_some);
        for (l, &s) in to.iter().enumerate().filter(|(l, _)| Some(*l) != implied) {
            let terms = table.iter().filter_map(|row| row[l]).map(|e| (e, 1.0));
            problem.require(terms.chain(s.map(|s| (s, -1.0))).collect(), Sense::Equal, 0.0);
        }
        columns.edges.push(table);
    }
}

/// The row of a resource, less what each node uses at least, in units of what is left.
fn add_resource(resource: &Resource, problem: &mut Problem, columns: &Columns) {
    let mut least_of_all = 0u64;
    let mut terms = Vec::new();
    for (node, usage) in &resource.nodes {
        let least = usage.iter().copied().min().unwrap_or(0);
        least_of_all = least_of_all.saturating_add(least);
        for (&s, &amount) in columns.nodes[*node].iter().zip(usage) {
            if let Some(s) = s {
                terms.push((s, (amount - least) as f64));
            }
        }
    }
    for (edge, usage) in &resource.edges {
        for (row, amounts) in columns.edges[*edge].iter().zip(usage) {
            for (column, &amount) in row.iter().zip(amounts) {
                if let Some(e) = column {
                    terms.push((*e, amount as f64));
                }
            }
        }
    }
    terms.retain(|(_, amount)| *amount > 0.0);
    terms.sort_by_key(|(variable, _)| *variable);
    terms.dedup_by(|later, earlier| {
        let twice = later.0 == earlier.0;
        if twice {
            earlier.1 += later.1;
        }
        twice
    });
    if least_of_all > resource.limit {
        // Nothing fits; said without numbers that overflow.
        problem.require(Vec::new(), Sense::AtLeast, 1.0);
        return;
    }
    let left = (resource.limit - least_of_all) as f64;
    // What alone is too much is not chosen.
    for (variable, _) in terms.iter().filter(|(_, amount)| *amount > left) {
        problem.variables[*variable].upper = 0.0;
    }
    terms.retain(|(_, amount)| *amount <= left);
    let scale = terms.iter().map(|(_, amount)| *amount).fold(1.0, f64::max);
    let most: f64 = terms.iter().map(|(_, amount)| *amount).sum();
    if most <= left {
        return;
    }
    // Rounded down, so that nothing is shut out: what is chosen is counted again in whole numbers.
    for (_, amount) in &mut terms {
        *amount = (*amount / scale / FINEST).floor() * FINEST;
    }
    terms.retain(|(_, amount)| *amount > 0.0);
    // Amounts are whole numbers: half of one more lets in nothing, and rounding shuts out nothing.
    problem.require(terms, Sense::AtMost, (left + 0.5) / scale);
}
