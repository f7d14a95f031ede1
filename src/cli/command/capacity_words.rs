//! Why a review recommends nothing, and what would help.

use super::capacity_args::CapacityArgs;
use super::search::{rounded, rounded_up};
use crate::capacity::{Cell, Grid, GridCluster, Review};
use crate::cli::advice;
use crate::planner::infeasible::{closest, conflict, devices_needed, pin_remedy};
use crate::planner::job::Job;
use crate::planner::space::Space;
use crate::units::{Seconds, UsDollars};

/// What the fastest and the cheapest run take, where none keeps the limits.
pub(super) fn beyond_limits(args: &CapacityArgs, review: &Review, grid: &Grid) -> String {
    let days = |a: &Cell, b: &Cell| a.days.total_cmp(&b.days);
    let money = |cell: &Cell| cell.cost_usd.unwrap_or(f64::INFINITY);
    let Some(((c, s), fastest)) = review.cells().min_by(|a, b| days(a.1, b.1)) else {
        return "no plan fits".to_owned();
    };
    let place = |(c, s): (usize, usize)| grid.clusters[c].sized(review.clusters[c].devices[s]);
    let mut limits = Vec::new();
    let mut facts = Vec::new();
    let mut help = Vec::new();
    if let Some(deadline) = args.deadline {
        let run = length(fastest);
        limits.push(words(deadline));
        let times = times(run / deadline, "long");
        let iteration = Seconds::new(fastest.prediction.iteration_time_s);
        facts.push(format!(
            "the fastest, on {}, takes {run}{times}, {iteration} an iteration",
            place((c, s))
        ));
    }
    if let Some(budget) = args.budget {
        limits.push(budget.to_string());
        let cheapest = review.cells().min_by(|a, b| money(a.1).total_cmp(&money(b.1)));
        let known = cheapest.and_then(|(at, cell)| Some((at, cell.cost_usd?)));
        facts.push(match known {
            Some((at, cost)) => format!(
                "the cheapest, on {}, costs {}{}",
                place(at),
                UsDollars::new(cost),
                times(cost / budget.get(), "much")
            ),
            None => "no price is known, which `--price` gives".to_owned(),
        });
    }
    if let Some(wider) = wider(args, review) {
        help.push(wider);
    }
    help.extend(more(args, (review, grid), (c, s), fastest));
    let help: Vec<String> = help.iter().map(|text| format!("\nhelp: {text}")).collect();
    format!(
        "no plan on {} keeps within {}: {}{}",
        numbers(review.clusters.iter().flat_map(|cluster| &cluster.devices)),
        limits.join(" and "),
        facts.join("; "),
        help.concat()
    )
}

/// Length of a run.
fn length(cell: &Cell) -> Seconds {
    Seconds::new(cell.days * 86_400.0)
}

/// A duration as it was given, but for a binary fraction's digits: hours from one on.
fn words(duration: Seconds) -> String {
    let hours = rounded(duration.get() / 3600.0);
    if (1.0..48.0).contains(&hours) { format!("{hours} h") } else { duration.to_string() }
}

/// ` (442 times as long)`, where it is more.
fn times(factor: f64, what: &str) -> String {
    match factor {
        factor if factor >= 10.0 => format!(" ({factor:.0} times as {what})"),
        factor if factor > 1.0 => format!(" ({factor:.2} times as {what})"),
        _ => String::new(),
    }
}

/// The limits that a plan which was found keeps.
fn wider(args: &CapacityArgs, review: &Review) -> Option<String> {
    let deadline = |cell: &Cell| format!("--deadline {}", rounded_up(cell.days));
    let budget = |cost: f64| {
        if cost < 100.0 {
            format!("--budget {}", (cost * 100.0).ceil() / 100.0)
        } else {
            format!("--budget {}", cost.ceil())
        }
    };
    let cell = |answer: crate::capacity::BestCell| review.cell(answer.expected?);
    let words = match (args.deadline, args.budget) {
        (Some(_), None) => vec![deadline(cell(review.answers.fastest)?)],
        (None, Some(_)) => vec![budget(cell(review.answers.cheapest)?.cost_usd?)],
        _ => {
            let kept = cell(review.answers.fastest).map(deadline);
            let paid = cell(review.answers.cheapest).and_then(|cell| cell.cost_usd).map(budget);
            let all: Vec<String> = kept.into_iter().chain(paid).collect();
            if all.is_empty() {
                let priced = review.cells().filter_map(|(_, cell)| Some((cell, cell.cost_usd?)));
                let (cell, cost) = priced.min_by(|a, b| a.1.total_cmp(&b.1))?;
                vec![format!("{} {}", deadline(cell), budget(cost))]
            } else {
                all
            }
        }
    };
    Some(format!("`{}`", words.join("` or `")))
}

/// More devices, where the deadline asks for them, the fastest run is on the most there were, and
/// more of them were still much faster. None where even the cheapest run is beyond the budget: on more
/// devices none costs less.
fn more(
    args: &CapacityArgs,
    (review, grid): (&Review, &Grid),
    (c, s): (usize, usize),
    fastest: &Cell,
) -> Option<String> {
    let deadline = args.deadline?;
    let costs = review.cells().filter_map(|(_, cell)| cell.cost_usd).min_by(f64::total_cmp);
    if args.budget.zip(costs).is_some_and(|(budget, cost)| cost > budget.get()) {
        return None;
    }
    let factor = length(fastest) / deadline;
    let devices = &review.clusters[c].devices;
    if factor <= 1.0 {
        return None;
    }
    let fewer = (0..s).rev().find_map(|s| Some((devices[s], review.cell((c, s))?.days)));
    let gain = fewer.map_or(1.0, |(fewer, days)| {
        (days / fastest.days).ln() / (devices[s] as f64 / fewer as f64).ln()
    });
    if s + 1 < devices.len() || gain < 0.5 {
        return Some(
            "more devices are hardly faster: faster ones (`--cluster`), or less to train".into(),
        );
    }
    let cluster = &grid.clusters[c];
    let given = given(args, cluster);
    let range = advice::more_devices(&cluster.job.machine.cluster, given, devices[s], factor)?;
    let nodes =
        if cluster.job.machine.cluster.network.is_some() { "" } else { ", on several nodes" };
    let range = format!("`{range}` searches whether any number does");
    let digits = usize::from(factor < 10.0);
    Some(format!(
        "{factor:.digits$} times as many devices, if speed grew with their number{nodes}: {range}"
    ))
}

/// The cluster's name as it was given.
fn given<'a>(args: &'a CapacityArgs, cluster: &'a GridCluster) -> &'a str {
    let own = |name: &&String| crate::cli::names::stem(name) == cluster.given.0;
    args.cluster.iter().find(own).map_or(cluster.given.0.as_str(), String::as_str)
}

/// `8 devices`, or `8 to 64 devices`.
fn numbers<'a>(devices: impl Iterator<Item = &'a u64> + Clone) -> String {
    let (least, most) = (devices.clone().min().unwrap_or(&0), devices.max().unwrap_or(&0));
    if least == most { format!("{most} devices") } else { format!("{least} to {most} devices") }
}

/// Why no cell has a plan: what the fixed parts do not allow on the most devices, or memory.
pub(super) fn nowhere(args: &CapacityArgs, grid: &Grid) -> String {
    let largest = grid.clusters.iter().filter_map(|cluster| {
        Some((cluster, cluster.sizes.iter().max_by_key(|size| size.devices)?))
    });
    let Some((cluster, size)) = largest.max_by_key(|(_, size)| size.devices) else {
        return "there is no cluster".to_owned();
    };
    let job = cluster.job.resized(size.nodes.clone(), cluster.job.machine.device.memory);
    let space = job.space(size.pins.clone());
    let mut help = Vec::new();
    let devices = size.devices;
    let what = match conflict(&job, &space, &|| None) {
        Some(found) => {
            help = found.remedies;
            help.extend(advice::stacks_with(&args.pins.schedule, &job, &size.pins));
            format!("no plan fits: on {devices} devices {}", found.what)
        }
        None => {
            help.extend(pin_remedy(&job, &size.pins, &|| None));
            if help.is_empty() {
                help.extend(enough(args, cluster, &job, &space));
            }
            let sizes = grid.clusters.iter().flat_map(|cluster| &cluster.sizes);
            let sizes: Vec<u64> = sizes.map(|size| size.devices).collect();
            let clusters = match grid.clusters.as_slice() {
                [one] => format!(
                    "of {} on each `{}`,",
                    one.job.machine.device.memory, one.job.machine.device.name
                ),
                _ => "of the devices of any cluster,".to_owned(),
            };
            format!("no plan fits the memory {clusters} on {}", numbers(sizes.iter()))
        }
    };
    let help: Vec<String> = help.iter().map(|text| format!("\nhelp: {text}")).collect();
    format!("{what}{}", help.concat())
}

/// How many devices of a cluster's kind would do.
fn enough(args: &CapacityArgs, cluster: &GridCluster, job: &Job, space: &Space) -> Vec<String> {
    let need = closest(job, space).map(|closest| closest.memory.total());
    let roomier = need.and_then(|need| advice::roomier(job, &space.pins, need));
    let Some((devices, as_fixed)) = devices_needed(job, space, &|| None) else {
        return roomier.into_iter().collect();
    };
    let fits = if as_fixed { "a plan fits" } else { "a plan without the fixed parts fits" };
    let given = given(args, cluster);
    let help = match (&job.machine.cluster.network, advice::several_nodes(&job.machine.cluster)) {
        (Some(_), _) => format!("`--cluster {given} --devices {devices}`: on so many {fits}"),
        (None, Some(name)) => format!(
            "`--cluster {name} --devices {devices}`: on so many {fits}, and `{given}` is one node \
             without a network"
        ),
        (None, None) => format!(
            "a cluster of several nodes, with a `network`, and `--devices {devices}`: on so many {fits}"
        ),
    };
    [help].into_iter().chain(roomier).collect()
}
