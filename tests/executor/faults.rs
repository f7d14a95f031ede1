//! What goes wrong on purpose is noticed: collectives that are left out, ranks that die or hang.

use crate::common::{SHAPES, Shape, model, plan, run, run_here, task};
use lmplan::executor::ranks::fault::{Fault, GroupKind};
use lmplan::executor::run::rank::In16Bits;
use lmplan::executor::verify::compare::NOT_REACHED;
use lmplan::plan::Batch;
use lmplan::spec::Precision;
use std::time::{Duration, Instant};

/// Leaves out each collective of a step in turn: how many there are. Those that are `idle` change
/// nothing.
fn each_is_noticed(name: &str, shape: Shape, kind: GroupKind, idle: &[u64]) -> u64 {
    for before in 0.. {
        // Two micro-batches, of sequences enough for no sum to be right by chance.
        let mut plan = plan(shape, 2);
        plan.batch = Batch { global: 8 * plan.parallelism.data, micro: 4 };
        let mut task = task(model(name, 2), plan, true);
        task.fault = Some(Fault::Collective(kind, before));
        let is_idle = idle.contains(&before);
        match run_here(&task) {
            Ok(found) => assert_eq!(
                found.passed(),
                is_idle,
                "{name} {shape:?} without {kind:?} {before}: {found:?}"
            ),
            Err(error) if error.to_string().contains(NOT_REACHED) => return before,
            Err(error) => panic!("{name} {shape:?} {kind:?} {before}: {error}"),
        }
    }
    unreachable!()
}

#[test]
fn every_collective_of_tensor_parallel_ranks_counts() {
    for (name, shape, least) in
        [("gpt2-124m", SHAPES[0], 20), ("gpt2-124m", SHAPES[1], 40), ("bert-base", SHAPES[1], 40)]
    {
        let all = each_is_noticed(name, shape, GroupKind::Tensor, &[]);
        assert!(all >= least, "{name} {shape:?}: {all}");
    }
}

#[test]
fn every_collective_of_other_ranks_counts() {
    for (shape, idle, count) in [
        (SHAPES[3], &[][..], 4),
        (SHAPES[4], &[], 8),
        (SHAPES[5], &[], 12),
        // The backward pass of the embedding collects a table that it does not read, as sharded
        // data parallelism does without looking.
        (SHAPES[6], &[10, 22], 24),
    ] {
        assert_eq!(each_is_noticed("gpt2-124m", shape, GroupKind::Data, idle), count, "{shape:?}");
    }
    assert_eq!(each_is_noticed("gpt2-124m", SHAPES[2], GroupKind::Tied, &[]), 1);
    assert_eq!(each_is_noticed("bert-base", SHAPES[12], GroupKind::World, &[]), 1);
}

#[test]
fn messages_between_stages_count() {
    for action in ["receive", "send"] {
        let mut task = task(model("gpt2-124m", 2), plan(SHAPES[2], 2), true);
        (task.fault, task.patience_s) = (Some(Fault::Skip(action.to_owned())), 2.0);
        assert!(run(&task).is_err(), "without {action}");
    }
}

#[test]
fn what_is_left_out_is_noticed() {
    for (shape, action) in [
        (SHAPES[1], "reduce_over_tensor"),
        (SHAPES[2], "sum_tied"),
        (SHAPES[3], "reduce_over_data"),
        (SHAPES[4], "gather_parameters"),
        (SHAPES[0], "gradient_norm"),
        (SHAPES[0], "optimizer"),
    ] {
        let mut task = task(model("gpt2-124m", 2), plan(shape, 2), true);
        task.fault = Some(Fault::Skip(action.to_owned()));
        let found = run_here(&task).unwrap();
        assert!(!found.passed(), "without {action}: {found:?}");
    }
}

#[test]
fn a_rank_that_fails_ends_the_run_with_its_reason() {
    for (fault, reason) in [
        (Fault::Die(1), "rank 1 ended"),
        (Fault::Hang(1), "rank 1 hangs"),
        (Fault::Memory(1), "memory"),
    ] {
        let mut task = task(model("gpt2-124m", 2), plan((2, 1, 1, 1, false, 0, 0), 2), true);
        task.fault = Some(fault.clone());
        let start = Instant::now();
        let error = run(&task).unwrap_err().to_string();
        assert!(error.contains(reason), "{fault:?}: {error}");
        assert!(start.elapsed() < Duration::from_secs(15), "{fault:?}: {:?}", start.elapsed());
    }
}

#[test]
fn what_needs_32_bits_is_noticed_in_16() {
    let bf16 = Precision::Bf16Mixed;
    for (fault, shape, precision, noticed) in [
        (In16Bits::Accumulate, SHAPES[0], bf16, "sum"),
        (In16Bits::Accumulate, SHAPES[5], bf16, "sum"),
        (In16Bits::Reduce, SHAPES[3], bf16, "sum"),
        (In16Bits::Reduce, SHAPES[4], Precision::Fp16Mixed, "sum"),
        (In16Bits::Master, SHAPES[1], bf16, "update"),
        (In16Bits::Master, SHAPES[6], Precision::Fp16Mixed, "update"),
        (In16Bits::Scale, SHAPES[2], Precision::Fp16Mixed, "update"),
    ] {
        let mut task = task(model("gpt2-124m", 2), plan(shape, 2), true);
        (task.double, task.precisions) = (false, vec![Precision::Fp32, precision]);
        task.fault = Some(Fault::In16Bits(fault));
        let found = run_here(&task).unwrap();
        let in_32_bits = found.in_32_bits.unwrap();
        assert!(in_32_bits.passed, "{fault:?}: {in_32_bits:?}");
        let found = found.in_16_bits.unwrap();
        assert!(!found.passed, "{fault:?} {shape:?}: {found:?}");
        let (sums, updates) = (found.kept.sum_max_error, found.kept.update_max_error);
        let [wrong, right] = if noticed == "sum" { [sums, updates] } else { [updates, sums] };
        assert!(wrong > found.tolerance && right <= found.tolerance, "{fault:?}: {found:?}");
    }
}
