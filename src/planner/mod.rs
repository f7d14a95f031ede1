//! The search for the best plan, with its proof.

pub mod answer;
pub mod block;
pub mod block_choices;
pub mod bound;
mod branch_and_bound;
pub mod certificate;
pub mod choice;
pub mod column;
pub mod conflict;
pub mod costs;
mod error;
pub mod infeasible;
pub mod job;
pub mod machine;
pub mod master;
pub mod master_ilp;
pub mod master_problem;
pub mod memory_bound;
pub mod objective;
pub mod outcome;
pub mod pipeline_shape;
pub mod predict;
pub mod request;
pub mod search;
pub mod solve;
pub mod space;
pub mod staged;

pub use error::Error;
pub use outcome::{Alternative, CandidatePoint, SearchOutcome, SearchStatus, SearchSummary};

#[cfg(test)]
mod master_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod synthetic;
