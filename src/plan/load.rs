//! Reading plans.

use super::Plan;
use crate::spec::stack::ScheduleKind;
use crate::spec::validate::Findings;
use crate::spec::{self, Document, Finding, Kind, Source, SpecError};
use std::ops::Range;
use std::path::Path;

/// Reads a plan by path.
///
/// # Errors
/// No such file, or what is wrong with its text.
pub fn load_plan(path: &str, folder: &Path) -> Result<(Plan, Source), SpecError> {
    spec::load(path, folder)
}

impl Document for Plan {
    const KIND: Kind = Kind::Plan;

    fn findings(&self) -> Vec<Finding> {
        let mut found = Findings::default();
        ways(self, &mut found);
        batch(self, &mut found);
        stages(self, &mut found);
        found.into_vec()
    }
}

fn ways(plan: &Plan, found: &mut Findings) {
    const CODE: &str = "plan::parallelism";
    const MOST: u64 = spec::cluster::MAX_DEVICES;
    let p = &plan.parallelism;
    found.count(CODE, "parallelism/tensor", p.tensor, 1, MOST);
    found.count(CODE, "parallelism/pipeline", p.pipeline, 1, MOST);
    found.count(CODE, "parallelism/data", p.data, 1, MOST);
    found.count(CODE, "parallelism/context", p.context, 1, MOST);
    found.count(CODE, "parallelism/expert", p.expert, 1, MOST);
    found.count(CODE, "parallelism/virtual_stages", p.virtual_stages, 1, 100_000);
    if plan.devices() > MOST {
        let message = format!(
            "the plan uses {} devices, beyond the {MOST} that are planned for",
            plan.devices()
        );
        found.add(Finding::new(CODE, "parallelism", message));
    }
    let replicas = p.data.saturating_mul(p.context);
    if p.expert > 0 && !replicas.is_multiple_of(p.expert) {
        let message = format!(
            "`expert` {} does not divide data x context = {replicas}: experts are shared by those ranks",
            p.expert
        );
        found.add(Finding::new(CODE, "parallelism/expert", message));
    }
    let interleaved = plan.schedule == ScheduleKind::Interleaved;
    if p.virtual_stages > 1 && !interleaved {
        let message =
            format!("{} virtual stages need the schedule `interleaved-1f1b`", p.virtual_stages);
        let help = "write `schedule: interleaved-1f1b`, or `virtual_stages: 1`";
        found.add(Finding::new(CODE, "parallelism/virtual_stages", message).help(help));
    }
    if interleaved && p.virtual_stages == 1 {
        let message = "`interleaved-1f1b` needs at least two virtual stages";
        let help = "write `schedule: 1f1b`, or `virtual_stages: 2`";
        found.add(Finding::new(CODE, "schedule", message).help(help));
    }
}

fn batch(plan: &Plan, found: &mut Findings) {
    const CODE: &str = "plan::batch";
    found.count(CODE, "batch/global", plan.batch.global, 1, 1_000_000_000);
    found.count(CODE, "batch/micro", plan.batch.micro, 1, 1_000_000_000);
    let whole = found.none_at(&["batch/global", "batch/micro", "parallelism/data"]);
    if whole && plan.num_micro_batches().is_none() {
        let (batch, data) = (&plan.batch, plan.parallelism.data);
        let rows = batch.micro.saturating_mul(data);
        let message = format!(
            "the global batch {} is no multiple of micro x data = {} x {data} = {rows}",
            batch.global, batch.micro
        );
        let near = (batch.global / rows.max(1)).max(1).saturating_mul(rows);
        let finding = Finding::new(CODE, "batch/global", message);
        found.add(finding.help(format!("{near} is one")));
    }
}

fn stages(plan: &Plan, found: &mut Findings) {
    const CODE: &str = "plan::stages";
    if plan.stages.is_empty() {
        return;
    }
    if plan.stages.len() as u64 != plan.parallelism.pipeline {
        let message = format!(
            "{} stages stand here, but `pipeline` is {}",
            plan.stages.len(),
            plan.parallelism.pipeline
        );
        found.add(Finding::new(CODE, "stages", message));
    }
    let mut expected = 0;
    for (index, stage) in plan.stages.iter().enumerate() {
        let path = format!("stages/{index}/layers");
        let Some(layers) = layer_range(&stage.layers) else {
            let message = "`layers` is no range of layers";
            let help = "write it as `0..12`: the first, and the one after the last";
            found.add(Finding::new(CODE, path, message).help(help));
            return;
        };
        if layers.start != expected {
            let message = format!(
                "stage {index} begins with layer {}, but the layers before it end at {expected}",
                layers.start
            );
            let help = format!("begin it with {expected}: stages are contiguous and in order");
            found.add(Finding::new(CODE, path, message).help(help));
        }
        expected = layers.end;
        let counted = stage.recompute.checked_layers();
        let held = layers.end - layers.start;
        if counted != Some(held) {
            let message = format!("`recompute` does not count the {held} layers of stage {index}");
            let help = format!("`none`, `selective` and `full` have to add up to {held}");
            let path = format!("stages/{index}/recompute");
            found.add(Finding::new(CODE, path, message).help(help));
        }
    }
}

/// `first..end` with `first <= end`.
fn layer_range(text: &str) -> Option<Range<u64>> {
    let (first, end) = text.split_once("..")?;
    let (first, end) = (first.trim().parse().ok()?, end.trim().parse().ok()?);
    (first <= end && end <= 100_000).then_some(first..end)
}
