//! `check`: a plan and its certificate, checked by code that shares nothing with the planner.

use crate::check::{Check, CheckInput, Severity, check};
use crate::cli::args::Format;
use crate::cli::plan_args::as_planned;
use crate::cli::{Failure, output};
use crate::graph::build;
use crate::plan::Plan;
use crate::spec::{self, Cluster};
use clap::Args;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Path of the plan, or of the folder of its report
    pub plan: String,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Checks a plan, and the certificate and results that stand beside it.
///
/// # Errors
/// Wrong input; a plan or certificate that does not hold, after what was found is printed.
pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let folder = Path::new(".");
    let given = PathBuf::from(&args.plan);
    let within = given.join("plan.yaml");
    let path = if within.is_file() { within } else { given };
    let (plan, _) = spec::load::<Plan>(&path.display().to_string(), folder)?;
    let beside = |name: &str| read_json(&path.with_file_name(name));
    let results = match beside("search.json")? {
        Some(results) => Some(results),
        None => beside("prediction.json")?,
    };
    let certificate = beside("certificate.json")?;
    let (mut model, _) = spec::load_model(&plan.model, folder)?;
    as_planned(&plan, certificate.as_ref(), &mut model);
    let cluster = Cluster::of_plan(&plan.cluster, &path, folder)?;
    let (stack, _) = spec::load_stack(&plan.stack, folder)?;
    let graph = build(&model).map_err(|error| Failure::BadInput(error.to_string()))?;
    let Some(group) = cluster.groups.first() else {
        return Err(Failure::BadInput(format!("cluster `{}` has no devices", plan.cluster)));
    };
    let peak = group.device.peak.get(&model.training.precision);
    let found = check(&CheckInput {
        plan: &plan,
        model: &model,
        graph: &graph,
        stack: &stack,
        devices: cluster.num_devices(),
        memory: group.device.memory,
        peak_flops: peak.map_or(f64::INFINITY, |peak| peak.get()),
        results: results.as_ref(),
        certificate: certificate.as_ref(),
    });
    print(&found, args.format, out)?;
    if found.holds() {
        Ok(())
    } else {
        Err(Failure::Verification(format!("`{}` does not hold", path.display())))
    }
}

/// A JSON file, where there is one.
fn read_json(path: &Path) -> Result<Option<Value>, Failure> {
    let bad = |what: String| Failure::BadInput(format!("`{}`: {what}", path.display()));
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(error.to_string())),
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| bad(error.to_string()))
        }
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "holds",
        Severity::Warning => "unchecked",
        Severity::Error => "wrong",
    }
}

fn print(found: &Check, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let value = serde_json::json!({
                "schema": "lmplan.check/1",
                "holds": found.holds(),
                "findings": found.findings,
            });
            writeln!(out, "{value:#}")?;
        }
        Format::Csv => {
            writeln!(out, "severity,code,message")?;
            for finding in &found.findings {
                let message = finding.message.replace('"', "\"\"");
                writeln!(out, "{},{},\"{message}\"", word(finding.severity), finding.code)?;
            }
        }
        Format::Markdown => {
            writeln!(out, "| | what | finding |\n|---|---|---|")?;
            for finding in &found.findings {
                let message = finding.message.replace('|', "\\|");
                writeln!(out, "| {} | {} | {message} |", word(finding.severity), finding.code)?;
            }
        }
        Format::Text => {
            for finding in &found.findings {
                let begin = format!("{:9}  {:11}  ", word(finding.severity), finding.code);
                write!(out, "{}", output::item(&begin, &finding.message))?;
            }
        }
    }
    Ok(())
}
