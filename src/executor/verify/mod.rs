//! Predictions and topologies against what is measured.

mod assemble;
pub mod compare;
mod judge;
pub mod measure;
pub mod narrow;
pub mod numerics;
pub mod print;
mod reference;
pub mod report;
pub mod roles;
pub mod whole;
