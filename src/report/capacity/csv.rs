//! One row for each cell.

use super::input::CapacityInput;
use crate::capacity::CellOutcome;
use crate::report::summary::{recompute, schedule};
use std::fmt::Write;

const HEADER: &str = "cluster,device,devices,status,devices_used,spare_nodes,devices_rented,tensor,pipeline,\
    data,virtual_stages,micro_batch,schedule,optimizer_sharding,recompute,iteration_time_s,mfu,efficiency,\
    between_failures_s,checkpoint_s,restart_s,interval_young_s,interval_daly_s,goodput,days,days_low,\
    days_high,device_hours,cost_usd,cost_low_usd,cost_high_usd,energy_mwh\n";

/// The cells as comma-separated values.
pub fn csv(input: &CapacityInput<'_>) -> String {
    let review = input.review;
    let mut out = String::from(HEADER);
    for (c, cluster) in review.clusters.iter().enumerate() {
        let name = quoted(&cluster.name);
        for (s, (devices, outcome)) in cluster.devices.iter().zip(&cluster.outcomes).enumerate() {
            let _ = write!(out, "{name},{},{devices},", quoted(&cluster.device));
            let CellOutcome::Planned(cell) = outcome else {
                let infeasible = *outcome == CellOutcome::Infeasible;
                let word = if infeasible { "infeasible" } else { "stopped" };
                let _ = writeln!(out, "{word}{}", ",".repeat(28));
                continue;
            };
            let (plan, ways) = (&cell.plan, &cell.plan.parallelism);
            let status = format!("{:?}", cell.status).to_lowercase();
            let _ = write!(
                out,
                "{status},{},{},{},{},{},{},{},{},{},{},{},{},{},",
                cell.devices_used,
                cell.spare_nodes,
                cell.devices_rented,
                ways.tensor,
                ways.pipeline,
                ways.data,
                ways.virtual_stages,
                plan.batch.micro,
                schedule(plan.schedule),
                plan.optimizer_sharding.name(),
                recompute(plan),
                cell.prediction.iteration_time_s,
                cell.prediction.mfu,
            );
            let number =
                |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            let _ = writeln!(
                out,
                "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                number(review.efficiency((c, s))),
                number(cell.between_failures_s),
                cell.checkpoint_s,
                cell.restart_s,
                number(cell.interval_young_s),
                number(cell.interval_daly_s),
                cell.goodput,
                cell.days,
                cell.days_low,
                cell.days_high,
                cell.device_hours,
                number(cell.cost_usd),
                number(cell.cost_low_usd),
                number(cell.cost_high_usd),
                cell.energy_mwh
            );
        }
    }
    out
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
