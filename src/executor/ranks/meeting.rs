//! Where the ranks of a run find each other.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a rank says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// Where a rank's process finds the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// Host of the store.
    pub host: String,
    /// Port of the store.
    pub port: u16,
    /// Before the names of this run's groups in the store.
    pub prefix: String,
    /// Interface for messages; the host's own where empty.
    pub address: String,
    /// Number of this rank.
    pub rank: u64,
    /// Its number on this machine, for the choice of a GPU.
    pub local_rank: u64,
}
