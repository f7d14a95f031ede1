//! What instructions cost on given devices and links: kernels, collectives, optimizer steps.
//! Physical models with few constants, which are fitted on public measurements and live in the
//! device files with their provenance. Knows no schedules and no plans.

mod attention;
pub mod compute;
pub mod fit;
mod matmul;

pub use compute::DeviceModel;
