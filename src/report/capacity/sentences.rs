//! Reasons, runner-up, what turns the choice, certificate and assumptions, in sentences computed
//! from the review.

use super::facts::{days, money, objective, place, span};
use crate::capacity::{Cell, Flip, Place, Review, SPARE_CONFIDENCE};
use crate::planner::SearchStatus;
use crate::report::number;
use crate::report::summary::degrees;
use crate::units::Bytes;

/// Why the recommended cell.
pub(super) fn reasons(review: &Review) -> Vec<String> {
    let Some((at, cell)) = review.recommended() else {
        return vec![
            "No cell keeps within the limits; the table of cells says by how much.".into(),
        ];
    };
    let p = &cell.prediction;
    let kept = review.cells().filter(|(_, cell)| review.limits.hold(cell)).count();
    let all = review.cells().count();
    let of = if kept == all {
        format!("the {all} cells that have a plan")
    } else {
        format!("the {kept} cells, of {all} with a plan, that keep the limits")
    };
    let mut list = vec![format!("{} is {} of {of}.", place(review, at), objective(review))];
    list.push(format!(
        "Its plan is {}: {} an iteration, MFU {}, {} of the useful throughput for each device that \
         the best size of {} has.",
        degrees(&cell.plan),
        number::seconds(p.iteration_time_s),
        number::percent(p.mfu),
        number::percent(review.efficiency(at).unwrap_or(0.0)),
        review.clusters[at.0].name
    ));
    list.extend(largest_loss(cell));
    list.extend(smaller_and_larger(review, at));
    if let Some(between) = cell.between_failures_s {
        list.push(format!(
            "A failure is expected every {}; {} of the time goes into checkpoints ({} each), {} into \
             restarts ({} each), {} is work done again.",
            span(between),
            number::percent(cell.checkpoint_share),
            span(cell.checkpoint_s),
            number::percent(cell.restart_share),
            span(cell.restart_s),
            number::percent(cell.lost_share)
        ));
    }
    list
}

fn largest_loss(cell: &Cell) -> Option<String> {
    let p = &cell.prediction;
    let (name, time) =
        p.breakdown.parts()[1..].iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let share = time / p.iteration_time_s;
    (share >= 0.005).then(|| {
        format!(
            "Beyond computation most of an iteration goes to {name}: {}.",
            number::percent(share)
        )
    })
}

/// What the neighbouring sizes of the same cluster would give.
fn smaller_and_larger(review: &Review, (c, s): Place) -> Vec<String> {
    let cluster = &review.clusters[c];
    let words = |at: usize, word: &str| {
        let cell = cluster.outcomes.get(at)?.cell()?;
        let here = cluster.outcomes.get(s)?.cell()?;
        let cost = match (cell.cost_usd, here.cost_usd) {
            (Some(cost), Some(own)) => {
                format!(", cost {}", number::signed_percent(cost / own - 1.0))
            }
            _ => String::new(),
        };
        Some(format!(
            "The next {word} size, {} devices: length of the run {}{cost}.",
            number::count(cluster.devices[at]),
            number::signed_percent(cell.days / here.days - 1.0),
        ))
    };
    let smaller = s.checked_sub(1).and_then(|at| words(at, "smaller"));
    [smaller, words(s + 1, "larger")].into_iter().flatten().collect()
}

/// The next best cells.
pub(super) fn runner_up(review: &Review) -> Vec<String> {
    let words = |(at, which): (Option<Place>, &str)| {
        let at = at?;
        let cell = review.cell(at)?;
        Some(format!(
            "Next best {which}: {}, {}, {} ({}).",
            place(review, at),
            days(cell),
            money(cell),
            degrees(&cell.plan)
        ))
    };
    let [same, other] = review.answers.runner_up;
    [(same, "of the same cluster"), (other, "of another cluster")]
        .into_iter()
        .filter_map(words)
        .collect()
}

/// What would turn the choice.
pub(super) fn flips(review: &Review) -> Vec<String> {
    let Some(((c, _), _)) = review.recommended() else { return Vec::new() };
    let own = &review.clusters[c].name;
    let then = |at: &Option<Place>| match at {
        Some(at) => format!("{} is recommended", place(review, *at)),
        None => "nothing in this review keeps the limits".to_owned(),
    };
    let words = |flip: &Flip| match flip {
        Flip::DearerThan(price, at) => format!(
            "Price: from {:.2} USD per device-hour of {own} on, {} is cheaper.",
            price.get(),
            place(review, *at)
        ),
        Flip::CheaperThan(price, at) => format!(
            "Price: under {:.2} USD per device-hour of {}, {} is cheaper.",
            price.get(),
            review.clusters[at.0].name,
            place(review, *at)
        ),
        Flip::SlowerThan(share, at) => format!(
            "Speed: where iterations take more than {} times what is predicted the deadline is missed; \
             with that known of all cells, {}.",
            number::rate(1.0 + *share),
            then(at)
        ),
        Flip::DeadlineUnder(deadline, at) => {
            format!("Deadline: under {} {}.", number::days(deadline.get() / 86_400.0), then(at))
        }
        Flip::DeadlineFrom(deadline, at) => format!(
            "Deadline: without one {}, which takes {}.",
            then(&Some(*at)),
            number::days(deadline.get() / 86_400.0)
        ),
        Flip::BudgetUnder(budget, at) => {
            format!("Budget: under {} {}.", number::dollars(budget.get()), then(at))
        }
    };
    review.flips.iter().map(words).collect()
}

/// How far the cells are proven.
pub(super) fn certificate(review: &Review) -> Vec<String> {
    let [all, infeasible, stopped] = review.counts();
    let cells = || review.cells().map(|(_, cell)| cell);
    let optimal = cells().filter(|cell| cell.status == SearchStatus::Optimal).count();
    let sum = |of: fn(&Cell) -> u64| number::count(cells().map(of).sum());
    let mut list = vec![format!(
        "{} cells: {optimal} with a plan proven optimal, {} with a gap left, {infeasible} where no plan \
         fits, {stopped} not finished.",
        number::count(all as u64),
        cells().count() - optimal
    )];
    list.push(format!(
        "Together {} candidates, of which {} were solved exactly and {} excluded by a bound.",
        sum(|cell| cell.candidates),
        sum(|cell| cell.solved),
        sum(|cell| cell.pruned)
    ));
    list.push(
        "Optimal means: no plan of the space is faster under lmplan's cost model. `lmplan search` on a \
         cell's cluster writes its certificate in full; `lmplan check` reads it."
            .to_owned(),
    );
    list
}

/// What the review takes for granted.
pub(super) fn assumptions(review: &Review) -> Vec<String> {
    let mut list = Vec::new();
    for cluster in &review.clusters {
        let terms = &cluster.terms;
        let price = terms.price.map_or("no price".to_owned(), |price| {
            format!("{:.2} USD per device-hour", price.get())
        });
        list.push(format!(
            "{}: {price}, at most {} a device with its share of the node, {} failures per device that \
             stop the job.",
            cluster.name, terms.power, terms.failures
        ));
        let recovery = &terms.recovery;
        list.push(format!(
            "{}: a node writes {} of a checkpoint{}, restarts take {} and the reading of the checkpoint, \
             failed nodes are back after {} ({}).",
            cluster.name,
            recovery.bandwidth_per_node,
            recovery.bandwidth.map_or(String::new(), |all| format!(" ({all} all together)")),
            span(recovery.restart_time.get()),
            span(recovery.repair_time.get()),
            recovery.source.trim_end_matches('.')
        ));
    }
    if let Some((_, cell)) = review.recommended() {
        let of = cell.prediction.trained_parameters.map_or("", |_| " of what is trained");
        list.push(format!(
            "A checkpoint holds parameters and optimizer states{of}, {}; nothing is computed while it is \
             written. Failures come at random, one by one; checkpoints at Daly's interval.",
            Bytes::new(cell.checkpoint_bytes)
        ));
        list.extend(
            cell.assumptions
                .iter()
                .filter(|text| !text.contains("no failures"))
                .map(|text| format!("Recommended plan: {text}")),
        );
    }
    list.push(format!(
        "Spare nodes suffice with {} probability; they are paid for, beyond those that the plan leaves \
         idle. All devices are paid for as long as the run takes; energy is that of devices at their \
         power limit, cooling left out.",
        number::percent(SPARE_CONFIDENCE)
    ));
    list.push(
        "All devices run at the same speed and never wait for data; data, evaluation and staff are not \
         in the cost."
            .to_owned(),
    );
    list
}
