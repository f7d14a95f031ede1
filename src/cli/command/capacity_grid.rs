//! What `capacity` searches: every number of devices of every cluster.

use super::capacity_args::CapacityArgs;
use crate::capacity::{
    DeviceCounts, Grid, GridCluster, Objective, Size, SizeError, Terms, resize, sizeless,
};
use crate::cli::args::Verbosity;
use crate::cli::command::search::{NO_DEADLINE, SearchObjective};
use crate::cli::names::{plan_name, stem};
use crate::cli::{Failure, advice};
use crate::planner::job::Job;
use crate::spec::cluster::MAX_DEVICES;
use crate::spec::{self, Cluster, ClusterSpec, ModelSpec, Source};
use crate::units::{PerDay, UsDollars, Watts};
use std::io::Write;
use std::path::Path;

/// Texts of model, stack and clusters.
pub(super) struct Sources {
    /// The model's file.
    pub(super) model: Source,
    /// The stack's.
    pub(super) stack: Source,
    /// Names of the clusters, with their files and those of their devices.
    pub(super) clusters: Vec<(String, String)>,
}

/// Reads everything and lays out the cells.
pub(super) fn grid(args: &CapacityArgs, verbosity: &Verbosity) -> Result<(Grid, Sources), Failure> {
    let folder = Path::new(".");
    let (model, model_source) = args.model.load(folder)?;
    let (stack, stack_source) = spec::load_stack(&args.stack, folder)?;
    let Some(tokens) = args.dataset.tokens_or_own(&model)? else {
        return Err(Failure::Usage(
            "the model says nothing of its tokens: add `--tokens 300B`, or `--examples 52K --epochs 3`"
                .to_owned(),
        ));
    };
    if args.objective == SearchObjective::Devices && args.deadline.is_none() {
        return Err(Failure::Usage(NO_DEADLINE.to_owned()));
    }
    let mut grid = Grid {
        names: [plan_name(&args.model.model), plan_name(&args.stack)],
        clusters: Vec::new(),
    };
    let mut texts = Vec::new();
    let clusters = clusters(args, &model, &model_source)?;
    let own = clusters.first().map_or(1, |(_, cluster, _)| cluster.num_devices());
    let default = DeviceCounts::Range((own / 8).max(1), own.saturating_mul(8).min(MAX_DEVICES));
    for (name, cluster, source) in clusters {
        let devices = cluster.groups.iter().map(|group| {
            let text = spec::load_device(&group.device.name, folder).map(|(_, source)| source.text);
            text.map(|text| format!("# device {}\n{text}", group.device.name))
        });
        let devices: Result<Vec<String>, _> = devices.collect();
        texts.push((name.to_owned(), format!("{}{}", source.text, devices?.concat())));
        let counts = match &args.devices {
            Some(counts) => counts.clone(),
            None => possible(&default, name, &cluster.spec, verbosity)?,
        };
        let job = Job::new(model.clone(), cluster, stack.clone())
            .map_err(|error| advice::no_job(&error, &model))?;
        grid.clusters.push(grid_cluster(args, stem(name).to_owned(), job, tokens, &counts)?);
    }
    known_prices(args, &grid)?;
    Ok((grid, Sources { model: model_source, stack: stack_source, clusters: texts }))
}

/// Reads the clusters, none of them twice.
fn clusters<'a>(
    args: &'a CapacityArgs,
    model: &ModelSpec,
    model_source: &Source,
) -> Result<Vec<(&'a str, Cluster, Source)>, Failure> {
    let mut found: Vec<(&str, Cluster, Source)> = Vec::new();
    for name in &args.cluster {
        let (cluster, source) = Cluster::load(name, Path::new("."))?;
        let kind = |name: &str, cluster: &Cluster| sizeless(stem(name), cluster.num_devices());
        let own = kind(name, &cluster);
        if let Some((other, twin, _)) = found.iter().find(|(other, c, _)| kind(other, c) == own) {
            let sizes = [twin.num_devices(), cluster.num_devices()];
            return Err(Failure::Usage(if *other == name {
                let spec = &cluster.spec;
                let more = match (&spec.network, advice::several_nodes(spec)) {
                    (None, Some(several)) => {
                        let devices = 2 * cluster.num_devices();
                        format!("for two of them, `--cluster {several} --devices {devices}`")
                    }
                    _ => "`--devices` sets how many devices".to_owned(),
                };
                format!("`--cluster {name}` is given twice: give it once; {more}")
            } else if sizes[0] == sizes[1] {
                format!(
                    "`--cluster {other}` and `--cluster {name}` have the same name: give one, or \
                     call the file of the other otherwise"
                )
            } else {
                let larger = if sizes[0] > sizes[1] { *other } else { name.as_str() };
                let (low, high) = (sizes[0].min(sizes[1]), sizes[0].max(sizes[1]));
                format!(
                    "`--cluster {other}` and `--cluster {name}` are two sizes of one cluster: give \
                     one; `--devices` sets how many devices, as in `--cluster {larger} --devices \
                     {low}..{high}`"
                )
            }));
        }
        let findings = advice::job_findings(model, &cluster);
        if !findings.is_empty() {
            return Err(Failure::Spec(if args.model.precision.is_some() {
                spec::SpecError::unplaced(findings, "`--precision`")
            } else {
                spec::placed(findings, model_source)
            }));
        }
        found.push((name, cluster, source));
    }
    Ok(found)
}

/// Of the numbers that are searched unless flags say otherwise those that a cluster can have: one
/// without a network has one node. Says so.
fn possible(
    counts: &DeviceCounts,
    name: &str,
    cluster: &ClusterSpec,
    verbosity: &Verbosity,
) -> Result<DeviceCounts, Failure> {
    let ([group], None) = (cluster.nodes.as_slice(), &cluster.network) else {
        return Ok(counts.clone());
    };
    let most = group.devices_per_node;
    let mut fit = counts.of(most);
    fit.retain(|count| *count <= most);
    let larger =
        advice::several_nodes(cluster).map_or(String::new(), |name| format!(", such as `{name}`,"));
    let (Some(first), Some(last)) = (fit.first(), fit.last()) else {
        return Err(Failure::Usage(format!(
            "cluster `{name}` is one node of {most} devices without a `network`, and {counts} are \
             searched: give `--devices {most}`, or a cluster of several nodes{larger} in its place",
        )));
    };
    if !verbosity.quiet {
        let fewer = if first == last { first.to_string() } else { format!("{first} to {last}") };
        // Nothing is left to do where standard error is closed.
        let _ = writeln!(
            std::io::stderr(),
            "note: `{name}` is one node without a network: {fewer} devices are searched; a cluster \
             of several nodes{larger} can have more"
        );
    }
    Ok(DeviceCounts::List(fit))
}

/// Refuses prices of clusters that are none of the review's.
fn known_prices(args: &CapacityArgs, grid: &Grid) -> Result<(), Failure> {
    let known = |name: &str| grid.clusters.iter().any(|c| c.name == name || c.given.0 == name);
    let wrong = |(name, price): &(Option<String>, UsDollars)| {
        name.clone().filter(|name| !known(name)).map(|name| (name, price.get()))
    };
    let Some((name, price)) = args.price.iter().find_map(wrong) else { return Ok(()) };
    let known: Vec<&str> = grid.clusters.iter().map(|c| c.given.0.as_str()).collect();
    let mut options: Vec<String> =
        known.iter().map(|known| format!("`--price {known}={price}`")).collect();
    options.push(format!("`--price {price}` for all of them"));
    let more = advice::called(&name, grid.clusters.first().map_or(1, |c| c.given.1));
    let more = more.map_or(String::new(), |more| {
        let clusters: Vec<&str> = known.iter().copied().chain([more.as_str()]).collect();
        let clusters = clusters.join(",");
        format!("; `--cluster {clusters} --price {more}={price}` reviews `{more}` too")
    });
    Err(Failure::Usage(format!(
        "`--price {name}={price}` names none of the clusters, which are `{}`: write {}{more}",
        known.join("`, `"),
        options.join(" or ")
    )))
}

fn grid_cluster(
    args: &CapacityArgs,
    name: String,
    job: Job,
    tokens: u64,
    counts: &DeviceCounts,
) -> Result<GridCluster, Failure> {
    let per_node = job.machine.cluster.nodes.first().map_or(1, |group| group.devices_per_node);
    let sizes: Result<Vec<Size>, SizeError> = counts
        .of(per_node)
        .into_iter()
        .map(|devices| {
            let nodes = resize(&job.machine.cluster, devices)?;
            let training = &job.workload.model.training;
            let pins =
                args.pins.pins(devices, training.global_batch_size, job.workload.model.num_layers);
            Ok(Size { devices, nodes, pins })
        })
        .collect();
    let sizes = sizes.map_err(|error| no_size(&error, &job, counts))?;
    let terms = terms(args, &job, tokens, per_node);
    let mut cluster = GridCluster::new(name, job, terms, sizes);
    for (of, price) in &args.price {
        let named = |of: &String| *of == cluster.name || *of == cluster.given.0;
        if of.as_ref().is_none_or(named) {
            cluster.terms.price = Some(*price);
        }
    }
    Ok(cluster)
}

/// Why there is no cluster of a size, and what there is.
fn no_size(error: &SizeError, job: &Job, counts: &DeviceCounts) -> Failure {
    let mut text = error.to_string();
    if let SizeError::Network { per_node, .. } = error {
        text.push_str(&format!(": give `--devices {per_node}` or fewer"));
        text.push_str(&match advice::several_nodes(&job.machine.cluster) {
            Some(name) => format!(", or `--cluster {name} --devices {counts}`"),
            None => ", or a cluster of several nodes".to_owned(),
        });
    }
    Failure::Usage(text)
}

fn terms(args: &CapacityArgs, job: &Job, tokens: u64, devices_per_node: u64) -> Terms {
    let cluster = &job.machine.cluster;
    let mut recovery = cluster.recovery.clone().unwrap_or_default();
    if let Some(bandwidth) = args.checkpoint_bandwidth {
        (recovery.bandwidth_per_node, recovery.bandwidth) = (bandwidth, None);
        recovery.source = format!("storage: `--checkpoint-bandwidth`; {}", recovery.source);
    }
    if let Some(time) = args.restart_time {
        recovery.restart_time = time;
        recovery.source = format!("restart: `--restart-time`; {}", recovery.source);
    }
    if let Some(time) = args.repair_time {
        recovery.repair_time = time;
        recovery.source = format!("repair: `--repair-time`; {}", recovery.source);
    }
    let rate = args.failures_per_device.or(cluster.failures_per_device);
    Terms {
        tokens,
        price: cluster.price_per_device_hour.or(job.machine.device.price_per_hour),
        power: job.machine.device.power + cluster.host_power_per_device.unwrap_or(Watts::ZERO),
        failures: rate.unwrap_or(PerDay::ZERO),
        recovery,
        devices_per_node,
    }
}

/// The objective among cells.
pub(super) const fn objective(objective: SearchObjective) -> Objective {
    match objective {
        SearchObjective::Time => Objective::Time,
        SearchObjective::Cost => Objective::Cost,
        SearchObjective::Devices => Objective::Devices,
        SearchObjective::Energy => Objective::Energy,
    }
}
