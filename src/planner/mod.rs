//! The search for the best plan, with its proof.

pub mod outcome;

pub use outcome::{Alternative, CandidatePoint, SearchOutcome, SearchStatus, SearchSummary};
