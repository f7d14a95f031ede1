//! What differs between two plans and their predictions, in words and numbers.

use crate::plan::Plan;
use crate::sim::Prediction;
use crate::units::{Bytes, Seconds, UsDollars, apart, signed_percent};
use serde_json::{Value, json};

/// One of two plans.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// What it is called in sentences: its file.
    pub name: String,
    /// The plan.
    pub plan: Plan,
    /// Its prediction.
    pub prediction: Prediction,
    /// Price of a device for an hour, where the cluster has one.
    pub price_per_device_hour: Option<UsDollars>,
}

/// A value with its unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// A word.
    Word(String),
    /// A count.
    Count(u64),
    /// A duration.
    Time(Seconds),
    /// A size.
    Size(Bytes),
    /// A share of one.
    Share(f64),
    /// A price.
    Price(UsDollars),
    /// Nothing on this side.
    Absent,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `plan`, `prediction`, `breakdown` or `stage N`.
    pub section: String,
    /// What it is.
    pub what: &'static str,
    /// The first plan's.
    pub a: Amount,
    /// The second plan's.
    pub b: Amount,
}

impl Amount {
    /// As people read it.
    pub fn text(&self) -> String {
        match self {
            Amount::Word(word) => word.clone(),
            Amount::Count(count) => count.to_string(),
            Amount::Time(time) => time.to_string(),
            Amount::Size(size) => size.to_string(),
            Amount::Share(share) => format!("{:.1} %", 100.0 * share),
            Amount::Price(price) => price.to_string(),
            Amount::Absent => "-".to_owned(),
        }
    }

    /// As programs read it: a plain number in the base unit.
    pub fn value(&self) -> Value {
        match self {
            Amount::Word(word) => json!(word),
            Amount::Count(count) => json!(count),
            Amount::Time(time) => json!(time.get()),
            Amount::Size(size) => json!(size.get()),
            Amount::Share(share) => json!(share),
            Amount::Price(price) => json!(price.get()),
            Amount::Absent => Value::Null,
        }
    }

    /// Its base unit.
    pub const fn unit(&self) -> &'static str {
        match self {
            Amount::Word(_) | Amount::Absent => "",
            Amount::Count(_) => "count",
            Amount::Time(_) => "s",
            Amount::Size(_) => "bytes",
            Amount::Share(_) => "share",
            Amount::Price(_) => "USD",
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Amount::Time(time) => Some(time.get()),
            Amount::Size(size) => Some(size.get() as f64),
            Amount::Share(share) => Some(*share),
            Amount::Price(price) => Some(price.get()),
            Amount::Count(count) => Some(*count as f64),
            Amount::Word(_) | Amount::Absent => None,
        }
    }
}

impl Difference {
    /// Both sides as people read them, with as many digits as show the difference.
    pub fn texts(&self) -> (String, String) {
        match (&self.a, &self.b) {
            (Amount::Time(a), Amount::Time(b)) => apart(*a, *b),
            (Amount::Size(a), Amount::Size(b)) => apart(*a, *b),
            (Amount::Price(a), Amount::Price(b)) => apart(*a, *b),
            (Amount::Share(a), Amount::Share(b)) => {
                let with = |share: f64, digits: usize| format!("{:.digits$} %", 100.0 * share);
                (1..=15)
                    .map(|digits| (with(*a, digits), with(*b, digits)))
                    .find(|(a, b)| a != b)
                    .unwrap_or_else(|| (self.a.text(), self.b.text()))
            }
            _ => (self.a.text(), self.b.text()),
        }
    }

    /// The second over the first, less one, where both are numbers.
    pub fn change(&self) -> Option<f64> {
        let (a, b) = (self.a.number()?, self.b.number()?);
        (a != 0.0).then(|| b / a - 1.0).filter(|change| change.is_finite())
    }

    /// The unit of whichever side has one.
    pub const fn unit(&self) -> &'static str {
        match self.a {
            Amount::Absent => self.b.unit(),
            _ => self.a.unit(),
        }
    }
}

/// Everything that differs: choices first, then what they lead to.
pub fn differences(a: &Side, b: &Side) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut put = |section: &str, what, a: Amount, b: Amount| {
        if differ(&a, &b) {
            found.push(Difference { section: section.to_owned(), what, a, b });
        }
    };
    for ((what, a), (_, b)) in choices(&a.plan).into_iter().zip(choices(&b.plan)) {
        put("plan", what, a, b);
    }
    for ((what, a), (_, b)) in results(a).into_iter().zip(results(b)) {
        put("prediction", what, a, b);
    }
    let parts = a.prediction.breakdown.parts().into_iter().zip(b.prediction.breakdown.parts());
    for ((what, a), (_, b)) in parts {
        put("breakdown", what, Amount::Time(Seconds::new(a)), Amount::Time(Seconds::new(b)));
    }
    let count = a.prediction.stages.len().max(b.prediction.stages.len());
    for stage in 0..count {
        let section = format!("stage {stage}");
        for ((what, a), (_, b)) in of_stage(a, stage).into_iter().zip(of_stage(b, stage)) {
            put(&section, what, a, b);
        }
    }
    found
}

/// Shares below this are how decimals are read, not differences: times are whole picoseconds.
const READING: f64 = 1e-13;

fn differ(a: &Amount, b: &Amount) -> bool {
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => (a - b).abs() > READING * a.abs().max(b.abs()),
        _ => a != b,
    }
}

type Named = (&'static str, Amount);

fn choices(plan: &Plan) -> Vec<Named> {
    let p = &plan.parallelism;
    let word = |text: &str| Amount::Word(text.to_owned());
    let schedule = match serde_json::to_value(plan.schedule) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    };
    let sum = |part: fn(&crate::plan::RecomputeCounts) -> u64| {
        Amount::Count(plan.stages.iter().map(|stage| part(&stage.recompute)).sum())
    };
    let operators: Vec<String> = plan
        .operators
        .iter()
        .flat_map(|(block, ops)| ops.iter().map(move |(op, how)| format!("{block} {op} {how}")))
        .collect();
    vec![
        ("model", word(&plan.model)),
        ("cluster", word(&plan.cluster)),
        ("stack", word(&plan.stack)),
        ("devices", Amount::Count(plan.devices())),
        ("tensor", Amount::Count(p.tensor)),
        ("pipeline", Amount::Count(p.pipeline)),
        ("data", Amount::Count(p.data)),
        ("context", Amount::Count(p.context)),
        ("expert", Amount::Count(p.expert)),
        ("virtual stages", Amount::Count(p.virtual_stages)),
        ("sequence parallel", word(if p.sequence_parallel { "true" } else { "false" })),
        ("global batch", Amount::Count(plan.batch.global)),
        ("micro-batch", Amount::Count(plan.batch.micro)),
        ("micro-batches", plan.num_micro_batches().map_or(Amount::Absent, Amount::Count)),
        ("schedule", Amount::Word(schedule)),
        ("optimizer sharding", word(plan.optimizer_sharding.name())),
        ("layers that recompute the attention core", sum(|r| r.selective)),
        ("layers that recompute everything", sum(|r| r.full)),
        ("shardings of operators", Amount::Word(operators.join(", "))),
    ]
}

fn results(side: &Side) -> Vec<Named> {
    let prediction = &side.prediction;
    let step = side.price_per_device_hour.map_or(Amount::Absent, |price| {
        let hours = prediction.iteration_time_s / 3600.0 * side.plan.devices() as f64;
        Amount::Price(price * hours)
    });
    let tokens = prediction.tokens_per_s;
    let billion = match &step {
        Amount::Price(step) if tokens > 0.0 => {
            let tokens_of_step = tokens * prediction.iteration_time_s;
            Amount::Price(*step * (1e9 / tokens_of_step))
        }
        _ => Amount::Absent,
    };
    vec![
        ("iteration time", Amount::Time(Seconds::new(prediction.iteration_time_s))),
        ("tokens per second", Amount::Count(tokens.round() as u64)),
        ("MFU", Amount::Share(prediction.mfu)),
        ("HFU", Amount::Share(prediction.hfu)),
        ("peak memory", Amount::Size(Bytes::new(prediction.peak_memory_bytes))),
        ("memory of a device", Amount::Size(Bytes::new(prediction.memory_capacity_bytes))),
        ("cost of an iteration", step),
        ("cost of a billion tokens", billion),
    ]
}

fn of_stage(side: &Side, stage: usize) -> Vec<Named> {
    let size =
        |bytes: Option<u64>| bytes.map_or(Amount::Absent, |bytes| Amount::Size(Bytes::new(bytes)));
    let time = |seconds: Option<f64>| {
        seconds.map_or(Amount::Absent, |seconds| Amount::Time(Seconds::new(seconds)))
    };
    let own = side.prediction.stages.get(stage);
    vec![
        ("layers", own.map_or(Amount::Absent, |stage| Amount::Word(stage.layers.clone()))),
        ("forward", time(own.map(|stage| stage.forward_s))),
        ("backward", time(own.map(|stage| stage.backward_s))),
        ("peak memory", size(own.map(|stage| stage.peak_memory_bytes))),
        ("parameters", size(own.map(|stage| stage.parameters_bytes))),
        ("gradients", size(own.map(|stage| stage.gradients_bytes))),
        ("optimizer states", size(own.map(|stage| stage.optimizer_bytes))),
        ("activations", size(own.map(|stage| stage.activations_bytes))),
        ("workspace and runtime", size(own.map(|stage| stage.other_bytes))),
    ]
}

/// The differences in sentences, from the second plan's side.
pub fn sentences(a: &Side, b: &Side, found: &[Difference]) -> Vec<String> {
    if found.is_empty() {
        return vec!["The plans and their predictions are the same".to_owned()];
    }
    let mut said = Vec::new();
    let planned = found.iter().filter(|difference| difference.section == "plan");
    let changes: Vec<String> = planned
        .filter(|difference| difference.what != "shardings of operators")
        .map(|d| {
            let (a, b) = d.texts();
            format!("{} {a} -> {b}", d.what)
        })
        .collect();
    said.push(match changes.as_slice() {
        [] => "No choice but the shardings and places of layers differs".to_owned(),
        list => format!("{} changes {}", b.name, list.join(", ")),
    });
    let (ours, theirs) = (a.prediction.iteration_time_s, b.prediction.iteration_time_s);
    let slower = theirs / ours - 1.0;
    said.push(if slower.abs() < 5e-5 {
        format!("Both take {} an iteration", Seconds::new(ours))
    } else {
        let (theirs, ours) = apart(Seconds::new(theirs), Seconds::new(ours));
        format!(
            "{} is {:.2} % {}: {theirs} an iteration instead of {ours}",
            b.name,
            100.0 * slower.abs(),
            if slower > 0.0 { "slower" } else { "faster" },
        )
    });
    said.extend(largest_part(found));
    let sizes = [a, b].map(|side| Bytes::new(side.prediction.peak_memory_bytes));
    if sizes[0] != sizes[1] {
        let word = if sizes[1] > sizes[0] { "grows" } else { "falls" };
        let (from, to) = apart(sizes[0], sizes[1]);
        said.push(format!("Peak memory {word} from {from} to {to}"));
    }
    let cost = found.iter().find(|d| d.what == "cost of a billion tokens");
    if let Some((d, change)) = cost.and_then(|d| Some((d, d.change()?))) {
        let (from, to) = d.texts();
        said.push(format!(
            "A billion tokens cost {to} instead of {from} ({})",
            signed_percent(change)
        ));
    }
    said
}

/// The part of the iteration that changes most.
fn largest_part(found: &[Difference]) -> Option<String> {
    let parts = found.iter().filter(|difference| difference.section == "breakdown");
    let change = |d: &Difference| Some(d.b.number()? - d.a.number()?).filter(|c| *c != 0.0);
    let (part, change) = parts
        .filter_map(|part| Some((part, change(part)?)))
        .max_by(|x, y| x.1.abs().total_cmp(&y.1.abs()))?;
    let sign = if change < 0.0 { "-" } else { "+" };
    let time = Seconds::new(change.abs());
    Some(format!("What changes most is {}: {sign}{time}", part.what))
}
