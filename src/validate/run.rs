//! Rows predicted and compared.

use super::kinds::{Kinds, kinds};
use super::memory::{PeakMemory, is_of_the_first_rank};
use super::row::MeasuredRun;
use super::skip::Skip;
use super::{hardware, measured, model, plan, stack};
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::sim::{Breakdown, Prediction};
use crate::spec::{Cluster, ClusterSpec, DeviceSpec, StackSpec};
use rayon::prelude::*;

/// A row with its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The row.
    pub row: MeasuredRun,
    /// Seconds measured, if a time or rate was.
    pub measured_s: Option<f64>,
    /// What was predicted, or why nothing was.
    pub outcome: Result<Predicted, Skip>,
}

/// The prediction of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Seconds predicted.
    pub seconds: f64,
    /// Where they go.
    pub breakdown: Breakdown,
    /// What the computation consists of.
    pub kinds: Kinds,
    /// Memory by stage, and rates.
    pub prediction: Prediction,
    /// Peak of the fullest rank, as tools that measure it count.
    pub peak: PeakMemory,
    /// Whether the plan fits the device's memory under the model.
    pub fits: bool,
    /// The plan in short, such as `t8 p8 d1 c1 v3 b1`.
    pub plan: String,
    /// What the row does not say and was assumed.
    pub assumed: Vec<String>,
}

impl Compared {
    /// Predicted over measured, less one.
    pub fn error(&self) -> Option<f64> {
        match (&self.outcome, self.measured_s) {
            (Ok(predicted), Some(measured)) => Some(predicted.seconds / measured - 1.0),
            _ => None,
        }
    }
}

/// Changes of constants, for fitting them.
pub type Adjust<'a> = &'a (dyn Fn(&mut DeviceSpec, &mut ClusterSpec, &mut StackSpec) + Sync);

/// Predicts all rows, on all cores, in order.
pub fn compare(rows: Vec<MeasuredRun>) -> Vec<Compared> {
    compare_with(rows, &|_, _, _| {})
}

/// Predicts all rows with the constants of their devices, networks and stacks changed.
pub fn compare_with(rows: Vec<MeasuredRun>, adjust: Adjust<'_>) -> Vec<Compared> {
    rows.into_par_iter().map(|row| one(row, adjust)).collect()
}

fn one(row: MeasuredRun, adjust: Adjust<'_>) -> Compared {
    let batch = plan::ways(&row).and_then(|ways| plan::global_batch(&row, ways));
    let measured_s = match &batch {
        Ok((batch, _)) => measured::iteration_seconds(&row, *batch),
        Err(_) => row.iter_time_s,
    };
    let outcome = match measured_s {
        None => Err(Skip::NotMeasured),
        Some(_) => predicted(&row, adjust),
    };
    Compared { row, measured_s, outcome }
}

pub(super) fn predicted(row: &MeasuredRun, adjust: Adjust<'_>) -> Result<Predicted, Skip> {
    if row.mentions("lora ") || row.id.ends_with("-lora") {
        return Err(Skip::Adapters);
    }
    let ways = plan::ways(row)?;
    let (batch, batch_assumed) = plan::global_batch(row, ways)?;
    let model = model::model(row, batch)?;
    let mut stack = stack::stack(row)?;
    let mut cluster = hardware::cluster(row)?;
    let Cluster { spec, groups } = &mut cluster;
    for group in groups {
        adjust(&mut group.device, spec, &mut stack);
    }
    let flash = stack.flash_attention;
    let (plans, mut assumed) = plan::plans(row, &model, ways, flash)?;
    if batch_assumed {
        assumed.push(format!("global batch: {batch}"));
    }
    let refused = |error: String| Skip::Refused(error);
    let job = Job::new(model, cluster, stack).map_err(|error| refused(error.to_string()))?;
    let mut best: Option<Predicted> = None;
    let mut refusal = Skip::NotGiven("micro-batch");
    for plan in plans {
        let choice = match Choice::of_plan(&job, &plan) {
            Ok(choice) => choice,
            Err(error) => {
                refusal = refused(error.to_string());
                continue;
            }
        };
        let Some(found) = predict(&job, &choice) else {
            refusal = refused("its schedule can not be run".to_owned());
            continue;
        };
        let p = &plan.parallelism;
        let fits = found.overflow.is_none();
        let peak = PeakMemory::of(&job, &choice, &found.prediction, is_of_the_first_rank(row));
        let new = Predicted {
            seconds: found.prediction.iteration_time_s,
            breakdown: found.prediction.breakdown,
            kinds: kinds(&job, &choice),
            prediction: found.prediction,
            peak,
            fits,
            plan: format!(
                "t{} p{} d{} c{} v{} b{}",
                p.tensor, p.pipeline, p.data, p.context, p.virtual_stages, plan.batch.micro
            ),
            assumed: assumed.clone(),
        };
        let better =
            best.as_ref().is_none_or(|best| (new.fits, -new.seconds) > (best.fits, -best.seconds));
        if better {
            best = Some(new);
        }
    }
    best.ok_or(refusal)
}
