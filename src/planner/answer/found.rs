//! The plans that a search found, with everything decided.

use crate::lower::Mapping;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::planner::search::Found;
use crate::planner::search::solver::Solution;

impl Choice {
    /// The plan that a search found.
    pub fn of_solution(job: &Job, solution: &Solution) -> Choice {
        let candidate = solution.candidate;
        let choices =
            job.choices(candidate.tensor, candidate.micro_batch, candidate.sequence_parallel);
        let first = solution.columns.first();
        let last = solution.columns.last();
        let heads = &choices.head[usize::from(candidate.pipeline == 1)];
        let embedding = choices.embedding[first.and_then(|c| c.embedding).unwrap_or(0)].clone();
        let layer = choices.layer[solution.layer].clone();
        let head = heads[last.and_then(|c| c.head).unwrap_or(0)].clone();
        let mapping = Mapping {
            candidate,
            strategies: [&embedding, &layer, &head].map(|option| option.strategies.clone()),
            stages: solution.columns.iter().map(|column| column.recompute).collect(),
            short_ends: false,
        };
        Choice { mapping, embedding, layer, head }
    }

    /// The plans of a search, best first.
    pub fn of_found(job: &Job, found: &Found) -> Vec<Choice> {
        found.best.iter().map(|solution| Choice::of_solution(job, solution)).collect()
    }
}
