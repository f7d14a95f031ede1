//! `export megatron|deepspeed|torchtitan|bridge PLAN`: a plan as another program runs it.

use crate::cli::Failure;
use crate::cli::args::{Format, Verbosity};
use crate::cli::plan_args::PlanArgs;
use crate::export::{ExportInput, Exported, RankPlace, Target, export, ranks};
use crate::planner::predict::choice::Choice;
use crate::report::{self, ReportFile};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;

/// The program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportTarget {
    /// Megatron-LM: arguments of `pretrain_gpt.py`
    Megatron,
    /// DeepSpeed: `ds_config.json`
    Deepspeed,
    /// torchtitan: a function that returns a `Trainer.Config`
    Torchtitan,
    /// Megatron-Bridge: a function that returns a `ConfigContainer`
    Bridge,
}

impl From<ExportTarget> for Target {
    fn from(target: ExportTarget) -> Target {
        match target {
            ExportTarget::Megatron => Target::Megatron,
            ExportTarget::Deepspeed => Target::DeepSpeed,
            ExportTarget::Torchtitan => Target::Torchtitan,
            ExportTarget::Bridge => Target::Bridge,
        }
    }
}

/// Arguments of `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Program that will train
    pub target: ExportTarget,
    /// The plan and what it names.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Folder for configuration, launch scripts and map of ranks [default: the configuration alone,
    /// to standard output]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// How to print it: csv is the map of ranks, markdown the launch line and what is not expressed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Exports.
///
/// # Errors
/// Wrong input, output that can not be written.
pub fn run(args: &ExportArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    args.plan.agree()?;
    let loaded = args.plan.load()?;
    let mut usual = loaded.plan.clone();
    usual.operators.clear();
    let usual = Choice::of_plan(&loaded.job, &usual)
        .map_err(|error| Failure::BadInput(error.to_string()))?
        .plan(&loaded.job, ["", "", ""])
        .operators;
    let subject = ExportInput {
        plan: &loaded.plan,
        model: &loaded.job.workload.model,
        cluster: &loaded.job.machine.cluster,
        stack: &loaded.job.workload.stack,
        megatron_operators: &usual,
    };
    let exported = export(args.target.into(), &subject);
    if let Some(folder) = &args.output {
        let file = |file: &crate::export::ExportFile| ReportFile {
            name: file.name.clone(),
            bytes: file.text.clone().into_bytes(),
        };
        let files: Vec<ReportFile> = exported.files.iter().map(file).collect();
        report::add(folder, &files)
            .map_err(|error| Failure::Output(io::Error::other(error.to_string())))?;
    }
    match args.format {
        Format::Text if args.output.is_none() => {
            out.write_all(exported.files[0].text.as_bytes())?;
        }
        Format::Text => {}
        Format::Json => writeln!(out, "{:#}", document(&exported, &ranks(&subject)))?,
        Format::Markdown => out.write_all(markdown(&exported).as_bytes())?,
        Format::Csv => {
            let map = exported.files.iter().find(|file| file.name == "ranks.csv");
            out.write_all(map.map_or("", |map| map.text.as_str()).as_bytes())?;
        }
    }
    if !verbosity.quiet {
        // Nothing is left to do where standard error is closed.
        let _ = io::stderr().write_all(notes(&exported, args).as_bytes());
    }
    Ok(())
}

fn notes(exported: &Exported, args: &ExportArgs) -> String {
    let mut text = String::new();
    for loss in &exported.not_expressed {
        text.push_str(&format!("not expressed: {}: {}\n", loss.field, loss.said));
    }
    if let Some(folder) = &args.output {
        text.push_str(&format!("written: {}\n", folder.display()));
    }
    text
}

fn document(exported: &Exported, places: &[RankPlace]) -> Value {
    let files: Vec<Value> = exported
        .files
        .iter()
        .filter(|file| file.name != "ranks.csv")
        .map(|file| json!({"name": file.name, "text": file.text}))
        .collect();
    let lost: Vec<Value> = exported
        .not_expressed
        .iter()
        .map(|loss| json!({"field": loss.field, "said": loss.said}))
        .collect();
    let place = |place: &RankPlace| {
        let layers: Vec<String> =
            place.layers.iter().map(|range| format!("{}..{}", range.start, range.end)).collect();
        json!({
            "rank": place.rank,
            "node": place.node,
            "local_rank": place.local_rank,
            "pipeline": place.pipeline,
            "data": place.data,
            "context": place.context,
            "tensor": place.tensor,
            "layers": layers,
        })
    };
    json!({
        "schema": "lmplan.export/1",
        "target": exported.target.name(),
        "version": exported.target.version(),
        "files": files,
        "not_expressed": lost,
        "ranks": places.iter().map(place).collect::<Vec<Value>>(),
    })
}

fn markdown(exported: &Exported) -> String {
    let mut text = format!("# {}\n\nFor {}.\n", exported.target.name(), exported.target.version());
    for file in exported.files.iter().filter(|file| file.name != "ranks.csv") {
        let language = match file.name.rsplit('.').next() {
            Some("json") => "json",
            Some("py") => "python",
            Some("txt") => "text",
            _ => "sh",
        };
        text.push_str(&format!("\n## {}\n\n```{language}\n{}```\n", file.name, file.text));
    }
    text.push_str("\n## Not expressed\n\n| field | what is lost |\n| --- | --- |\n");
    for loss in &exported.not_expressed {
        text.push_str(&format!("| {} | {} |\n", loss.field, loss.said.replace('|', "\\|")));
    }
    text
}
