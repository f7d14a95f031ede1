//! Solvers: microlp and, with the feature `highs`, HiGHS agree, and do what they are asked.

mod agreement;
// HiGHS leaves rows off by a little more than what is believed in some of these programs.
#[cfg(not(feature = "highs"))]
mod engines;
mod iopddl;
