//! What `capacity` searches: every number of devices of every cluster.

use super::capacity::CapacityArgs;
use crate::capacity::{DeviceCounts, Grid, GridCluster, Objective, Size, SizeError, Terms, resize};
use crate::cli::Failure;
use crate::cli::command::search::SearchObjective;
use crate::cli::output::{plan_name, stem};
use crate::planner::job::Job;
use crate::spec::{self, Cluster, Source};
use crate::units::{PerDay, Watts};
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
pub(super) fn grid(args: &CapacityArgs) -> Result<(Grid, Sources), Failure> {
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
        return Err(Failure::Usage("`--objective devices` needs `--deadline`".to_owned()));
    }
    let mut grid = Grid {
        names: [plan_name(&args.model.model), plan_name(&args.stack)],
        clusters: Vec::new(),
    };
    let mut texts = Vec::new();
    let mut counts = args.devices.clone();
    for name in &args.cluster {
        let (cluster, source) = Cluster::load(name, folder)?;
        let findings = spec::job_findings(&model, &cluster);
        if !findings.is_empty() {
            return Err(Failure::Spec(if args.model.precision.is_some() {
                spec::SpecError::unplaced(findings, "`--precision`")
            } else {
                spec::placed(findings, &model_source)
            }));
        }
        let devices = cluster.groups.iter().map(|group| {
            let text = spec::load_device(&group.device.name, folder).map(|(_, source)| source.text);
            text.map(|text| format!("# device {}\n{text}", group.device.name))
        });
        let devices: Result<Vec<String>, _> = devices.collect();
        texts.push((name.clone(), format!("{}{}", source.text, devices?.concat())));
        let own = cluster.num_devices();
        let counts = counts.get_or_insert_with(|| DeviceCounts::Range((own / 8).max(1), own * 8));
        let job = Job::new(model.clone(), cluster, stack.clone())
            .map_err(|error| Failure::Usage(error.to_string()))?;
        grid.clusters.push(grid_cluster(args, stem(name).to_owned(), job, tokens, counts)?);
    }
    for (index, cluster) in grid.clusters.iter().enumerate() {
        if grid.clusters[..index].iter().any(|other| other.name == cluster.name) {
            return Err(Failure::Usage(format!(
                "cluster `{}` is given twice: its size comes from `--devices`",
                cluster.name
            )));
        }
    }
    let known = |name: &str| grid.clusters.iter().any(|c| c.name == name || c.given.0 == name);
    if let Some((Some(name), _)) =
        args.price.iter().find(|(name, _)| name.as_ref().is_some_and(|name| !known(name)))
    {
        let known: Vec<&str> = grid.clusters.iter().map(|c| c.given.0.as_str()).collect();
        return Err(Failure::Usage(format!(
            "`--price {name}=...` names none of the clusters: there are `{}`",
            known.join("`, `")
        )));
    }
    Ok((grid, Sources { model: model_source, stack: stack_source, clusters: texts }))
}

fn grid_cluster(
    args: &CapacityArgs,
    name: String,
    job: Job,
    tokens: u64,
    counts: &DeviceCounts,
) -> Result<GridCluster, Failure> {
    let per_node = job.cluster.nodes.first().map_or(1, |group| group.devices_per_node);
    let sizes: Result<Vec<Size>, SizeError> = counts
        .of(per_node)
        .into_iter()
        .map(|devices| {
            let nodes = resize(&job.cluster, devices)?;
            let training = &job.model.training;
            let pins = args.pins.pins(devices, training.global_batch_size, job.model.num_layers);
            Ok(Size { devices, nodes, pins })
        })
        .collect();
    let sizes = sizes.map_err(|error| Failure::Usage(error.to_string()))?;
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

fn terms(args: &CapacityArgs, job: &Job, tokens: u64, devices_per_node: u64) -> Terms {
    let cluster = &job.cluster;
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
        price: cluster.price_per_device_hour.or(job.device.price_per_hour),
        power: job.device.power + cluster.host_power_per_device.unwrap_or(Watts::ZERO),
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
