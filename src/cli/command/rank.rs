//! `rank`: the process of one rank, which `verify` starts. Reads its task from standard input.

use crate::cli::Failure;
use clap::Args;

/// Arguments of `rank`: none, its orders come from standard input.
#[derive(Debug, Clone, Args)]
pub struct RankArgs {}

/// Runs a rank.
///
/// # Errors
/// Orders that can not be read, a task that fails.
#[cfg(feature = "torch")]
pub fn run(_: &RankArgs) -> Result<(), Failure> {
    use crate::executor::ranks::Meeting;
    use crate::executor::ranks::task::Task;
    use crate::executor::worker::work;
    use std::os::fd::AsFd;
    if !lmplan_c10d::die_with_parent() {
        return Err(Failure::Verification("the process that started this rank is gone".into()));
    }
    let (meeting, task): (Meeting, Task) = serde_json::from_reader(std::io::stdin().lock())
        .map_err(|error| Failure::BadInput(format!("the task of this rank: {error}")))?;
    // The command line holds the lock of standard output; the rank writes from two threads.
    let out = std::io::stdout().as_fd().try_clone_to_owned()?;
    if work(&task, &meeting, std::fs::File::from(out)) {
        Ok(())
    } else {
        Err(Failure::Verification(format!("rank {} failed", meeting.rank)))
    }
}

/// Runs a rank.
///
/// # Errors
/// Always: this build has no libtorch.
#[cfg(not(feature = "torch"))]
pub fn run(_: &RankArgs) -> Result<(), Failure> {
    Err(super::without_torch("rank"))
}
