//! Plans as the configurations of other programs: what each one runs, how it is launched, which
//! rank does what, and what it can not express.
//!
//! Names of arguments and fields are those of the versions in [`Target::version`]; tests hold every
//! file against the lists of arguments and fields read from there (`tests/data/targets/`).

mod adapters;
mod arguments;
mod bridge;
mod deepspeed;
mod launch;
mod layout;
mod megatron;
mod python;
mod recompute;
mod torchtitan;

pub use layout::{RankPlace, ranks};

use crate::plan::{Plan, Strategy};
use crate::spec::{ClusterSpec, ModelSpec, StackSpec};
use std::collections::BTreeMap;

/// A program that trains what was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Megatron-LM.
    Megatron,
    /// DeepSpeed.
    DeepSpeed,
    /// torchtitan.
    Torchtitan,
    /// Megatron-Bridge.
    Bridge,
}

impl Target {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Megatron => "Megatron-LM",
            Target::DeepSpeed => "DeepSpeed",
            Target::Torchtitan => "torchtitan",
            Target::Bridge => "Megatron-Bridge",
        }
    }

    /// The version whose arguments and fields are written: repository and commit.
    pub const fn version(self) -> &'static str {
        match self {
            Target::Megatron => "NVIDIA/Megatron-LM d98e8a64ddf3 (2026-08-22)",
            Target::DeepSpeed => "deepspeedai/DeepSpeed edaa7221267 (2026-08-22)",
            Target::Torchtitan => "pytorch/torchtitan b5bcd76c66d0 (2026-08-21)",
            Target::Bridge => "NVIDIA-NeMo/Megatron-Bridge 067f987df03b (2026-08-22)",
        }
    }
}

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub struct ExportInput<'a> {
    /// The plan; as even as possible where it lists no stages.
    pub plan: &'a Plan,
    /// Its model, with the plan's batch.
    pub model: &'a ModelSpec,
    /// Its cluster.
    pub cluster: &'a ClusterSpec,
    /// Its software.
    pub stack: &'a StackSpec,
    /// The shardings that Megatron gives the operators under the plan's ways.
    pub megatron_operators: &'a BTreeMap<String, BTreeMap<String, Strategy>>,
}

/// A plan as another program reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The program.
    pub target: Target,
    /// The configuration, then the scripts that launch it, then the map of ranks.
    pub files: Vec<ExportFile>,
    /// What the program can not express.
    pub not_expressed: Vec<NotExpressed>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Name within the folder.
    pub name: String,
    /// Content.
    pub text: String,
}

/// Something that the program can not express, and what it does instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotExpressed {
    /// The field of the plan, or of the model after `model.`.
    pub field: &'static str,
    /// What is lost, and what happens instead.
    pub said: String,
}

/// Collects what can not be expressed.
#[derive(Debug, Default)]
struct Losses(Vec<NotExpressed>);

impl Losses {
    fn say(&mut self, field: &'static str, said: impl Into<String>) {
        self.0.push(NotExpressed { field, said: said.into() });
    }
}

/// The plan for `target`.
pub fn export(target: Target, subject: &ExportInput<'_>) -> Exported {
    let mut losses = Losses::default();
    shardings(subject, &mut losses);
    let (config, program) = match target {
        Target::Megatron => megatron::write(subject, &mut losses),
        Target::DeepSpeed => deepspeed::write(subject, &mut losses),
        Target::Torchtitan => torchtitan::write(subject, &mut losses),
        Target::Bridge => bridge::write(subject, &mut losses),
    };
    match target {
        Target::Bridge => {}
        Target::DeepSpeed => adapters::without(
            subject,
            &mut losses,
            "they are the model's, not DeepSpeed's: add them in your script, such as by PEFT",
        ),
        Target::Megatron | Target::Torchtitan => adapters::without(
            subject,
            &mut losses,
            "this configuration has none and would train everything, which needs more memory; \
             Megatron-Bridge has them",
        ),
    }
    let not_expressed = losses.0;
    let mut files = vec![ExportFile {
        name: config.name.to_owned(),
        text: header(target, subject, &config, &not_expressed),
    }];
    files.extend(launch::scripts(subject, &program));
    files.push(launch::rank_map(subject));
    if target == Target::DeepSpeed {
        // JSON has no comments.
        files.push(deepspeed::notes(subject, &not_expressed));
    }
    Exported { target, files, not_expressed }
}

/// A configuration before its first lines.
struct Config {
    name: &'static str,
    body: String,
    /// Whether `#` begins a comment.
    has_comments: bool,
}

/// What is run on every rank.
struct Program {
    /// Lines of shell before the launch.
    setup: Vec<String>,
    /// Script or module with its arguments, as torchrun takes them.
    command: String,
}

/// The configuration with what it is for and what it can not express in its first lines.
fn header(
    target: Target,
    subject: &ExportInput<'_>,
    config: &Config,
    lost: &[NotExpressed],
) -> String {
    if !config.has_comments {
        return config.body.clone();
    }
    let plan = subject.plan;
    let mut text = format!(
        "# {} on {}: {} devices, for {}\n",
        one_line(&plan.model),
        one_line(&plan.cluster),
        plan.devices(),
        target.version()
    );
    for loss in lost {
        text.push_str(&format!("# not expressed: {}: {}\n", loss.field, one_line(&loss.said)));
    }
    text + &config.body
}

/// A text that can stand in a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Operators that are planned otherwise than the programs shard them: all of them shard as Megatron.
fn shardings(subject: &ExportInput<'_>, losses: &mut Losses) {
    if subject.plan.parallelism.tensor == 1 {
        return;
    }
    let mut other = Vec::new();
    for (block, operators) in &subject.plan.operators {
        for (operator, planned) in operators {
            let usual = subject.megatron_operators.get(block).and_then(|ops| ops.get(operator));
            if let Some(usual) = usual.filter(|usual| *usual != planned) {
                other.push(format!("{block} {operator} `{planned}` (here `{usual}`)"));
            }
        }
    }
    if !other.is_empty() {
        let list = other.join(", ");
        losses.say("operators", format!("operators are sharded as in Megatron, planned is {list}"));
    }
}
