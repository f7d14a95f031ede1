//! What is asked of the planner.

use crate::planner::engine::Engine;
use crate::planner::objective::Objective;
use crate::planner::space::Pins;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is minimised.
    pub objective: Objective,
    /// Plans wanted.
    pub top: usize,
    /// What solves candidates.
    pub engine: Engine,
    /// What the user has fixed.
    pub pins: Pins,
    /// Names of model, cluster and stack, as they go into the plan.
    pub names: [String; 3],
}
