//! The search against brute force over its whole space, on synthetic costs.

use super::synthetic::{SHARDINGS, Synthetic, brute_force, space, synthetic};
use crate::lower::Candidate;
use crate::planner::engine::Engine;
use crate::planner::master::column::Column;
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::objective::Objective;
use crate::planner::outcome::SearchStatus;
use crate::planner::search::solver::{Effort, Solver};
use crate::planner::search::{Found, Options, Verdict, search};
use crate::planner::space::Space;
use crate::units::{Bytes, SimTime};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

fn run(costs: &Synthetic, space: &Space, objective: Objective, top: usize) -> Found {
    let engine = Engine::Search;
    search(space, costs, Options { objective, top, engine, stop: &|| None, progress: &mut |_| {} })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The search returns the best plan of the whole space, and every bound that it relied on is
    /// below the truth.
    #[test]
    fn equals_brute_force(costs in synthetic(), devices in 1u64..5, layers in 1u64..4) {
        let space = space(devices, 4, layers);
        let mut truth: Option<(SimTime, Candidate)> = None;
        let mut all = Vec::new();
        for ways in space.ways() {
            for candidate in space.candidates(ways) {
                let best = brute_force(&costs, &space, &candidate);
                all.push((candidate, best));
                if let Some(best) = best && truth.is_none_or(|(time, _)| best < time) {
                    truth = Some((best, candidate));
                }
            }
        }
        let found = run(&costs, &space, Objective::Time, 1);
        prop_assert_eq!(found.best.first().map(|s| s.time), truth.map(|(time, _)| time));
        prop_assert_eq!(found.candidates, all.len() as u64);
        match truth {
            Some((time, _)) => {
                prop_assert_eq!(found.status, SearchStatus::Optimal);
                prop_assert_eq!(found.lower_bound, u128::from(time.picos()));
            }
            None => prop_assert_eq!(found.status, SearchStatus::Infeasible),
        }
        // The integer programs give the same plan and the same proof.
        let by_ilp = {
            let (engine, stop) = (Engine::Ilp, &|| None);
            let objective = Objective::Time;
            search(&space, &costs, Options { objective, top: 1, engine, stop, progress: &mut |_| {} })
        };
        prop_assert!(by_ilp.failure.is_none(), "{:?}", by_ilp.failure);
        prop_assert_eq!(by_ilp.best.first().map(|s| s.time), truth.map(|(time, _)| time));
        prop_assert_eq!((by_ilp.status, by_ilp.lower_bound), (found.status, found.lower_bound));
        for (ways, verdict) in found.verdicts.iter().chain(&by_ilp.verdicts) {
            for (candidate, best) in &all {
                let Some(best) = best else { continue };
                let bound = match verdict {
                    Verdict::GroupBound(bound)
                        if (candidate.tensor, candidate.pipeline, candidate.data)
                            == (ways.tensor, ways.pipeline, ways.data) => *bound,
                    Verdict::CandidateBound(c, bound) | Verdict::Solved(c, bound, _)
                        if c == candidate => *bound,
                    _ => continue,
                };
                prop_assert!(bound <= *best, "{:?} of {:?}: best {:?}", verdict, candidate, best);
            }
        }
    }

    /// A search that is stopped anywhere claims nothing that is not so: what it has found is no
    /// better than the truth, and no bound is above it.
    #[test]
    fn stopped_anywhere_nothing_false_is_claimed(
        costs in synthetic(),
        devices in 2u64..5,
        questions in 0u64..60,
    ) {
        let space = space(devices, 4, 3);
        let times: Vec<(Candidate, SimTime)> = space
            .ways()
            .into_iter()
            .flat_map(|ways| space.candidates(ways))
            .filter_map(|candidate| Some((candidate, brute_force(&costs, &space, &candidate)?)))
            .collect();
        let truth = times.iter().map(|(_, time)| *time).min();
        let asked = AtomicU64::new(0);
        let stop = || {
            let stops = asked.fetch_add(1, Ordering::SeqCst) >= questions;
            stops.then_some(SearchStatus::Interrupted)
        };
        let mut none = |_: &crate::planner::search::Progress| {};
        let options =
            Options { objective: Objective::Time, top: 1, engine: Engine::Search, stop: &stop, progress: &mut none };
        let found = search(&space, &costs, options);
        let best = found.best.first().map(|solution| solution.time);
        match found.status {
            SearchStatus::Optimal => prop_assert_eq!(best, truth),
            SearchStatus::Infeasible => prop_assert_eq!(truth, None),
            _ => {}
        }
        if let Some(truth) = truth {
            prop_assert!(found.lower_bound <= u128::from(truth.picos()));
            prop_assert!(best.is_none_or(|best| best >= truth));
        }
        for (ways, verdict) in &found.verdicts {
            for (candidate, time) in &times {
                let bound = match verdict {
                    Verdict::GroupBound(bound)
                        if (candidate.tensor, candidate.pipeline, candidate.data)
                            == (ways.tensor, ways.pipeline, ways.data) => *bound,
                    Verdict::CandidateBound(c, bound)
                    | Verdict::Solved(c, bound, _)
                    | Verdict::Open(c, bound)
                        if c == candidate => *bound,
                    _ => continue,
                };
                prop_assert!(bound <= *time, "{:?} of {:?}: {:?}", verdict, candidate, time);
            }
        }
    }

    /// Context-parallel ranks share gradients, states and their reduction: a candidate with them is
    /// solved to the best of all its plans, and its bounds are below that.
    #[test]
    fn context_is_bounded_and_solved(costs in synthetic(), devices in 1u64..5, context in 2u64..17) {
        let space = space(devices, 4, 3);
        let solver = Solver { space: &space, costs: &costs, engine: Engine::Search, stop: &|| false };
        for ways in space.ways() {
            for mut candidate in space.candidates(ways) {
                candidate.context = context;
                for sharding in SHARDINGS {
                    candidate.sharding = sharding;
                    let best = brute_force(&costs, &space, &candidate);
                    let pipeline = candidate.pipeline_shape();
                    let shape = PipelineShape::new(pipeline, costs.blocking).expect("runs");
                    let solved = solver.solve(&candidate, &shape, SimTime::MAX, (Effort::Full, &[]));
                    let found = solved.best.map(|solution| solution.time);
                    prop_assert_eq!(found, best, "{:?}", candidate);
                    let Some(best) = best else { continue };
                    prop_assert!(solver.bound(&candidate) <= best, "{:?}", candidate);
                    // What memory forces is a bound too: it excludes no plan below the cutoff.
                    let above = best + SimTime::from_picos(1);
                    let solved = solver.solve(&candidate, &shape, above, (Effort::Full, &[]));
                    prop_assert!(solved.best.is_some(), "{:?}", candidate);
                }
            }
        }
    }

    /// The best plans of the best (t, p, d) come in order and are each the best of theirs.
    #[test]
    fn alternatives_are_exact(costs in synthetic()) {
        let space = space(4, 4, 2);
        let found = run(&costs, &space, Objective::Time, 3);
        let mut truth: Vec<SimTime> = space
            .ways()
            .into_iter()
            .filter_map(|ways| {
                let times = space.candidates(ways).into_iter();
                times.filter_map(|c| brute_force(&costs, &space, &c)).min()
            })
            .collect();
        truth.sort();
        truth.truncate(3);
        prop_assert_eq!(found.best.iter().map(|s| s.time).collect::<Vec<_>>(), truth);
    }

    /// Money counts devices: the cheapest plan is the least time x devices.
    #[test]
    fn cost_is_exact(costs in synthetic()) {
        let space = space(4, 2, 2);
        let found = run(&costs, &space, Objective::Cost { deadline: None }, 1);
        let truth = space.ways().into_iter().flat_map(|ways| space.candidates(ways)).filter_map(|c| {
            brute_force(&costs, &space, &c).map(|time| time.picos() * c.devices())
        }).min();
        let best = found.best.first().map(|s| s.time.picos() * s.candidate.devices());
        prop_assert_eq!(best, truth);
    }

    /// More memory never makes the best plan slower, and the result does not depend on threads.
    #[test]
    fn memory_helps_and_threads_do_not_matter(costs in synthetic(), more in 1u64..2000) {
        let space = space(4, 4, 4);
        let found = run(&costs, &space, Objective::Time, 2);
        let roomy = Synthetic { capacity: costs.capacity + more, ..costs.clone() };
        let after = run(&roomy, &space, Objective::Time, 2);
        if let Some(before) = found.best.first() {
            prop_assert!(after.best[0].time <= before.time);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
        prop_assert_eq!(pool.install(|| run(&costs, &space, Objective::Time, 2)), found);
    }
}

#[test]
fn every_column_fits_and_places_its_layers() {
    let costs = Synthetic {
        seed: 5,
        capacity: 6000,
        hop: 4,
        blocking: false,
        overlap: true,
        frozen_tenths: 0,
    };
    let space = space(4, 4, 4);
    let found = run(&costs, &space, Objective::Time, 4);
    assert!(!found.best.is_empty());
    for solution in &found.best {
        let layers: u64 = solution.columns.iter().map(|c| c.layers).sum();
        assert_eq!(layers, 4);
        let whole =
            |c: &Column| c.recompute.iter().sum::<u64>() * solution.candidate.chunks == c.layers;
        assert!(solution.columns.iter().all(whole));
        assert!(solution.peak() <= Bytes::new(6000));
    }
}
