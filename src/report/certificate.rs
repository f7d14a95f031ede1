//! What the search proved, and what it did not.

use super::input::{Origin, ReportInput};
use super::number;
use crate::planner::{Engine, Program, ProgramStatus, SearchStatus, SearchSummary};

/// One word for the headline.
pub(super) fn word(input: &ReportInput<'_>) -> &'static str {
    match (input.origin, input.outcome.search.status) {
        (Origin::Given, _) => "given plan",
        (_, SearchStatus::Optimal) => "proven optimal",
        (_, SearchStatus::Limit) => "stopped by a limit",
        (_, SearchStatus::Interrupted) => "interrupted",
        (_, SearchStatus::Infeasible) => "infeasible",
    }
}

/// The certificate in sentences.
pub(super) fn sentences(input: &ReportInput<'_>) -> Vec<String> {
    if input.origin == Origin::Given {
        return vec![
            "This plan was given and predicted; no search was made and nothing is claimed about \
             other plans."
                .to_owned(),
        ];
    }
    let search = &input.outcome.search;
    let time = input.prediction().iteration_time_s;
    let mut list = vec![counts(search), bound(search, time), claim(search)];
    list.extend(input.certificate_summary.iter().cloned());
    list.extend(programs(search));
    list
}

fn counts(search: &SearchSummary) -> String {
    let how = match search.engine {
        Engine::Search => "by branch and bound".to_owned(),
        Engine::Ilp => format!("by integer programs, with {}", search.solver),
    };
    format!(
        "The space has {} candidates (every combination of degrees, micro-batch, schedule and \
         sharding that divides as model and batch demand): {} were solved for their best stages \
         and layers {how}, {} were excluded by a lower bound.",
        number::count(search.candidates),
        number::count(search.solved),
        number::count(search.pruned)
    )
}

/// The plan as integer programs: one sentence for those that are proven, one for each other.
fn programs(search: &SearchSummary) -> Vec<String> {
    let proven = |program: &&Program| program.status == ProgramStatus::Optimal;
    let size = |program: &Program| {
        let counted = |count: u64, what: &str| {
            format!("{} {what}{}", number::count(count), if count == 1 { "" } else { "s" })
        };
        let (variables, rows) = (program.variables, program.rows);
        format!("{} ({}, {})", program.name, counted(variables, "variable"), counted(rows, "row"))
    };
    let agreed: Vec<String> = search.programs.iter().filter(proven).map(size).collect();
    let mut list = Vec::new();
    if !agreed.is_empty() {
        list.push(format!(
            "The plan was stated as integer programs and solved again with {}: {}. Each has the \
             optimum that the search found.",
            search.solver,
            agreed.join(", ")
        ));
    }
    for program in search.programs.iter().filter(|program| !proven(program)) {
        let why = program.failure.as_deref().unwrap_or("it ran out of time");
        list.push(format!(
            "The integer program of its {} has no proof by {}: {why}.",
            size(program),
            program.solver
        ));
    }
    list
}

fn bound(search: &SearchSummary, time: f64) -> String {
    format!(
        "No plan of the space takes less than {}; this one takes {}, a gap of {}.",
        number::seconds(search.lower_bound_s),
        number::seconds(time),
        number::percent(search.gap)
    )
}

fn claim(search: &SearchSummary) -> String {
    match search.status {
        SearchStatus::Optimal => "Certified: under lmplan's cost model this is the best plan of \
             that space. Not certified: that the hardware keeps to the cost model; the interval \
             above says how far off it may be."
            .to_owned(),
        SearchStatus::Limit | SearchStatus::Interrupted => format!(
            "{} before the proof was complete: under the cost model a plan of the space may be up \
             to {} faster, and none can be faster than that.",
            if search.status == SearchStatus::Limit {
                "A limit stopped the search"
            } else {
                "The search was interrupted"
            },
            number::percent(search.gap)
        ),
        SearchStatus::Infeasible => {
            "No plan of the space fits; the one shown comes closest.".to_owned()
        }
    }
}
