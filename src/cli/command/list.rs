//! `list models|clusters|devices|stacks`.

use crate::cli::Failure;
use crate::cli::args::{Format, Verbosity};
use crate::cli::names::word;
use crate::cli::table::{Table, TableRow, fields};
use crate::graph::build;
use crate::spec::catalog::names_from;
use crate::spec::{Cluster, DeviceSpec, Kind, ModelSpec, SpecError, StackSpec, load};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::Path;

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListKind {
    /// Transformers
    Models,
    /// Clusters of devices
    Clusters,
    /// Accelerators
    Devices,
    /// Training software
    Stacks,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// What to list: files of the working folder and the catalogue
    pub subject: ListKind,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Lists.
///
/// # Errors
/// Output that can not be written. Files that can not be read are named on standard error and
/// left out.
pub fn run(args: &ListArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    let folder = Path::new(".");
    let (kind, titles): (Kind, &[&'static str]) = match args.subject {
        ListKind::Models => {
            (Kind::Model, &["model", "family", "params", "layers", "hidden", "sequence"])
        }
        ListKind::Clusters => (Kind::Cluster, &["cluster", "devices", "device", "price/device/h"]),
        ListKind::Devices => (Kind::Device, &["device", "matrix peak", "memory", "bandwidth"]),
        ListKind::Stacks => (Kind::Stack, &["stack", "attention", "schedules"]),
    };
    let mut rows = Vec::new();
    for name in names_from(kind, folder) {
        let row = match args.subject {
            ListKind::Models => {
                load::<ModelSpec>(&name, folder).map(|(model, _)| model_row(name, &model))
            }
            ListKind::Clusters => {
                Cluster::load(&name, folder).map(|(cluster, _)| cluster_row(name, &cluster))
            }
            ListKind::Devices => {
                load::<DeviceSpec>(&name, folder).map(|(device, _)| device_row(name, &device))
            }
            ListKind::Stacks => {
                load::<StackSpec>(&name, folder).map(|(stack, _)| stack_row(name, &stack))
            }
        };
        match row {
            Ok(row) => rows.push(row),
            Err(error) => warn(verbosity, &error),
        }
    }
    let key = match args.subject {
        ListKind::Models => "models",
        ListKind::Clusters => "clusters",
        ListKind::Devices => "devices",
        ListKind::Stacks => "stacks",
    };
    let table = Table { schema: "lmplan.list/1", key, titles: titles.to_vec(), rows };
    table.write(args.format, out)?;
    let unplanned = table.rows.iter().any(|row| row.cells[0].ends_with(UNPLANNED));
    if args.subject == ListKind::Models && args.format == Format::Text && unplanned {
        writeln!(out, "\n* can not be planned yet (mixtures of experts)")?;
    }
    Ok(())
}

/// Behind the names of models that can not be planned.
const UNPLANNED: &str = " *";

fn warn(verbosity: &Verbosity, error: &SpecError) {
    if !verbosity.quiet {
        // Nothing is left to do where standard error is closed.
        let _ = writeln!(io::stderr(), "left out:\n{error}\n");
    }
}

fn model_row(name: String, model: &ModelSpec) -> TableRow {
    let family = word(model.family);
    // What has no graph can not be planned.
    let counted = build(model).ok().map(|graph| graph.parameters());
    let parameters = counted.or(model.published_parameters);
    let fields = fields(json!({
        "name": name,
        "family": family,
        "num_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "num_heads": model.num_heads,
        "num_kv_heads": model.kv_heads(),
        "ffn_hidden_size": model.ffn(),
        "vocab_size": model.vocab_size,
        "sequence_length": model.sequence_length,
        "global_batch_size": model.training.global_batch_size,
        "parameters": parameters,
        "plannable": counted.is_some(),
        "objective": model.training.objective,
        "precision": model.training.precision,
    }));
    let count = parameters.map_or_else(|| "-".to_owned(), short);
    let numbers = [model.num_layers, model.hidden_size, model.sequence_length];
    let marked = if counted.is_some() { name } else { format!("{name}{UNPLANNED}") };
    let cells = [marked, family, count]
        .into_iter()
        .chain(numbers.map(|number| number.to_string()))
        .collect();
    TableRow { cells, fields }
}

/// Three digits and a letter: `124M`, `1.32B`.
fn short(count: u64) -> String {
    let count = count as f64;
    let scales = [(1e12, "T"), (1e9, "B"), (1e6, "M")];
    let scale = scales.into_iter().find(|(factor, _)| count >= factor * 0.9995);
    let (factor, letter) = scale.unwrap_or((1e3, "K"));
    let value = count / factor;
    let digits = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{letter}")
}

fn cluster_row(name: String, cluster: &Cluster) -> TableRow {
    let mut devices: Vec<String> =
        cluster.groups.iter().map(|group| group.spec.device.clone()).collect();
    devices.dedup();
    let price = cluster.price_per_device_hour();
    let fields = fields(json!({
        "name": name,
        "num_devices": cluster.num_devices(),
        "num_nodes": cluster.num_nodes(),
        "devices": devices,
        "price_per_device_hour_usd": price.map(|price| price.get()),
    }));
    let price = price.map_or_else(|| "-".to_owned(), |price| price.to_string());
    let cells = vec![name, cluster.num_devices().to_string(), devices.join(" + "), price];
    TableRow { cells, fields }
}

fn device_row(name: String, device: &DeviceSpec) -> TableRow {
    let peaks: Map<String, Value> = device
        .peak
        .iter()
        .map(|(precision, peak)| (precision.name().to_owned(), json!(peak.get())))
        .collect();
    let fields = fields(json!({
        "name": name,
        "peak_flop_per_s": peaks,
        "memory_bytes": device.memory.get(),
        "memory_bandwidth_bytes_per_s": device.memory_bandwidth.get(),
        "link_bandwidth_bytes_per_s": device.link.as_ref().map(|link| link.bandwidth.get()),
        "sm_count": device.sm_count,
        "power_w": device.power.get(),
    }));
    // The widest 16-bit or 32-bit peak: FP8 alone would flatter.
    let peak = device
        .peak
        .iter()
        .filter(|(precision, _)| **precision != crate::spec::Precision::Fp8)
        .map(|(_, peak)| *peak)
        .max_by(|left, right| left.total_cmp(right));
    let peak = peak.map_or_else(|| "-".to_owned(), |peak| peak.to_string());
    let cells = vec![name, peak, device.memory.to_string(), device.memory_bandwidth.to_string()];
    TableRow { cells, fields }
}

fn stack_row(name: String, stack: &StackSpec) -> TableRow {
    let schedules: Vec<String> = stack.schedules.iter().map(word).collect();
    let attention = if stack.flash_attention { "fused" } else { "unfused" };
    let fields = fields(json!({
        "name": name,
        "flash_attention": stack.flash_attention,
        "schedules": schedules,
        "overlap_gradient_reduce": stack.overlap_gradient_reduce,
        "overlap_parameter_gather": stack.overlap_parameter_gather,
        "overlap_p2p": stack.overlap_p2p,
    }));
    TableRow { cells: vec![name, attention.to_owned(), schedules.join(", ")], fields }
}
