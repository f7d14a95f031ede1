//! The search for the best plan, with its proof.
//!
//! Rooms, from the bottom: [`space`] is what is searched; [`block`] the shardings of one block;
//! [`job`] a workload on a machine, with the costs that the search asks for; [`predict`] what one
//! plan takes; [`bounds`] what no plan is below; [`master`] the stages and layers of one candidate;
//! [`search`] the best of all candidates, by one [`engine`] or the other; [`programs`] what it found
//! as integer programs, solved again; [`answer`] the answer to a request, with its certificate.

pub mod answer;
pub mod block;
pub mod bounds;
pub mod engine;
mod error;
pub mod infeasible;
pub mod job;
pub mod master;
pub mod objective;
pub mod outcome;
pub mod predict;
pub mod programs;
pub mod request;
pub mod search;
pub mod space;

pub use engine::Engine;
pub use error::Error;
pub use outcome::{
    Alternative, CandidatePoint, Program, ProgramStatus, SearchOutcome, SearchStatus, SearchSummary,
};
