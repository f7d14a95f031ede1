//! The master problem of a plan that was found, whole, for a second solver.

use super::priced::Priced;
use super::solver::{Effort, Solution, Solver};
use crate::lower::StageTimes;
use crate::planner::bounds::memory::MemoryBound;
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::master::problem::Master;
use crate::planner::master::{Limits, MasterAnswer};
use crate::sim::pipeline::Run;
use crate::units::SimTime;

impl Solver<'_> {
    /// The master problem whose optimum is the time of `solution`: the columns of its candidate
    /// that may be part of a plan as fast, and the paths that prove it. For a second solver.
    pub fn master_of(&self, solution: &Solution, shape: &PipelineShape) -> Option<Master> {
        let priced = Priced::new(self, &solution.candidate);
        let instance = priced.instance(solution.layer, shape, Effort::Full);
        let above = solution.time + SimTime::from_picos(1);
        let layer = &priced.blocks.layer[solution.layer];
        let bounds = priced.bounds_of(layer);
        let memory = MemoryBound::new(&bounds, layer, priced.recomputes, &shape.in_flight);
        let columns = instance.columns(instance.range(), &memory.most_layers(above)?)?;
        let mut rows = shape.rows.clone();
        let mut run = Run::default();
        let mut master = instance.master(&columns, &rows);
        loop {
            let MasterAnswer::Best(chosen, value) =
                master.solve(above.picos(), Limits::nodes(Effort::Full.nodes()))
            else {
                return Some(master);
            };
            let times: Vec<StageTimes> =
                chosen.iter().zip(&columns).map(|(k, c)| c[*k].times.clone()).collect();
            shape.structure.run(&times, instance.links, &mut run);
            let row = shape.structure.critical_path(&times, instance.links, &run);
            if value >= solution.time.picos() || rows.contains(&row) {
                return Some(master);
            }
            instance.add_row(&mut master, &columns, &row);
            rows.push(row);
        }
    }
}
