//! Solvers: microlp and, with the feature `highs`, HiGHS agree, and do what they are asked.

mod agreement;
mod engines;
mod iopddl;
