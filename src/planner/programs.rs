//! The plan found, as integer programs.
//!
//! A search proves its plan by its own means: variable elimination for the shardings of a block,
//! branch and bound for the stages. Here what it found is stated again, as programs of
//! [`crate::solver`], and solved: the sharding of each block of least time within what the plan's
//! own keeps and holds (an ε-constraint), and the columns of all stages under all paths known. A
//! solver that proves something else is an error; one that fails or runs out of time is said so.

use crate::graph::BlockKind;
use crate::lower::Candidate;
use crate::lower::mapping::BLOCKS;
use crate::planner::block::{BlockIlp, BlockOption, Caps, block_options};
use crate::planner::engine::Engine;
use crate::planner::job::Job;
use crate::planner::job::costs::Costs;
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::outcome::{Program, ProgramStatus};
use crate::planner::predict::choice::Choice;
use crate::planner::search::solver::{Solution, Solver};
use crate::planner::search::{Found, Verdict};
use crate::planner::space::Space;
use crate::sharding::Layout;
use crate::solver::{Backend, SolveError, SolverLimits, Status};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use thiserror::Error;

/// The longest that the program of one block may take.
const BLOCK_LIMITS: SolverLimits = SolverLimits { time: Some(Duration::from_secs(5)), nodes: None };

/// One part of this many is the solvers' tolerance: they work in floating point, to about 10⁻⁹ of
/// their numbers.
const TOLERANCE: u64 = 1_000_000_000;

/// A solver that proves something else than the search, or fails where its answer was needed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// Two optima of one program.
    #[error(
        "search and {solver} disagree on the program `{program}` of {candidate}: the least time is \
         {search} ps by the search, {found} by the solver"
    )]
    Optimum {
        /// The program.
        program: String,
        /// The candidate.
        candidate: String,
        /// The solver.
        solver: String,
        /// Picoseconds that the search found.
        search: u64,
        /// What the solver found.
        found: String,
    },
    /// The solver failed.
    #[error("the search was to rest on its solver, which failed: {0}")]
    Failed(#[from] SolveError),
}

/// The programs of a plan that was found, solved; `choice` is the plan with its shardings.
///
/// # Errors
/// A solver that proves another optimum.
pub fn of_plan(
    job: &Job,
    space: &Space,
    solution: &Solution,
    choice: &Choice,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Program>, Disagreement> {
    let mut programs = Vec::new();
    for (block, option) in BLOCKS.into_iter().zip([&choice.embedding, &choice.layer, &choice.head])
    {
        let limits = |_: &[BlockOption]| vec![Caps::of(option)];
        programs.extend(of_block(job, &solution.candidate, block, limits, stop)?);
    }
    programs.push(of_stages(job, space, solution, stop)?);
    Ok(programs)
}

/// Under [`Engine::Ilp`]: whether the shardings that the solved candidates chose from are those that
/// the blocks' programs give, at the limits of every one of them. Counts the programs.
///
/// # Errors
/// A solver that proves another optimum, or fails.
pub fn of_blocks(
    job: &Job,
    found: &Found,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<u64, Disagreement> {
    let mut solved: BTreeSet<(u64, u64, bool)> = BTreeSet::new();
    let mut candidates = Vec::new();
    for (_, verdict) in &found.verdicts {
        if let Verdict::Solved(c, ..) = verdict
            && solved.insert((c.tensor, c.micro_batch, c.sequence_parallel))
        {
            candidates.push(*c);
        }
    }
    let of_candidate = |c: &Candidate| -> Result<u64, Disagreement> {
        let mut count = 0;
        for block in BLOCKS {
            let all = |options: &[BlockOption]| {
                options.iter().map(Caps::of).collect::<BTreeSet<Caps>>().into_iter().collect()
            };
            for program in of_block(job, c, block, all, stop)? {
                if let Some(message) = program.failure {
                    let solver = Backend::best().name();
                    return Err(SolveError::Failed { solver, message }.into());
                }
                count += 1;
            }
        }
        Ok(count)
    };
    let counts: Result<Vec<u64>, Disagreement> = candidates.par_iter().map(of_candidate).collect();
    Ok(counts?.into_iter().sum())
}

/// The programs of one block of a candidate, solved, each under some limits on what it keeps and
/// holds; `limits` is told all that variable elimination has found.
fn of_block(
    job: &Job,
    candidate: &Candidate,
    (kind, name): (BlockKind, &str),
    limits: impl Fn(&[BlockOption]) -> Vec<Caps>,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Program>, Disagreement> {
    let Candidate { tensor, micro_batch, .. } = *candidate;
    let context = job.workload.shard_context(tensor, 1, micro_batch);
    let prices = job.block_prices(tensor, 1);
    let boundary = Layout::boundary(candidate.sequence_parallel);
    let (graph, block) = (&job.workload.graph, job.workload.block(kind));
    let options = block_options(graph, block, &context, boundary, &prices);
    let mut stated = BlockIlp::new(graph, block, &context, boundary, &prices);
    let mut programs = Vec::new();
    for limits in limits(&options) {
        if stop() {
            break;
        }
        let inside = options.iter().filter(|option| limits.allow(option));
        let search = inside.map(BlockOption::time_picos).min().unwrap_or(u64::MAX);
        let program = Program {
            saved_bytes_limit: Some(limits.saved),
            parameters_limit: Some(limits.parameters),
            ..Program::new(name, search)
        };
        let solved = match &mut stated {
            Ok(ilp) => ilp.solve(limits, Backend::best(), &BLOCK_LIMITS),
            Err(error) => Err(SolveError::Malformed(error.to_string())),
        };
        let program = match solved {
            Err(error) => program.failed(&error),
            Ok(solved) => Program {
                status: status(solved.status),
                variables: solved.variables as u64,
                rows: solved.rows as u64,
                objective_ps: solved.option.as_ref().map(BlockOption::time_picos),
                bound_ps: Some(solved.bound),
                ..program
            },
        };
        programs.push(program.agreed(candidate)?);
    }
    Ok(programs)
}

/// The master problem of a plan, solved over all columns that may be as fast.
fn of_stages(
    job: &Job,
    space: &Space,
    solution: &Solution,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Program, Disagreement> {
    let candidate = &solution.candidate;
    let program = Program::new("stages", solution.time.picos());
    let solver = Solver { space, costs: job, engine: Engine::Search, stop };
    let blocking = job.links(candidate).blocking;
    let master = PipelineShape::new(candidate.pipeline_shape(), blocking)
        .and_then(|shape| solver.master_of(solution, &shape));
    let Some(master) = master else {
        let what = SolveError::Malformed("the plan is not among its columns".to_owned());
        return program.failed(&what).agreed(candidate);
    };
    let program = match master.prove(solution.time.picos() + 1, Backend::best(), stop) {
        Err(error) => program.failed(&error),
        Ok(proof) => Program {
            status: if proof.proven { ProgramStatus::Optimal } else { ProgramStatus::Limit },
            variables: proof.variables as u64,
            rows: proof.rows as u64,
            objective_ps: proof.best.map(|(_, value)| value),
            bound_ps: Some(proof.bound),
            ..program
        },
    };
    program.agreed(candidate)
}

const fn status(status: Status) -> ProgramStatus {
    match status {
        Status::Limit => ProgramStatus::Limit,
        Status::Optimal | Status::Infeasible | Status::Unbounded => ProgramStatus::Optimal,
    }
}

impl Program {
    fn new(name: &str, search: u64) -> Program {
        Program {
            name: name.to_owned(),
            solver: Backend::best().name().to_owned(),
            status: ProgramStatus::Optimal,
            variables: 0,
            rows: 0,
            saved_bytes_limit: None,
            parameters_limit: None,
            objective_ps: None,
            bound_ps: None,
            search_ps: search,
            failure: None,
        }
    }

    fn failed(self, error: &SolveError) -> Program {
        Program { status: ProgramStatus::Failed, failure: Some(error.to_string()), ..self }
    }

    /// The program, unless the solver proves something else than the search: finds anything faster,
    /// or nothing as fast within its tolerance.
    fn agreed(self, candidate: &Candidate) -> Result<Program, Disagreement> {
        let most = self.search_ps.saturating_add(self.search_ps / TOLERANCE).saturating_add(1);
        let found = match (self.status, self.objective_ps) {
            (_, Some(found)) if found < self.search_ps => format!("{found} ps"),
            (ProgramStatus::Optimal, Some(found)) if found > most => format!("{found} ps"),
            (ProgramStatus::Optimal, None) => "nothing".to_owned(),
            _ => return Ok(self),
        };
        Err(Disagreement::Optimum {
            program: self.name,
            candidate: candidate.label(),
            solver: self.solver,
            search: self.search_ps,
            found,
        })
    }
}
