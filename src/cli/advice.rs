//! What there is in place of what was asked: larger clusters, stacks with a schedule, dense models.

use super::Failure;
use super::names::{shell_word, word};
use crate::capacity::sizeless;
use crate::graph::GraphError;
use crate::lower::WorkloadError;
use crate::planner::infeasible::fits_evenly;
use crate::planner::job::{Job, JobError};
use crate::planner::space::Pins;
use crate::spec::catalog::names_from;
use crate::spec::{
    self, Cluster, ClusterSpec, Finding, Kind, ModelSpec, ScheduleKind, StackSpec, load_cluster,
    load_model, load_stack,
};
use crate::units::Bytes;
use std::path::Path;

/// Most devices of a range that is proposed.
const MOST_DEVICES: u64 = 65_536;

/// How much more devices are proposed than would do if speed grew with their number.
const MARGIN: f64 = 1.5;

/// Clusters of the nodes that `cluster` has, by devices, with their names.
fn like(cluster: &ClusterSpec) -> Vec<(u64, String)> {
    let [own] = cluster.nodes.as_slice() else { return Vec::new() };
    let folder = Path::new(".");
    let names = names_from(Kind::Cluster, folder).into_iter();
    let mut found: Vec<(u64, String)> = names
        .filter_map(|name| {
            let (spec, _) = load_cluster(&name, folder).ok()?;
            let [group] = spec.nodes.as_slice() else { return None };
            let same = group.device == own.device && group.devices_per_node == own.devices_per_node;
            same.then(|| (group.num_devices(), name))
        })
        .collect();
    found.sort();
    found
}

/// All clusters that a name stands for, with their names.
fn clusters() -> impl Iterator<Item = (Cluster, String)> {
    let folder = Path::new(".");
    let names = names_from(Kind::Cluster, folder).into_iter();
    names.filter_map(move |name| Some((Cluster::load(&name, folder).ok()?.0, name)))
}

/// The cluster of that name, or of that name up to its size (`a100` of `a100x8`): the one nearest to
/// `devices`.
pub fn called(name: &str, devices: u64) -> Option<String> {
    let is_called = |(cluster, known): &(Cluster, String)| {
        let kind = sizeless(known, cluster.num_devices());
        known == name || kind.strip_suffix('x') == Some(name)
    };
    let nearest = |(cluster, known): &(Cluster, String)| {
        let own = cluster.num_devices();
        (known != name, own.abs_diff(devices), own)
    };
    clusters().filter(is_called).min_by_key(nearest).map(|(_, known)| known)
}

/// Clusters of as many devices as the job's with so much memory on each that a plan of `pins` fits, at
/// most three, those of the least memory first. `need`: what the plan that comes closest needs on a
/// device.
pub fn roomier(job: &Job, pins: &Pins, need: Bytes) -> Option<String> {
    let mut found: Vec<(Bytes, String)> = clusters()
        .filter_map(|(cluster, name)| {
            let memory = cluster.groups.iter().map(|group| group.device.memory).min()?;
            let enough = memory >= need && cluster.num_devices() == job.machine.devices;
            if !enough || !spec::job_findings(&job.workload.model, &cluster).is_empty() {
                return None;
            }
            let other =
                Job::new(job.workload.model.clone(), cluster, job.workload.stack.clone()).ok()?;
            fits_evenly(&other, &other.space(pins.clone())).then_some((memory, name))
        })
        .collect();
    found.sort();
    let names: Vec<String> =
        found.iter().take(3).map(|(_, name)| format!("`--cluster {name}`")).collect();
    (!names.is_empty())
        .then(|| format!("{}: devices with more memory, on which a plan fits", names.join(" or ")))
}

/// [`job_findings`](spec::job_findings), with clusters that have the peak which devices lack.
pub fn job_findings(model: &ModelSpec, cluster: &Cluster) -> Vec<Finding> {
    let mut findings = spec::job_findings(model, cluster);
    let places = if findings.is_empty() { Vec::new() } else { with_peak(model, cluster) };
    for help in findings.iter_mut().filter_map(|finding| finding.help.as_mut()) {
        if !places.is_empty() {
            let (precision, places) = (model.training.precision.name(), places.join(" or "));
            help.push_str(&format!("; `{precision}` is there with {places}, among others"));
        }
    }
    findings
}

/// Clusters of about as many devices whose devices have a peak for a model's precision, three at most,
/// those with the least first.
fn with_peak(model: &ModelSpec, cluster: &Cluster) -> Vec<String> {
    let devices = cluster.num_devices();
    let mut found: Vec<(u64, f64, String)> = clusters()
        .filter_map(|(other, name)| {
            let [group] = other.groups.as_slice() else { return None };
            let peak = group.device.peak.get(&model.training.precision)?.get();
            Some((other.num_devices().abs_diff(devices), peak, format!("`--cluster {name}`")))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then_with(|| a.2.cmp(&b.2)));
    found.into_iter().take(3).map(|(.., name)| name).collect()
}

/// The smallest cluster of the nodes that `cluster` has with so many devices.
pub fn of_size(cluster: &ClusterSpec, devices: u64) -> Option<String> {
    like(cluster).into_iter().find(|(size, _)| *size >= devices).map(|(_, name)| name)
}

/// The smallest cluster of several of the nodes that `cluster` has one of.
pub fn several_nodes(cluster: &ClusterSpec) -> Option<String> {
    let per_node = cluster.nodes.first().map_or(1, |group| group.devices_per_node);
    of_size(cluster, 2 * per_node)
}

/// `--cluster NAME --devices A..B`: numbers of devices to review where `factor` times the `devices`
/// of `cluster` would do if speed grew with their number. `given` is the cluster's name.
pub fn more_devices(
    cluster: &ClusterSpec,
    given: &str,
    devices: u64,
    factor: f64,
) -> Option<String> {
    let [group] = cluster.nodes.as_slice() else { return None };
    let name = match cluster.network {
        Some(_) => given.to_owned(),
        None => several_nodes(cluster)?,
    };
    let enough = devices as f64 * factor * MARGIN;
    if enough > MOST_DEVICES as f64 {
        return None;
    }
    let per_node = group.devices_per_node.max(1);
    let whole = |devices: u64| match devices < per_node {
        true => devices,
        false => devices.next_multiple_of(per_node),
    };
    let high = whole((enough.ceil() as u64).max(2 * devices).next_power_of_two());
    Some(format!("--cluster {} --devices {}..{high}", shell_word(&name), whole(devices)))
}

/// Stacks that have all of `schedules`, those first that have what the job's has besides: help, where
/// the job's lacks one. Says so where no plan of `pins` fits.
pub fn stacks_with(schedules: &[ScheduleKind], job: &Job, pins: &Pins) -> Option<String> {
    let stack = &job.workload.stack;
    let has = |stack: &StackSpec, kinds: &[ScheduleKind]| {
        kinds.iter().all(|kind| stack.schedules.contains(kind))
    };
    if has(stack, schedules) {
        return None;
    }
    let folder = Path::new(".");
    let names = names_from(Kind::Stack, folder).into_iter();
    let mut found: Vec<(bool, String, StackSpec)> = names
        .filter_map(|name| {
            let (other, _) = load_stack(&name, folder).ok()?;
            has(&other, schedules).then(|| (!has(&other, &stack.schedules), name, other))
        })
        .collect();
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let all = found.len();
    found.truncate(3);
    let kinds: Vec<String> = schedules.iter().map(|kind| format!("`{}`", word(kind))).collect();
    let kinds = kinds.join(" and ");
    let named = |name: &String| format!("`--stack {name}`");
    let fitting: Vec<String> = found
        .iter()
        .filter(|(_, _, stack)| fits_under(stack, job, pins))
        .map(|(_, name, _)| named(name))
        .collect();
    if !fitting.is_empty() {
        let of = if all > fitting.len() {
            format!(", where a plan fits; {all} stacks have it")
        } else {
            String::new()
        };
        return Some(format!("{kinds} with {}{of}", fitting.join(" or ")));
    }
    let tried: Vec<String> = found.iter().map(|(_, name, _)| format!("`{name}`")).collect();
    (!tried.is_empty()).then(|| {
        let of = if all > tried.len() { format!(", tried of {all} that have it") } else { String::new() };
        format!(
            "{kinds} with another stack; on {}{of}, no plan with evenly spread layers fits the memory: \
             more devices or a smaller `--global-batch` need less",
            tried.join(", ")
        )
    })
}

/// Whether any plan of a job with evenly spread layers fits under another stack.
fn fits_under(stack: &StackSpec, job: &Job, pins: &Pins) -> bool {
    let cluster = Cluster::resolve(job.machine.cluster.clone(), Path::new("."));
    let job =
        cluster.ok().and_then(|c| Job::new(job.workload.model.clone(), c, stack.clone()).ok());
    job.is_some_and(|job| fits_evenly(&job, &job.space(pins.clone())))
}

/// Why a job can not be put together, with what could be planned in its place.
pub fn no_job(error: &JobError, model: &ModelSpec) -> Failure {
    let mut text = error.to_string();
    if let JobError::Workload(WorkloadError::Graph(GraphError::MixtureOfExperts { .. })) = error {
        let names = dense_like(model);
        if !names.is_empty() {
            text.push_str(&format!(
                "\nhelp: dense models of such a width and depth, with fewer parameters, are `{}` and \
                 others",
                names.join("`, `")
            ));
        }
        text.push_str("\nhelp: `lmplan list models` names all, with their families");
    }
    Failure::Usage(text)
}

/// Dense models that are nearest in width and depth: what one of `model`'s layers would be with a
/// single expert.
fn dense_like(model: &ModelSpec) -> Vec<String> {
    let folder = Path::new(".");
    let ratio = |a: u64, b: u64| (a.max(1) as f64 / b.max(1) as f64).ln().abs();
    let mut found: Vec<(f64, String)> = names_from(Kind::Model, folder)
        .into_iter()
        .filter_map(|name| {
            let (other, _) = load_model(&name, folder).ok()?;
            let far = ratio(other.hidden_size, model.hidden_size)
                + ratio(other.num_layers, model.num_layers)
                + ratio(other.ffn(), model.ffn()) / 10.0;
            (other.moe.is_none() && far < 0.5).then_some((far, name))
        })
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// What to do where the time limit has left nothing.
pub fn out_of_time(limit: Option<crate::units::Seconds>, what: &str) -> Failure {
    let limit = limit.map_or(String::new(), |limit| format!(" of {limit}"));
    Failure::Limit(format!(
        "the time limit{limit} was reached before {what}\n\
         help: leave out `--time-limit`, or give more, such as `--time-limit 60s`; fixed parts of the \
         plan, such as `--tp 8`, leave less to search"
    ))
}
