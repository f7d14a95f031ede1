//! Three ways to the same optimum: enumeration of everything, elimination, integer program.

use super::*;
use crate::planner::block::eliminate::{option_cost, options_of};
use crate::planner::block::pareto::{DIMENSIONS, coordinates, prune};
use crate::sharding::PassCost;
use crate::solver::{Backend, SolverLimits};

/// Every combination of strategies; only for small products.
fn everything(priced: &PricedBlock) -> Vec<Vec<usize>> {
    let sizes: Vec<usize> = priced.nodes.iter().map(Vec::len).collect();
    let product: usize = sizes.iter().product();
    assert!(product <= 250_000, "{product} combinations");
    (0..product)
        .map(|mut rest| {
            let digit = |size: &usize| {
                let digit = rest % size;
                rest /= size;
                digit
            };
            sizes.iter().map(digit).collect()
        })
        .collect()
}

/// Numbers without a pattern, the same in every run.
fn lcg(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *state >> 33
}

fn cases() -> Vec<(Kind, Dims, usize, u64, bool)> {
    let wide = Dims { h: 1024, f: 4096, a: 16, k: 16, s: 512, v: 2048 };
    vec![
        (Kind::Gpt, SMALL, 1, 4, false),
        (Kind::Gpt, wide, 1, 8, true),
        (Kind::Gpt, wide, 2, 4, false),
        (Kind::Llama, SMALL, 2, 2, true),
        (Kind::Bert, SMALL, 0, 8, true),
        (Kind::Bert, wide, 1, 2, true),
    ]
}

fn cost_for(t: u64, case: usize) -> Roofline {
    Roofline { ranks: t, link: [230e9, 12e9, 60e9][case % 3], latency: 5e-6 }
}

#[test]
fn elimination_is_the_pareto_set_of_everything() {
    let cases = cases().into_iter().enumerate();
    let cases = cases.flat_map(|case| [(false, case), (true, case)]);
    for (frozen, (index, (kind, dims, block, t, flash))) in cases {
        let (graph, stack) = (model(kind, dims), stack(index % 2 == 0, flash));
        let graph = if frozen { with_adapters(graph, 8) } else { graph };
        let stack = StackSpec { recompute_stops_early: kind == Kind::Llama, ..stack };
        let (context, cost) = (context(&stack, t, 1), cost_for(t, index));
        for boundary in [Layout::Replicated, Layout::Sequence] {
            let block = &graph.blocks[block];
            let priced = PricedBlock::new(&graph, block, &context, boundary, &cost).unwrap();
            let mut expected: Vec<[u64; 17]> =
                everything(&priced).iter().map(|c| option_cost(&priced.option(c))).collect();
            prune(&mut expected, |cost| *cost);
            let mut found: Vec<[u64; 17]> = options_of(&priced).iter().map(option_cost).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{kind:?} {t} {boundary:?} {frozen}");
        }
    }
}

#[test]
fn integer_program_agrees_with_everything_under_random_caps() {
    let mut state = 2022;
    for (index, (kind, dims, block, t, flash)) in cases().into_iter().enumerate() {
        let (graph, stack) = (model(kind, dims), stack(index % 2 == 0, flash));
        let (context, cost) = (context(&stack, t, 1), cost_for(t, index));
        for boundary in [Layout::Replicated, Layout::Sequence] {
            let block = &graph.blocks[block];
            let priced = PricedBlock::new(&graph, block, &context, boundary, &cost).unwrap();
            let all: Vec<[u64; 3]> = everything(&priced)
                .iter()
                .map(|choice| {
                    let option = priced.option(choice);
                    [option.time_picos(), option.saved[0].get(), option.parameters]
                })
                .collect();
            let options = options_of(&priced);
            let mut ilp = BlockIlp::new(&graph, block, &context, boundary, &cost).unwrap();
            for round in 0..8 {
                // Caps at random points of the space; the last below everything.
                let mut pick = |column: usize| {
                    if round == 7 {
                        return all.iter().map(|point| point[column]).min().unwrap() - 1;
                    }
                    all[lcg(&mut state) as usize % all.len()][column]
                };
                let caps = Caps { saved: pick(1), parameters: pick(2) };
                let inside = |saved: u64, parameters: u64| {
                    saved <= caps.saved && parameters <= caps.parameters
                };
                let best = all.iter().filter(|p| inside(p[1], p[2])).map(|p| p[0]).min();
                let eliminated = options
                    .iter()
                    .filter(|o| inside(o.saved[0].get(), o.parameters))
                    .map(BlockOption::time_picos)
                    .min();
                assert_eq!(eliminated, best);
                let solved = ilp.fastest(caps, Backend::best(), &SolverLimits::default()).unwrap();
                assert_eq!(solved.map(|o| o.time_picos()), best, "{kind:?} {t} {caps:?}");
            }
        }
    }
}

#[test]
fn every_point_of_the_pareto_set_is_certified() {
    let stack = stack(true, true);
    for (kind, dims, t) in [(Kind::Gpt, GPT3_175B, 8), (Kind::Llama, LLAMA2_70B, 4)] {
        let graph = model(kind, dims);
        let (context, cost) = (context(&stack, t, 1), nvlink(t));
        for boundary in [Layout::Replicated, Layout::Sequence] {
            let block = &graph.blocks[1];
            let options = block_options(&graph, block, &context, boundary, &cost);
            let mut ilp = BlockIlp::new(&graph, block, &context, boundary, &cost).unwrap();
            let mut caps: Vec<Caps> = options.iter().map(Caps::of).collect();
            caps.sort_by_key(|caps| (caps.saved, caps.parameters));
            caps.dedup();
            for caps in caps {
                let best = options
                    .iter()
                    .filter(|option| caps.allow(option))
                    .map(BlockOption::time_picos)
                    .min();
                let solved = ilp.fastest(caps, Backend::best(), &SolverLimits::default()).unwrap();
                assert_eq!(solved.map(|option| option.time_picos()), best);
            }
        }
    }
}

#[test]
fn the_same_input_gives_the_same_options() {
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(true, true));
    let (context, cost) = (context(&stack, 4, 2), nvlink(4));
    let run = || block_options(&graph, &graph.blocks[1], &context, Layout::Sequence, &cost);
    assert_eq!(run(), run());
    assert!(run().is_sorted_by_key(BlockOption::time_picos));
}

/// The coordinates of the elimination are those that options are compared by.
#[test]
fn coordinates_cover_what_options_report() {
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(false, false));
    let (context, cost) = (context(&stack, 4, 2), nvlink(4));
    let priced =
        PricedBlock::new(&graph, &graph.blocks[1], &context, Layout::Replicated, &cost).unwrap();
    for node in priced.nodes.iter().flatten() {
        let c = coordinates(node);
        assert_eq!(c.iter().sum::<u64>() - c[DIMENSIONS - 1], {
            let t = |pass: &PassCost| pass.time().picos() + pass.launches;
            let times = t(&node.forward) + t(&node.backward) + t(&node.selective);
            let times = times + t(&node.again);
            let bytes = node.saved + node.core_saved + node.rebuilt;
            let trained = node.parameters - node.frozen_parameters;
            times + bytes + node.parameters + trained + node.reduced_parameters
        });
        assert_eq!(c[DIMENSIONS - 1], node.workspace);
    }
}
