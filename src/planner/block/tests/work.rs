//! What is costed is what is written out, and the ranks together do the work of the model.

use super::*;
use crate::sharding::pass::cost_of;
use crate::sharding::{Beside, Instruction, OperatorGroup, Overlap};
use crate::spec::TensorOverlap;

/// Floating-point operations of a block's forward pass, from its dimensions.
fn logical_flops(graph: &Graph, block: &Block, b: u64) -> f64 {
    let of = |op: &Op| match op.kind {
        OpKind::Linear { input, output, .. } => 2 * op.rows * input * output,
        OpKind::Attention { heads, head_dim, .. } => 4 * op.rows * op.rows * heads * head_dim,
        _ => 0,
    };
    block.ops.iter().map(|&node| of(&graph.dag[node]) * b).sum::<u64>() as f64
}

#[test]
fn ranks_share_the_work_of_the_model() {
    for (kind, dims) in [(Kind::Gpt, GPT3_175B), (Kind::Llama, LLAMA2_70B), (Kind::Bert, SMALL)] {
        let (graph, stack) = (model(kind, dims), stack(true, false));
        for (t, boundary) in [
            (1, Layout::Replicated),
            (2, Layout::Replicated),
            (8, Layout::Replicated),
            (8, Layout::Sequence),
        ] {
            let context = context(&stack, t, 3);
            let block = &graph.blocks[1];
            let option = megatron_option(&graph, block, &context, boundary, &nvlink(t)).unwrap();
            let flops = logical_flops(&graph, block, 3);
            assert_eq!(option.forward.flops * t as f64, flops, "{kind:?} {t}");
            assert_eq!(option.backward.flops * t as f64, 2.0 * flops, "{kind:?} {t}");
        }
    }
}

#[test]
fn every_sharding_does_its_part_of_the_work() {
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(true, false));
    let (t, b) = (4, 2);
    let context = context(&stack, t, b);
    let priced =
        PricedBlock::new(&graph, &graph.blocks[1], &context, Layout::Replicated, &Free).unwrap();
    for (op, shardings) in priced.structure.shardings.iter().enumerate() {
        let whole = cost_of(&shardings[0].forward, &Free).flops;
        for sharding in &shardings[1..] {
            let part = cost_of(&sharding.forward, &Free).flops;
            assert_eq!(part * t as f64, whole, "operator {op}: {}", sharding.strategy);
            let backward = cost_of(&sharding.backward, &Free).flops;
            assert_eq!(backward * t as f64, 2.0 * whole, "operator {op}: {}", sharding.strategy);
        }
    }
}

/// Ranks share an adapter's work as far as they share its rows or columns, and B's or A's where
/// neither is: with frozen weights no product for their gradients is left.
#[test]
fn frozen_layers_do_two_products_and_adapters_six() {
    let (whole, stack) = (model(Kind::Gpt, SMALL), stack(true, false));
    let graph = with_adapters(whole.clone(), 8);
    let context = context(&stack, 4, 2);
    let priced = |graph| {
        let block = &whole.blocks[1];
        PricedBlock::new(graph, block, &context, Layout::Replicated, &Free)
            .unwrap()
            .structure
            .shardings
    };
    for (op, (full, lora)) in priced(&whole).iter().zip(&priced(&graph)).enumerate() {
        for (full, lora) in full.iter().zip(lora) {
            let [forward, backward] =
                [&lora.forward, &lora.backward].map(|l| cost_of(l, &Free).flops);
            let own = cost_of(&full.forward, &Free).flops;
            if full.parameters == 0 || own == 0.0 {
                continue;
            }
            let adapters = forward - own;
            assert_eq!(backward, own + 2.0 * adapters, "operator {op}: {}", full.strategy);
            assert_eq!(lora.frozen_parameters, full.parameters, "operator {op}");
            assert_eq!(adapters > 0.0, lora.parameters > full.parameters, "operator {op}");
        }
    }
}

struct Free;
impl InstructionCost for Free {
    fn launch(&self) -> SimTime {
        SimTime::from_picos(6_000_000)
    }

    fn kernel(&self, _: &Kernel) -> SimTime {
        SimTime::ZERO
    }
    fn collective(&self, _: Collective, _: Bytes, _: Group) -> SimTime {
        SimTime::ZERO
    }
}

#[test]
fn options_cost_what_their_instructions_cost() {
    let kinds = [Kind::Gpt, Kind::Llama, Kind::Bert].map(|kind| model(kind, SMALL));
    for graph in kinds.into_iter().flat_map(|whole| [whole.clone(), with_adapters(whole, 8)]) {
        let overlaps = [TensorOverlap::None, TensorOverlap::Backward, TensorOverlap::All];
        for ((fused, flash), overlap_tensor_parallel) in
            [(false, false), (true, false), (true, true)].into_iter().zip(overlaps)
        {
            let stack = StackSpec { overlap_tensor_parallel, ..stack(fused, flash) };
            let context = context(&stack, 4, 2);
            let cost = nvlink(4);
            for block in &graph.blocks {
                for boundary in [Layout::Replicated, Layout::Sequence] {
                    let options = block_options(&graph, block, &context, boundary, &cost);
                    assert!(!options.is_empty());
                    for option in options {
                        let names = &option.strategies;
                        let program =
                            instructions(&graph, block, &context, boundary, names).unwrap();
                        assert_eq!(cost_of(&program.forward, &cost), option.forward);
                        assert_eq!(cost_of(&program.backward, &cost), option.backward);
                        let recompute = program.recompute.map(|list| cost_of(&list, &cost));
                        assert_eq!(recompute, option.recompute);
                        let again =
                            evaluate(&graph, block, &context, boundary, &cost, names).unwrap();
                        assert_eq!(again, option);
                    }
                }
            }
        }
    }
}

/// Megatron's collectives of a layer (Shoeybi et al. 2019, fig. 4; Korthikanti et al. 2022, fig. 5).
#[test]
fn megatron_communicates_as_published() {
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(true, true));
    let context = context(&stack, 4, 1);
    let count = |boundary| {
        let block = &graph.blocks[1];
        let names = megatron_strategies(&graph, block, &context, boundary).unwrap();
        let program = instructions(&graph, block, &context, boundary, &names).unwrap();
        [program.forward, program.backward].map(|list| {
            let mut found = Vec::new();
            for instruction in list {
                if let Instruction::Communicate { collective, bytes, .. } = instruction {
                    assert_eq!(bytes.get(), 2 * SMALL.s * SMALL.h);
                    found.push(collective);
                }
            }
            found
        })
    };
    use Collective::{AllGather, AllReduce, ReduceScatter};
    assert_eq!(count(Layout::Replicated), [vec![AllReduce; 2], vec![AllReduce; 2]]);
    let forward = vec![AllGather, ReduceScatter, AllGather, ReduceScatter];
    let half = [AllGather, AllGather, ReduceScatter];
    assert_eq!(count(Layout::Sequence), [forward, [half, half].concat()]);
}

/// Ring attention sends keys and values round, and every operator works on its rank's rows.
#[test]
fn context_parallel_ranks_share_rows_and_exchange_keys() {
    let (graph, stack) = (model(Kind::Llama, SMALL), stack(true, true));
    let whole = context(&stack, 1, 1);
    let ring = ShardContext { context: 2, ..whole };
    let block = &graph.blocks[1];
    let program = |context: &ShardContext| {
        let names = megatron_strategies(&graph, block, context, Layout::Replicated).unwrap();
        instructions(&graph, block, context, Layout::Replicated, &names).unwrap()
    };
    let flops = |list: &[Instruction]| cost_of(list, &Free).flops;
    for (one, half) in [
        (program(&whole).forward, program(&ring).forward),
        (program(&whole).backward, program(&ring).backward),
    ] {
        assert_eq!(flops(&one), 2.0 * flops(&half));
        let groups = half.iter().filter_map(|instruction| match instruction {
            Instruction::Communicate { group, .. } => Some(*group),
            Instruction::Compute { .. } => None,
        });
        assert_eq!(groups.collect::<Vec<_>>(), [OperatorGroup::Context]);
    }
}

#[test]
fn a_collective_beside_a_kernel_adds_what_is_left_of_it() {
    let time = SimTime::from_picos;
    let split = |overlap: Overlap, c, k| {
        let (exposed, both) = overlap.split(time(c), time(k));
        (exposed.picos(), both.picos())
    };
    assert_eq!(split(Overlap::whole(Beside::Next), 60, 100), (0, 60));
    assert_eq!(split(Overlap::whole(Beside::Next), 160, 100), (60, 100));
    // One part of four stands alone; the others run beside three quarters of the kernel.
    assert_eq!(split(Overlap::in_parts(Beside::Previous, 4), 80, 100), (20, 60));
    assert_eq!(split(Overlap::in_parts(Beside::Previous, 4), 200, 100), (125, 75));
    assert_eq!(split(Overlap::ring(2), 40, 100), (0, 40));
    assert_eq!(split(Overlap::ring(2), 80, 100), (30, 50));
}

#[test]
fn offered_strategies_divide() {
    let stack = stack(false, false);
    // 6 ranks divide neither heads nor rows; 16 divide rows but not the 8 heads.
    for (t, heads, sequence) in [(6, false, false), (16, false, true), (8, true, true)] {
        let graph = model(Kind::Gpt, SMALL);
        let context = context(&stack, t, 1);
        let priced =
            PricedBlock::new(&graph, &graph.blocks[1], &context, Layout::Replicated, &Free)
                .unwrap();
        let names: Vec<Strategy> =
            priced.structure.shardings.iter().flatten().map(|s| s.strategy).collect();
        assert_eq!(names.contains(&Strategy::Heads), heads, "{t}");
        assert_eq!(names.contains(&Strategy::Sequence), sequence, "{t}");
        let boundary = evaluate(
            &graph,
            &graph.blocks[1],
            &context,
            Layout::Sequence,
            &Free,
            &[Strategy::Replicated; 10],
        );
        assert_eq!(boundary.is_ok(), sequence, "{t}");
    }
}

#[test]
fn refuses_with_a_reason() {
    let (graph, stack) = (model(Kind::Gpt, SMALL), stack(true, true));
    let block = &graph.blocks[1];
    let refuse = |context: &ShardContext, boundary, names: &[Strategy]| {
        evaluate(&graph, block, context, boundary, &Free, names).unwrap_err().to_string()
    };
    let good = context(&stack, 4, 1);
    let mut names = [Strategy::Replicated; 10];
    assert!(
        refuse(&good, Layout::Replicated, &names[1..]).contains("9 strategies for a block of 10")
    );
    names[2] = Strategy::Column;
    assert_eq!(
        refuse(&good, Layout::Replicated, &names),
        "operator `attention.core` has no strategy `column` here: it has replicated, heads"
    );
    assert!(refuse(&good, Layout::Feature, &[Strategy::Replicated; 10]).contains("Feature"));
    let ring = ShardContext { context: 3, ..good };
    assert!(
        refuse(&ring, Layout::Replicated, &[Strategy::Replicated; 10]).contains("context-parallel")
    );
    assert!(block_options(&graph, block, &ring, Layout::Replicated, &Free).is_empty());
    let none = ShardContext { tensor: 0, ..good };
    assert!(refuse(&none, Layout::Replicated, &[Strategy::Replicated; 10]).contains("at least 1"));
    // With one rank all strategies mean the same.
    let one = context(&stack, 1, 1);
    names[2] = Strategy::Heads;
    assert!(evaluate(&graph, block, &one, Layout::Replicated, &Free, &names).is_ok());
}
