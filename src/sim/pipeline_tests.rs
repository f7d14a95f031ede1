//! Closed forms and properties of the pipeline.

use super::pipeline::*;
use crate::lower::{ChunkTimes, Links, Pipeline, StageTimes};
use crate::spec::ScheduleKind;
use crate::units::SimTime;
use proptest::prelude::*;

fn uniform(p: u64, v: u64, forward: u64, backward: u64) -> Vec<StageTimes> {
    let chunk = ChunkTimes {
        forward: SimTime::from_picos(forward),
        first_forward: SimTime::from_picos(forward),
        backward: SimTime::from_picos(backward),
        last_backward: SimTime::from_picos(backward),
        reduce_tail: SimTime::ZERO,
    };
    let stage = StageTimes { chunks: vec![chunk; v as usize], optimizer: SimTime::ZERO };
    vec![stage; p as usize]
}

fn links(p: u64, hop: u64, blocking: bool) -> Links {
    Links { hops: vec![SimTime::from_picos(hop); p as usize], blocking, ..Links::default() }
}

fn end(
    schedule: ScheduleKind,
    (p, v, m): (u64, u64, u64),
    stages: &[StageTimes],
    links: &Links,
) -> (u64, PathRow) {
    let pipeline = Pipeline { schedule, stages: p, chunks: v, micro_batches: m };
    let structure = Structure::new(pipeline).expect("runs");
    let mut run = Run::default();
    structure.run(stages, links, &mut run);
    (run.end.picos(), structure.critical_path(stages, links, &run))
}

fn row_value(row: &PathRow, stages: &[StageTimes], links: &Links) -> u64 {
    let stages: SimTime =
        stages.iter().enumerate().map(|(q, times)| row.stage_value(q, times)).sum();
    (stages + row.link_value(links)).picos()
}

#[test]
fn bubble_of_equal_stages_is_the_closed_form() {
    // Without transfers: (m + p - 1) (f + b), and (m + (p - 1) / v) (f + b) interleaved
    // (Narayanan et al. 2021, §2.2).
    for (p, m) in [(1, 5), (2, 2), (4, 8), (8, 32), (5, 7), (8, 3)] {
        for schedule in [ScheduleKind::OneFOneB, ScheduleKind::Gpipe] {
            let (time, _) = end(schedule, (p, 1, m), &uniform(p, 1, 100, 200), &links(p, 0, false));
            assert_eq!(time, (m + p - 1) * 300, "{schedule:?} p={p} m={m}");
        }
    }
    for (p, v, m) in [(2, 2, 4), (4, 3, 8), (4, 2, 4), (8, 6, 64)] {
        let stages = uniform(p, v, 100, 200);
        let (time, _) = end(ScheduleKind::Interleaved, (p, v, m), &stages, &links(p, 0, false));
        assert_eq!(time, (m * v + p - 1) * 300, "p={p} v={v} m={m}");
    }
}

#[test]
fn transfers_lengthen_the_period_of_one_f_one_b() {
    // With p forwards in flight a round trip of p (f + b) + 2 c (p - 1) serves p micro-batches.
    let (p, k) = (4, 5);
    let m = p * k + 1;
    let (time, _) =
        end(ScheduleKind::OneFOneB, (p, 1, m), &uniform(p, 1, 100, 200), &links(p, 10, false));
    assert_eq!(time, (k + 1) * (p * 300 + 2 * 10 * (p - 1)));
}

fn random_stages(p: usize, v: usize) -> impl Strategy<Value = Vec<StageTimes>> {
    let chunk = (1u64..100, 0u64..30, 1u64..200, 0u64..30, 0u64..50).prop_map(|(f, g, b, r, t)| {
        ChunkTimes {
            forward: SimTime::from_picos(f),
            first_forward: SimTime::from_picos(f + g),
            backward: SimTime::from_picos(b),
            last_backward: SimTime::from_picos(b + r),
            reduce_tail: SimTime::from_picos(t),
        }
    });
    let stage = (prop::collection::vec(chunk, v), 0u64..50).prop_map(|(chunks, optimizer)| {
        StageTimes { chunks, optimizer: SimTime::from_picos(optimizer) }
    });
    prop::collection::vec(stage, p)
}

/// Two sets of durations for one shape of pipeline.
fn case()
-> impl Strategy<Value = (ScheduleKind, u64, u64, u64, Vec<StageTimes>, Vec<StageTimes>, Links)> {
    let shape = prop_oneof![
        (1u64..6, 1u64..9).prop_map(|(p, m)| (ScheduleKind::OneFOneB, p, 1, m)),
        (1u64..6, 1u64..9).prop_map(|(p, m)| (ScheduleKind::Gpipe, p, 1, m)),
        (2u64..5, 2u64..4, 1u64..4).prop_map(|(p, v, k)| (ScheduleKind::Interleaved, p, v, k * p)),
    ];
    (shape, any::<bool>(), 0u64..40, 0u64..40).prop_flat_map(
        |((schedule, p, v, m), blocking, tied, norm)| {
            let links = prop::collection::vec(0u64..30, p as usize).prop_map(move |hops| Links {
                hops: hops.into_iter().map(SimTime::from_picos).collect(),
                blocking,
                tied_reduce: SimTime::from_picos(tied),
                gradient_norm: SimTime::from_picos(norm),
            });
            let stages = || random_stages(p as usize, v as usize);
            (Just(schedule), Just(p), Just(v), Just(m), stages(), stages(), links)
        },
    )
}

proptest! {
    /// The critical path's row equals the simulated time for the durations that it was found
    /// with, and is never above it for any others: the planner's cuts are valid and tight.
    #[test]
    fn critical_path_is_a_tight_and_valid_bound((schedule, p, v, m, a, b, links) in case()) {
        let (time, row) = end(schedule, (p, v, m), &a, &links);
        prop_assert_eq!(row_value(&row, &a, &links), time);
        let (other, _) = end(schedule, (p, v, m), &b, &links);
        prop_assert!(row_value(&row, &b, &links) <= other);
    }

    /// No stage does two things at once, and no step starts before its input is there.
    #[test]
    fn steps_of_a_stage_never_overlap((schedule, p, v, m, a, _b, links) in case()) {
        let pipeline = Pipeline { schedule, stages: p, chunks: v, micro_batches: m };
        let structure = Structure::new(pipeline).expect("runs");
        let mut run = Run::default();
        structure.run(&a, &links, &mut run);
        let mut free = vec![SimTime::ZERO; p as usize];
        for (stage, _, start, end) in structure.spans(&a, &links, &run) {
            prop_assert!(start >= free[stage as usize]);
            free[stage as usize] = end;
        }
        let busiest = a.iter().map(|stage| {
            let one = |c: &ChunkTimes| c.forward * (m - 1) + c.first_forward
                + c.backward * (m - 1) + c.last_backward;
            stage.chunks.iter().map(one).sum::<SimTime>()
        });
        prop_assert!(busiest.max().unwrap_or_default() <= run.end);
    }
}
