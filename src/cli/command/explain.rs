//! `explain PLAN`: why this plan, and why not another.

use crate::cli::args::Format;
use crate::cli::pins::PinArgs;
use crate::cli::plan_args::{PlanArgs, PlannedJob};
use crate::cli::table::{self, Table, TableRow};
use crate::cli::{Failure, output};
use crate::explain::{ExplainInput, Neighbour, Outcome, best, neighbours, reasons};
use crate::lower::Candidate;
use crate::planner::infeasible::conflict;
use crate::planner::job::Job;
use crate::planner::predict::predict;
use crate::planner::space::conflict::Conflict;
use crate::sim::Prediction;
use crate::units::{Bytes, Seconds, signed_percent};
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The plan and what it names.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Another choice: what is the best plan with it? Such as `tp=4,pp=2`; also `dp`, `micro-batch`,
    /// `virtual-stages`, `schedule`, `recompute`, `sequence-parallel`, `optimizer-sharding`
    #[arg(long, value_name = "CHOICES")]
    pub why_not: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Explains.
///
/// # Errors
/// Wrong input, choices that are none, output that can not be written.
pub fn run(args: &ExplainArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let pins = args.why_not.as_deref().map(PinArgs::of_choices).transpose();
    let pins = pins.map_err(|error| Failure::Usage(format!("`--why-not`: {error}")))?;
    args.plan.agree()?;
    let loaded = args.plan.load()?;
    let predicted = predict(&loaded.job, &loaded.choice).ok_or_else(|| {
        Failure::BadInput(format!("`{}`: its schedule can not be run", args.plan.plan.display()))
    })?;
    let prediction = &predicted.prediction;
    let subject = ExplainInput { job: &loaded.job, choice: &loaded.choice, prediction };
    let around = neighbours(&subject);
    let sentences = reasons(&subject, &around);
    let other = pins.zip(args.why_not.as_deref());
    let other = other.map(|(pins, choices)| WhyNot::of(&loaded.job, &pins, choices));
    let other = other.as_ref();
    let table = table(&subject, &around, other);
    match args.format {
        Format::Json => {
            writeln!(out, "{:#}", document(&loaded, &subject, &sentences, &around, other))?;
        }
        Format::Csv => table.write(Format::Csv, out)?,
        format => {
            let (mark, bullet) =
                if format == Format::Markdown { ("## ", "- ") } else { ("", "  ") };
            writeln!(out, "{}{}", if mark.is_empty() { "" } else { "# " }, title(&loaded))?;
            writeln!(out, "\n{mark}Why")?;
            if format == Format::Markdown {
                writeln!(out)?;
            }
            for sentence in &sentences {
                write!(out, "{}", line(format, bullet, sentence))?;
            }
            if let Some(other) = other {
                writeln!(out, "\n{mark}Why not {}", other.choices)?;
                if format == Format::Markdown {
                    writeln!(out)?;
                }
                for sentence in why_not(&subject, other) {
                    write!(out, "{}", line(format, bullet, &sentence))?;
                }
            }
            writeln!(out, "\n{mark}One choice changed, the rest as good as can be\n")?;
            table.write(format, out)?;
        }
    }
    Ok(())
}

/// A sentence of a list: wrapped for a terminal, on one line of Markdown.
fn line(format: Format, bullet: &str, sentence: &str) -> String {
    match format {
        Format::Markdown => format!("{bullet}{sentence}.\n"),
        _ => output::item(bullet, &format!("{sentence}.")),
    }
}

fn title(loaded: &PlannedJob) -> String {
    let plan = &loaded.plan;
    format!("{} on {}: {}", plan.model, plan.cluster, loaded.choice.mapping.candidate.label())
}

/// Another choice.
struct WhyNot<'a> {
    /// As it was asked.
    choices: &'a str,
    /// What the best plan with it is.
    outcome: Outcome,
    /// Why there is no combination with it, where there is none.
    conflict: Option<Conflict>,
}

impl<'a> WhyNot<'a> {
    fn of(job: &Job, pins: &PinArgs, choices: &'a str) -> Self {
        let layers = job.workload.model.num_layers;
        let pins =
            pins.pins(job.machine.devices, job.workload.model.training.global_batch_size, layers);
        let conflict = conflict(job, &job.space(pins.clone()), &|| None);
        WhyNot { choices, outcome: best(job, pins), conflict }
    }
}

/// What another choice gives, in sentences.
fn why_not(subject: &ExplainInput<'_>, other: &WhyNot<'_>) -> Vec<String> {
    match &other.outcome {
        Outcome::Fits { candidate, prediction } => {
            let ours = subject.prediction.iteration_time_s;
            let theirs = prediction.iteration_time_s;
            let slower = 100.0 * (theirs / ours - 1.0);
            let word = match slower {
                s if s.abs() < 0.005 => "as fast".to_owned(),
                s if s > 0.0 => format!("{s:.2} % slower"),
                s => format!("{:.2} % faster", s.abs()),
            };
            vec![
                format!(
                    "The best such plan is {}: {} an iteration, {word}",
                    candidate.label(),
                    Seconds::new(theirs),
                ),
                format!("Where that comes from: {}", grown(subject.prediction, prediction)),
                format!(
                    "It peaks at {} of {}",
                    Bytes::new(prediction.peak_memory_bytes),
                    Bytes::new(prediction.memory_capacity_bytes)
                ),
            ]
        }
        Outcome::Overflows { candidate, stage, needs, room } => vec![format!(
            "No such plan fits: the closest, {}, needs {needs} on stage {stage}, {} more than the \
             {room} that there are",
            candidate.label(),
            needs.saturating_sub(*room)
        )],
        Outcome::Nothing => match &other.conflict {
            Some(conflict) => {
                let remedies = format!("Possible: {}", conflict.remedies.join("; "));
                vec![format!("There is no such plan: {}", conflict.what), remedies]
            }
            None => vec!["There is no such plan".to_owned()],
        },
    }
}

/// Parts of the iteration that differ, the largest difference first.
fn grown(ours: &Prediction, theirs: &Prediction) -> String {
    let mut parts: Vec<(&str, f64)> = ours
        .breakdown
        .parts()
        .iter()
        .zip(theirs.breakdown.parts())
        .map(|((name, ours), (_, theirs))| (*name, theirs - ours))
        .filter(|(_, change)| change.abs() >= 0.001 * ours.iteration_time_s)
        .collect();
    parts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let show = |(name, change): &(&str, f64)| {
        let sign = if *change < 0.0 { "-" } else { "+" };
        format!("{name} {sign}{}", Seconds::new(change.abs()))
    };
    let list: Vec<String> = parts.iter().map(show).collect();
    if list.is_empty() { "no part differs by a thousandth".to_owned() } else { list.join(", ") }
}

/// Keys of an outcome, for programs.
fn fields(subject: &ExplainInput<'_>, change: &str, outcome: &Outcome) -> Map<String, Value> {
    let ours = subject.prediction.iteration_time_s;
    let (word, candidate, time, peak, stage, needs) = match outcome {
        Outcome::Fits { candidate, prediction } => (
            "fits",
            Some(candidate),
            Some(prediction.iteration_time_s),
            Some(prediction.peak_memory_bytes),
            None,
            None,
        ),
        Outcome::Overflows { candidate, stage, needs, .. } => {
            ("overflows", Some(candidate), None, None, Some(*stage), Some(needs.get()))
        }
        Outcome::Nothing => ("nothing", None, None, None, None, None),
    };
    let value = json!({
        "change": change,
        "outcome": word,
        "plan": candidate.map(Candidate::label),
        "iteration_time_s": time,
        "slower": time.map(|time| time / ours - 1.0),
        "peak_memory_bytes": peak,
        "stage": stage,
        "needs_bytes": needs,
        "memory_capacity_bytes": subject.prediction.memory_capacity_bytes,
    });
    table::fields(value)
}

fn row(subject: &ExplainInput<'_>, change: &str, outcome: &Outcome) -> TableRow {
    let none = || "-".to_owned();
    let cells = match outcome {
        Outcome::Fits { prediction, .. } => {
            let time = prediction.iteration_time_s;
            let slower = time / subject.prediction.iteration_time_s - 1.0;
            let peak = Bytes::new(prediction.peak_memory_bytes).to_string();
            [Seconds::new(time).to_string(), signed_percent(slower), peak]
        }
        Outcome::Overflows { stage, needs, .. } => {
            [none(), format!("stage {stage} is too full"), needs.to_string()]
        }
        Outcome::Nothing => [none(), "can not be".to_owned(), none()],
    };
    let cells = std::iter::once(change.to_owned()).chain(cells).collect();
    TableRow { cells, fields: fields(subject, change, outcome) }
}

fn table(subject: &ExplainInput<'_>, around: &[Neighbour], other: Option<&WhyNot<'_>>) -> Table {
    let mut rows: Vec<TableRow> =
        around.iter().map(|near| row(subject, &near.label(), &near.outcome)).collect();
    rows.extend(other.map(|other| row(subject, other.choices, &other.outcome)));
    Table {
        schema: "lmplan.explain/1",
        key: "neighbours",
        titles: vec!["change", "iteration", "cost", "peak memory"],
        rows,
    }
}

fn document(
    loaded: &PlannedJob,
    subject: &ExplainInput<'_>,
    sentences: &[String],
    around: &[Neighbour],
    other: Option<&WhyNot<'_>>,
) -> Value {
    let near = |near: &Neighbour| {
        let mut fields = fields(subject, &near.label(), &near.outcome);
        let changes: Vec<Value> = near
            .changes
            .iter()
            .map(|change| json!({"choice": change.choice, "from": change.from, "to": change.to}))
            .collect();
        fields.insert("changes".to_owned(), Value::Array(changes));
        Value::Object(fields)
    };
    let other = other.map(|other| {
        let mut fields = fields(subject, other.choices, &other.outcome);
        let said = why_not(subject, other);
        fields.insert("reasons".to_owned(), json!(said));
        Value::Object(fields)
    });
    json!({
        "schema": "lmplan.explain/1",
        "plan": loaded.plan,
        "stack": crate::cli::names::stem(&loaded.plan.stack),
        "prediction": subject.prediction,
        "reasons": sentences,
        "neighbours": around.iter().map(near).collect::<Vec<Value>>(),
        "why_not": other,
    })
}
