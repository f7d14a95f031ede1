//! A better bound on a candidate, before it is solved: what its memory forces its stages to
//! recompute counts ([`crate::planner::bounds::memory`]).

use crate::lower::{Candidate, InFlight};
use crate::planner::bounds::memory::MemoryBound;
use crate::planner::search::priced::Priced;
use crate::planner::search::solver::Solver;
use crate::units::SimTime;

impl Solver<'_> {
    /// What no plan of `candidate` is faster than, as far as that is below `cutoff`. `in_flight` is
    /// what each stage holds.
    pub(super) fn refine(
        &self,
        candidate: &Candidate,
        in_flight: &[Vec<InFlight>],
        cutoff: SimTime,
    ) -> SimTime {
        let priced = Priced::new(self, candidate);
        let shardings = priced.shardings();
        let mut least = cutoff;
        for (bound, i, input) in shardings.order {
            if bound >= least {
                break;
            }
            if (self.stop)() {
                // Of those that are left out no more is known.
                return bound;
            }
            let (input, layer) = (&shardings.inputs[input], &priced.blocks.layer[i]);
            let memory = MemoryBound::new(input, layer, priced.recomputes, in_flight);
            if memory.may_beat(least) {
                least = memory.least_time(bound, least);
            }
        }
        least
    }
}
