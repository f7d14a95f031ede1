//! Saved bytes of a GPT layer: Korthikanti et al. 2022, equations 1, 2 and 4 and table 2.

use super::*;
use crate::sharding::PassCost;
use crate::sharding::pass::cost_of;

/// Saved bytes of Megatron's sharding of a GPT layer, by recomputation, in units of s·b·h.
fn megatron_saved(dims: Dims, t: u64, b: u64, boundary: Layout, flash: bool) -> [f64; 3] {
    let (graph, stack) = (model(Kind::Gpt, dims), stack(false, flash));
    let context = context(&stack, t, b);
    let option = megatron_option(&graph, &graph.blocks[1], &context, boundary, &nvlink(t)).unwrap();
    option.saved.map(|bytes| bytes.as_f64() / (dims.s * b * dims.h) as f64)
}

fn attention_term(dims: Dims) -> f64 {
    5.0 * (dims.a * dims.s) as f64 / dims.h as f64
}

#[test]
fn one_rank_saves_as_equation_1() {
    for (dims, b) in [(GPT3_175B, 1), (SMALL, 3)] {
        let core = attention_term(dims);
        assert_eq!(megatron_saved(dims, 1, b, Layout::Replicated, false), [34.0 + core, 34.0, 2.0]);
        // Fused attention keeps no scores.
        assert_eq!(megatron_saved(dims, 1, b, Layout::Replicated, true), [34.0, 34.0, 2.0]);
    }
}

#[test]
fn tensor_parallel_saves_as_equation_2() {
    for t in [2, 4, 8] {
        let core = attention_term(GPT3_175B) / t as f64;
        let rest = 10.0 + 24.0 / t as f64;
        assert_eq!(
            megatron_saved(GPT3_175B, t, 2, Layout::Replicated, false),
            [rest + core, rest, 2.0]
        );
    }
}

#[test]
fn sequence_parallel_saves_as_equation_4() {
    for t in [2, 4, 8] {
        let core = attention_term(GPT3_175B) / t as f64;
        let rest = 34.0 / t as f64;
        assert_eq!(
            megatron_saved(GPT3_175B, t, 1, Layout::Sequence, false),
            [rest + core, rest, 2.0 / t as f64]
        );
    }
}

#[test]
fn head_saves_as_equation_6() {
    // Norm and product 2·s·b·h each, logits in 32 bits 4·s·b·v, all over t under sequence
    // parallelism (§4.3).
    let (graph, stack) = (model(Kind::Gpt, GPT3_175B), stack(false, false));
    let Dims { s, h, v, .. } = GPT3_175B;
    let context = context(&stack, 8, 1);
    let cost = nvlink(8);
    let option =
        megatron_option(&graph, &graph.blocks[2], &context, Layout::Sequence, &cost).unwrap();
    assert_eq!(option.saved[0].get(), (4 * s * h + 4 * s * v) / 8);
}

#[test]
fn full_recomputation_rebuilds_what_it_dropped() {
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(true, false));
    for boundary in [Layout::Replicated, Layout::Sequence] {
        let context = context(&stack, 4, 2);
        let cost = nvlink(4);
        for option in block_options(&graph, &graph.blocks[1], &context, boundary, &cost) {
            let [none, selective, full] = option.saved;
            assert!(full < selective && selective < none, "{option:?}");
            // All that is kept is rebuilt, except the input that was kept all along.
            let rebuilt = option.transient[2] - option.transient[0];
            assert!(rebuilt == none || rebuilt + full == none, "{option:?}");
            assert_eq!(option.transient[1] - option.transient[0], none - selective);
            assert_eq!(option.recompute[2], option.forward);
            assert_eq!(option.recompute[0], PassCost::default());
            assert!(option.recompute[1].compute > SimTime::ZERO);
        }
    }
}

/// Recomputation that stops early leaves out the last product and the residual sum after it, which
/// keep nothing; a dropout there keeps its mask and is made again.
#[test]
fn early_stops_leave_out_what_nothing_is_kept_of() {
    let early = StackSpec { recompute_stops_early: true, ..stack(true, true) };
    for (kind, left_out) in [(Kind::Llama, true), (Kind::Gpt, false)] {
        let graph = model(kind, SMALL);
        let block = &graph.blocks[1];
        for (t, boundary) in [(1, Layout::Replicated), (4, Layout::Sequence)] {
            let context = context(&early, t, 2);
            let options = block_options(&graph, block, &context, boundary, &nvlink(t));
            for option in &options {
                let program =
                    instructions(&graph, block, &context, boundary, &option.strategies).unwrap();
                let again = cost_of(&program.recompute[2], &nvlink(t));
                assert_eq!(option.recompute[2], again);
                let code = block_code(&graph, block, &context, boundary, &option.strategies);
                let code = code.unwrap();
                let skipped: Vec<&str> = code
                    .operators
                    .iter()
                    .filter(|operator| !operator.repeated)
                    .map(|operator| operator.op.name.as_str())
                    .collect();
                let last: Vec<&str> = code.operators[code.operators.len() - 2..]
                    .iter()
                    .map(|operator| operator.op.name.as_str())
                    .collect();
                assert_eq!(skipped, if left_out { last } else { Vec::new() });
                assert_eq!(option.recompute[2].flops < option.forward.flops, left_out);
            }
            // No option is lost to the comparison by what is left out.
            let least = |options: &[BlockOption]| {
                options.iter().map(|option| option.recompute[2].time()).min().unwrap()
            };
            let late = stack(true, true);
            let whole =
                block_options(&graph, block, &super::context(&late, t, 2), boundary, &nvlink(t));
            assert!(least(&options) <= least(&whole));
        }
    }
}

#[test]
fn parameters_add_up() {
    let Dims { s, h, f, v, .. } = SMALL;
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(true, true));
    let layer = 4 * h * h + 2 * h * f + 9 * h + f;
    let megatron = |block: usize, t: u64, boundary| {
        let context = context(&stack, t, 1);
        megatron_option(&graph, &graph.blocks[block], &context, boundary, &nvlink(t)).unwrap()
    };
    assert_eq!(megatron(1, 1, Layout::Replicated).parameters, layer);
    // Norms and the biases of row-parallel layers are whole on every rank.
    let whole = 6 * h;
    for boundary in [Layout::Replicated, Layout::Sequence] {
        let option = megatron(1, 4, boundary);
        assert_eq!(option.parameters, (layer - whole) / 4 + whole);
        let reduced = if boundary == Layout::Sequence { whole } else { 0 };
        assert_eq!(option.tensor_reduced_parameters, reduced);
        assert_eq!(megatron(0, 4, boundary).parameters, v / 4 * h + s * h);
        let head = megatron(2, 4, boundary);
        assert_eq!((head.parameters, head.tied_parameters), (v / 4 * h + 2 * h, v / 4 * h));
    }
}
