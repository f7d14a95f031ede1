//! `diff A B`: what differs between two plans or two reports.

use crate::cli::args::Format;
use crate::cli::plan_args::PlanArgs;
use crate::cli::table::{self, Table, TableRow};
use crate::cli::tuning_args::LoraArgs;
use crate::cli::{Failure, output};
use crate::explain::{Difference, Side, differences, sentences};
use crate::plan::Plan;
use crate::planner::predict::predict;
use crate::sim::Prediction;
use crate::spec::{Cluster, read};
use crate::units::signed_percent;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// A plan (YAML), a `search.json` or `prediction.json`, or the folder of a report
    pub a: PathBuf,
    /// Another one
    pub b: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Compares.
///
/// # Errors
/// Files that are neither plans nor results, output that can not be written.
pub fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let found = differences(&a, &b);
    let said = sentences(&a, &b, &found);
    match args.format {
        Format::Json => writeln!(out, "{:#}", document(&a, &b, &said, &found))?,
        Format::Csv => table(&found).write(Format::Csv, out)?,
        format => {
            let (title, bullet) =
                if format == Format::Markdown { ("# ", "- ") } else { ("", "  ") };
            writeln!(out, "{title}{} -> {}\n", a.name, b.name)?;
            for sentence in &said {
                write!(out, "{}", line(format, bullet, sentence))?;
            }
            if !found.is_empty() {
                writeln!(out)?;
                table(&found).write(format, out)?;
            }
        }
    }
    Ok(())
}

/// A plan with its prediction: as a report holds them, else predicted now.
fn read(given: &Path) -> Result<Side, Failure> {
    let within = |name: &str| Some(given.join(name)).filter(|path| path.is_file());
    let path = if given.is_dir() {
        let found = within("search.json").or_else(|| within("prediction.json"));
        found.or_else(|| within("plan.yaml")).unwrap_or_else(|| given.to_owned())
    } else {
        given.to_owned()
    };
    let name = given.display().to_string();
    let (plan, prediction) = if path.extension().is_some_and(|extension| extension == "json") {
        results(&path)?
    } else {
        let (model, cluster, stack) = (None, None, None);
        let (sequence_length, precision) = (None, None);
        let lora = LoraArgs::default();
        let plan = path.clone();
        let plan = PlanArgs { plan, model, cluster, stack, sequence_length, precision, lora };
        let loaded = plan.load()?;
        let predicted = predict(&loaded.job, &loaded.choice)
            .ok_or_else(|| Failure::BadInput(format!("`{name}`: its schedule can not be run")))?;
        (loaded.plan, predicted.prediction)
    };
    let cluster = Cluster::of_plan(&plan.cluster, &path, Path::new(".")).ok();
    let price_per_device_hour = cluster.and_then(|cluster| cluster.price_per_device_hour());
    Ok(Side { name, plan, prediction, price_per_device_hour })
}

/// What `search.json` and `prediction.json` have in common.
#[derive(Deserialize)]
struct Results {
    plan: Plan,
    prediction: Prediction,
}

/// The plan and prediction of a `search.json` or `prediction.json`.
fn results(path: &Path) -> Result<(Plan, Prediction), Failure> {
    let source = read::read_at_most(path, path.display().to_string(), MAX_RESULTS)?;
    let bad = |what: String| Failure::BadInput(format!("`{}`: {what}", path.display()));
    let value: Value = serde_json::from_str(&source.text)
        .map_err(|error| bad(format!("the file is no JSON: {error}; {GOOD}")))?;
    let known = ["lmplan.search/1", "lmplan.simulate/1"];
    if !value["schema"].as_str().is_some_and(|schema| known.contains(&schema)) {
        let found = match value["schema"].as_str() {
            Some(schema) => format!("it holds `{}`", schema.trim_end_matches("/1")),
            None => "it holds something else".to_owned(),
        };
        return Err(bad(format!(
            "neither a `search.json` nor a `prediction.json`, {found}: {GOOD}"
        )));
    }
    let outcome: Results = serde_json::from_value(value)
        .map_err(|error| bad(format!("it is not as lmplan writes it ({error}): {GOOD}")))?;
    Ok((outcome.plan, outcome.prediction))
}

/// What can be compared.
const GOOD: &str =
    "give the folder of a report, its `search.json` or `prediction.json`, or a plan (YAML)";

/// Largest file of results that is read: frontiers are long.
const MAX_RESULTS: u64 = 64_000_000;

fn table(found: &[Difference]) -> Table {
    let row = |difference: &Difference| {
        let change = difference.change();
        let (first, second) = match difference.texts() {
            (a, b) if difference.what == "shardings of operators" => (only(&a, &b), only(&b, &a)),
            texts => texts,
        };
        let cells = vec![
            difference.section.clone(),
            difference.what.to_owned(),
            first,
            second,
            change.map_or(String::new(), signed_percent),
        ];
        TableRow { cells, fields: fields(difference) }
    };
    Table {
        schema: "lmplan.diff/1",
        key: "differences",
        titles: vec!["part", "what", "first", "second", "change"],
        rows: found.iter().map(row).collect(),
    }
}

/// Of two long lists only what the other does not have.
fn only(own: &str, other: &str) -> String {
    let others: Vec<&str> = other.split(", ").collect();
    let only: Vec<&str> = own.split(", ").filter(|part| !others.contains(part)).collect();
    only.join(", ")
}

/// A sentence of a list: wrapped for a terminal, on one line of Markdown.
fn line(format: Format, bullet: &str, sentence: &str) -> String {
    match format {
        Format::Markdown => format!("{bullet}{sentence}.\n"),
        _ => output::item(bullet, &format!("{sentence}.")),
    }
}

fn fields(difference: &Difference) -> Map<String, Value> {
    let value = json!({
        "section": difference.section,
        "what": difference.what,
        "a": difference.a.value(),
        "b": difference.b.value(),
        "unit": difference.unit(),
        "change": difference.change(),
    });
    table::fields(value)
}

fn document(a: &Side, b: &Side, said: &[String], found: &[Difference]) -> Value {
    json!({
        "schema": "lmplan.diff/1",
        "a": a.name,
        "b": b.name,
        "same": found.is_empty(),
        "sentences": said,
        "differences": found.iter().map(fields).map(Value::Object).collect::<Vec<Value>>(),
    })
}
