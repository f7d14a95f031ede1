//! What instructions cost on given devices and links: kernels, collectives, optimizer steps.
//! Physical models with few constants, which are fitted on public measurements and live in the
//! device files with their provenance. Knows no schedules and no plans.

mod attention;
pub mod collective;
pub mod compute;
mod contention;
pub mod fit;
pub mod kernel_table;
mod matmul;
mod measured_collectives;
pub mod model;
pub mod state;
mod table;
pub mod topology;

pub use collective::CollectiveModel;
pub use compute::DeviceModel;
pub use contention::{Slowdown, at_pace, follows_copies};
pub use measured_collectives::{MESSAGE, table_name};
pub use model::{CostModel, PlacedCost};
pub use state::{StateBytes, optimizer_kernels, state_bytes};
pub use table::KernelTable;
