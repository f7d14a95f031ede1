//! What the search proved, and what it did not.

use super::input::{Origin, ReportInput};
use super::number;
use crate::planner::{SearchStatus, SearchSummary};

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
    list
}

fn counts(search: &SearchSummary) -> String {
    format!(
        "The space has {} candidates (every combination of degrees, micro-batch, schedule and \
         sharding that divides as model and batch demand): {} were solved for their best stages \
         and layers with {}, {} were excluded by a lower bound.",
        number::count(search.candidates),
        number::count(search.solved),
        search.solver,
        number::count(search.pruned)
    )
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
