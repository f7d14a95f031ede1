//! The best plan of one candidate under the simulator, exactly.
//!
//! The simulated time is the longest path of the pipeline, so it is the largest of finitely many
//! rows that are linear in the chosen columns ([`crate::sim::pipeline`]). Rows are made as they
//! are needed: solve the master problem over the rows known, simulate what it chose, add the
//! critical path as a row, and repeat until the master finds nothing below the best simulated
//! time. Every row is a valid bound for every plan, so the last answer is a proof (Kelley 1960;
//! Benders 1962 with longest-path cuts).

use crate::lower::{Candidate, StageTimes};
use crate::planner::bounds::memory::MemoryBound;
use crate::planner::engine::Engine;
use crate::planner::master::MasterAnswer;
use crate::planner::master::column::{Column, beats};
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::master::problem::{Alive, Master};
use crate::planner::search::priced::{Instance, Priced};
use crate::planner::search::solver::{Effort, Solution, Solved, Solver};
use crate::sim::pipeline::{PathRow, Run};
use crate::solver::Backend;
use crate::units::SimTime;

/// Paths that decided for one sharding of the layers and are tried first on the next.
const MOST_PATHS: usize = 24;

impl Solver<'_> {
    /// The best plan of `candidate` that is faster than `cutoff`. Nothing is below it in the shardings
    /// of the layers that were decided before.
    pub fn solve(
        &self,
        candidate: &Candidate,
        shape: &PipelineShape,
        cutoff: SimTime,
        (effort, decided): (Effort, &[usize]),
    ) -> Solved {
        let priced = Priced::new(self, candidate);
        let shardings = priced.shardings();
        let mut solved = Solved { decided: decided.to_vec(), ..Solved::default() };
        let mut cutoff = cutoff;
        // Paths that decided, and layers that fit without recomputing.
        let (mut paths, mut roomy): (Vec<PathRow>, Vec<usize>) = Default::default();
        let mut tried = 0;
        for (bound, i, input) in shardings.order {
            if bound >= cutoff {
                break;
            }
            let long = tried == effort.shardings() || solved.masters >= effort.masters();
            if (self.stop)() || solved.failure.is_some() || long {
                solved.undecided = true;
                break;
            }
            let layer = &priced.blocks.layer[i];
            if roomy.iter().any(|other| beats(&priced.blocks.layer[*other], layer)) {
                continue;
            }
            let instance = priced.instance(i, shape, effort);
            let input = &shardings.inputs[input];
            let memory = MemoryBound::new(input, layer, priced.recomputes, &shape.in_flight);
            if !decided.contains(&i) && memory.may_beat(cutoff) {
                tried += 1;
                let open = std::mem::take(&mut solved.undecided);
                instance.solve(&memory, &mut cutoff, &mut solved, &mut paths);
                if !solved.undecided {
                    solved.decided.push(i);
                }
                solved.undecided |= open;
            }
            if instance.maker.is_roomy(instance.range().1) {
                roomy.push(i);
            }
        }
        solved
    }

    /// What no plan of `candidate` is faster than, by single paths; the end of time where none fits.
    pub fn bound(&self, candidate: &Candidate) -> SimTime {
        Priced::new(self, candidate).bounds().bound()
    }
}

impl Instance<'_> {
    /// Improves `solved` with plans below `cutoff`, and lowers `cutoff` to the best found.
    /// `paths` are some that decided for other layers, and get those that decide here.
    fn solve(
        &self,
        memory: &MemoryBound<'_>,
        cutoff: &mut SimTime,
        solved: &mut Solved,
        paths: &mut Vec<PathRow>,
    ) {
        let (p, num_layers) = (self.candidate.pipeline, self.num_layers);
        if *cutoff == SimTime::MAX && self.candidate.chunks == 1 && p > 1 {
            // Nothing is known yet: a plan close to even gives the first cutoff.
            let (low, high) = (num_layers / p, num_layers.div_ceil(p));
            let near = (low.saturating_sub(1).max(1), high + 1);
            self.solve_within(memory, near, cutoff, solved, paths);
        }
        let range = self.range();
        if range.0 == range.1 && self.least_row(range.0) >= *cutoff {
            return;
        }
        self.solve_within(memory, range, cutoff, solved, paths);
    }

    fn solve_within(
        &self,
        memory: &MemoryBound<'_>,
        range: (u64, u64),
        cutoff: &mut SimTime,
        solved: &mut Solved,
        paths: &mut Vec<PathRow>,
    ) {
        let Some(most) = memory.most_layers(*cutoff) else { return };
        let columns = self.columns(range, &most);
        if (self.limits.stop)() {
            solved.undecided = true;
            return;
        }
        let Some(columns) = columns else { return };
        solved.fits = true;
        if self.master(&columns, paths).is_excluded(cutoff.picos()) {
            return;
        }
        let mut rows = self.shape.rows.clone();
        rows.extend(paths.iter().filter(|path| !self.shape.rows.contains(path)).cloned());
        let mut run = Run::default();
        let mut master = self.master(&columns, &rows);
        let mut alive = master.all();
        loop {
            let long = solved.masters >= self.effort.masters();
            if (self.limits.stop)() || long || solved.failure.is_some() {
                solved.undecided = true;
                return;
            }
            solved.masters += 1;
            let (chosen, last) = match self.below(&master, &mut alive, *cutoff, solved) {
                MasterAnswer::Best(chosen, _) => (chosen, true),
                MasterAnswer::Good(chosen, _) => (chosen, false),
                MasterAnswer::NothingBelow => return,
                MasterAnswer::Undecided(found) => {
                    solved.undecided = true;
                    let Some((chosen, _)) = found else { return };
                    (chosen, true)
                }
            };
            let picked: Vec<&Column> = chosen.iter().zip(&columns).map(|(k, c)| &c[*k]).collect();
            let times: Vec<StageTimes> = picked.iter().map(|c| c.times.clone()).collect();
            self.shape.structure.run(&times, self.links, &mut run);
            solved.simulated += 1;
            if run.end < *cutoff {
                *cutoff = run.end;
                solved.best = Some(Solution {
                    candidate: *self.candidate,
                    layer: self.layer,
                    columns: picked.into_iter().cloned().collect(),
                    time: run.end,
                });
            }
            let row = self.shape.structure.critical_path(&times, self.links, &run);
            if rows.contains(&row) {
                // Its time is that of the row: the cutoff has become lower, or it is the best.
                if last {
                    return;
                }
                continue;
            }
            self.add_row(&mut master, &columns, &row);
            paths.insert(0, row.clone());
            paths.truncate(MOST_PATHS);
            rows.push(row);
        }
    }

    /// A selection below the cutoff, or that there is none, by the engine that is wanted. What branch and
    /// bound leaves open in the end goes to the solver.
    fn below(
        &self,
        master: &Master,
        alive: &mut Alive,
        cutoff: SimTime,
        solved: &mut Solved,
    ) -> MasterAnswer {
        if self.engine == Engine::Search {
            let answer = master.solve_among(alive, cutoff.picos(), self.limits);
            let open = matches!(answer, MasterAnswer::Undecided(_));
            if !open || self.effort < Effort::Full || (self.limits.stop)() {
                return answer;
            }
        }
        match master.prove_among(alive, cutoff.picos(), Backend::best(), self.limits.stop) {
            Ok((answer, programs)) => {
                solved.programs += programs;
                answer
            }
            Err(failure) => {
                if self.engine == Engine::Ilp {
                    solved.failure = Some(failure);
                }
                MasterAnswer::Undecided(None)
            }
        }
    }
}
