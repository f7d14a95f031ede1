//! Plans as the configurations of other programs: what each one runs, how it is launched, which
//! rank does what, and what it can not express.
//!
//! Names of arguments and fields are those of the versions in [`Target::version`]; tests hold every
//! file against the lists of arguments and fields read from there (`tests/data/targets/`).

mod adapters;
mod arguments;
mod bridge;
mod configuration;
mod deepspeed;
mod exported;
mod input;
mod launch;
mod layout;
mod losses;
mod megatron;
mod python;
mod recompute;
mod target;
mod torchtitan;

pub use exported::{ExportFile, Exported};
pub use input::ExportInput;
pub use layout::{RankPlace, ranks};
pub use losses::NotExpressed;
pub use target::Target;

use configuration::{Config, one_line};
use losses::Losses;

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
