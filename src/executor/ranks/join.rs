//! The groups of a rank.

use super::meeting::Meeting;
use crate::executor::error::Result;
use crate::executor::run::comm::Ranks;
use crate::executor::run::rank::Groups;
use crate::lower::Candidate;
use crate::plan::OptimizerSharding;
use lmplan_c10d::{Group, Store};
use std::time::Duration;

/// Joins the groups of a rank.
///
/// # Errors
/// Ranks that do not come in time.
///
/// They talk over NCCL where `nccl` names this rank's GPU, over Gloo else.
pub(crate) fn join(
    store: &Store,
    meeting: &Meeting,
    candidate: &Candidate,
    patience: Duration,
    nccl: Option<i32>,
) -> Result<(Ranks, Groups)> {
    let c = candidate;
    let (t, d, p) = (c.tensor, c.data, c.pipeline);
    let Meeting { rank, address, prefix, .. } = meeting;
    let seat = c.mesh().coordinates(*rank);
    let group = |name: String, own: u64, size: u64| -> Result<Ranks> {
        if size == 1 {
            return Ok(Ranks::Alone);
        }
        let (own, size) = (own as usize, size as usize);
        // Messages between stages go over the group of all: a lane for each direction of passes.
        let lanes = if name == "world" && p > 1 { 2 } else { 0 };
        let name = format!("{prefix}{name}");
        if let Some(device) = nccl {
            let group = Group::join_nccl(store, &name, (own, size), device, lanes, patience)?;
            return Ok(Ranks::Group(group));
        }
        Ok(Ranks::Group(Group::join(store, &name, own, size, address, patience)?))
    };
    let world = group("world".to_owned(), *rank, t * d * p)?;
    let tensor = group(format!("tensor-{}-{}", seat.stage, seat.data), seat.tensor, t)?;
    let data = group(format!("data-{}-{}", seat.stage, seat.tensor), seat.data, d)?;
    let is_end = seat.stage == 0 || seat.stage + 1 == p;
    let side = u64::from(seat.stage > 0);
    let split = c.sharding >= OptimizerSharding::Zero2 && d > 1;
    let ends = if p > 1 { 2 } else { 1 };
    let tied = match (is_end, split) {
        (false, _) => Ranks::Alone,
        (true, false) => group(format!("tied-{}-{}", seat.data, seat.tensor), side, ends)?,
        (true, true) => group(format!("tied-{}", seat.tensor), side * d + seat.data, ends * d)?,
    };
    Ok((tensor, Groups { data, tied, world }))
}
