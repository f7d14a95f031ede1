//! A better bound on a candidate, before it is solved: what its memory forces its stages to
//! recompute counts ([`crate::planner::bounds::memory`]).

use crate::lower::{Candidate, InFlight};
use crate::planner::bounds::memory::MemoryBound;
use crate::planner::search::solve::{Priced, Solver};
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
        let bounds = priced.bounds();
        let layers = &priced.blocks.layer;
        let mut order: Vec<(SimTime, usize)> =
            layers.iter().enumerate().map(|(i, layer)| (bounds.layer_bound(layer), i)).collect();
        order.sort();
        let mut least = cutoff;
        for (bound, i) in order {
            if bound >= least {
                break;
            }
            if (self.stop)() {
                // Of those that are left out no more is known.
                return bound;
            }
            let memory = MemoryBound::new(&bounds, &layers[i], priced.recomputes, in_flight);
            if memory.may_beat(least) {
                least = memory.least_time(bound, least);
            }
        }
        least
    }
}
