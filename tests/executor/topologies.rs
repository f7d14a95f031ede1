//! Every combination of ways, sequence parallelism, recomputation, optimizer sharding and schedule
//! on up to four ranks, each a thread, against one device.

use crate::common::{Shape, assert_equal, model, plan, task};
use lmplan::spec::{Precision, ScheduleKind};

/// Shapes with their schedules: what plays no part in a topology is not varied.
fn combinations() -> Vec<(Shape, ScheduleKind)> {
    use ScheduleKind::{Gpipe, Interleaved, OneFOneB};
    let mut all = Vec::new();
    let topologies = (0..8).map(|bits| (1 + (bits & 1), 1 + (bits >> 1 & 1), 1 + (bits >> 2 & 1)));
    for (t, p, d) in topologies.filter(|(t, p, d)| t * p * d <= 4) {
        let schedules: &[ScheduleKind] =
            if p > 1 { &[OneFOneB, Interleaved, Gpipe] } else { &[OneFOneB] };
        for schedule in schedules {
            let v = if *schedule == Interleaved { 2 } else { 1 };
            for sequence_parallel in [false, true].into_iter().take(t as usize) {
                for zero in 0..if d > 1 { 4 } else { 1 } {
                    for recompute in 0..3 {
                        let shape = (t, p, d, v, sequence_parallel, zero, recompute);
                        all.push((shape, *schedule));
                    }
                }
            }
        }
    }
    all
}

fn every_combination(name: &str, precision: Precision) {
    let all = combinations();
    assert_eq!(all.len(), 108);
    for (shape, schedule) in all {
        let layers = shape.1 * shape.3.max(2);
        let mut model = model(name, layers);
        model.training.precision = precision;
        let mut plan = plan(shape, layers);
        plan.schedule = schedule;
        // Selective recomputation is that of the attention core, where it is not fused.
        let fused = shape.6 != 1;
        let mut task = task(model, plan, fused);
        task.double = false;
        assert_equal(&task, &format!("{name} {precision:?} {shape:?} {schedule:?}"));
    }
}

#[test]
fn gpt_in_32_bits() {
    every_combination("gpt2-124m", Precision::Fp32);
}

#[test]
fn gpt_in_16_bits() {
    every_combination("gpt2-124m", Precision::Bf16Mixed);
}

#[test]
fn bert_in_32_bits() {
    every_combination("bert-base", Precision::Fp32);
}

#[test]
fn bert_in_16_bits() {
    every_combination("bert-base", Precision::Bf16Mixed);
}
