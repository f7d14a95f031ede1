//! The order in which a stage runs the forward and backward passes of its chunks. Each schedule has a
//! file: its order, what it holds in flight, what of it every path contains.

mod gpipe;
mod interleaved;
mod one_f_one_b;
mod pipeline;

pub use pipeline::{InFlight, Pass, Pipeline, Step};

use crate::spec::ScheduleKind;

impl Pipeline {
    /// The steps of `stage`, in order: as many forwards as the schedule has before the first
    /// backward, then one of each in turn, then the backwards that are left.
    pub fn steps(&self, stage: u64) -> Vec<Step> {
        let total = self.micro_batches * self.chunks;
        let warm_up = self.warm_up(stage).min(total);
        let forward = |k: u64| self.unit(k, Pass::Forward);
        let backward = |k: u64| self.unit(k, Pass::Backward);
        let mut steps = Vec::with_capacity(2 * total as usize);
        steps.extend((0..warm_up).map(forward));
        for k in 0..total - warm_up {
            steps.push(forward(k + warm_up));
            steps.push(backward(k));
        }
        steps.extend((total - warm_up..total).map(backward));
        steps
    }

    /// Forwards of `stage` before its first backward is due, not limited by the work there is.
    fn warm_up(&self, stage: u64) -> u64 {
        match self.schedule {
            ScheduleKind::Gpipe => gpipe::warm_up(self),
            ScheduleKind::OneFOneB => one_f_one_b::warm_up(self, stage),
            ScheduleKind::Interleaved => interleaved::warm_up(self, stage),
        }
    }

    /// The `k`-th such pass of a stage.
    fn unit(&self, k: u64, pass: Pass) -> Step {
        match self.schedule {
            ScheduleKind::Interleaved => interleaved::unit(self, k, pass),
            ScheduleKind::Gpipe | ScheduleKind::OneFOneB => {
                Step { pass, chunk: 0, micro_batch: k as u32 }
            }
        }
    }

    /// Forwards of `stage` that lie, with all backwards but one, between the end of its first
    /// forward and backward and that of its last, on every path through the stage; none are known
    /// under interleaving.
    pub fn forwards_between(&self, stage: u64) -> Option<u64> {
        match self.schedule {
            ScheduleKind::Gpipe => Some(gpipe::forwards_between(self)),
            ScheduleKind::OneFOneB => Some(one_f_one_b::forwards_between(self, stage)),
            ScheduleKind::Interleaved => None,
        }
    }

    /// Where a chunk of a stage stands among all chunks of the model.
    pub fn virtual_stage(&self, stage: u64, chunk: u32) -> u64 {
        u64::from(chunk) * self.stages + stage
    }

    /// The stage whose result a step of `stage` starts from; none at the end of the model where
    /// such a pass begins.
    pub fn giver(&self, stage: u64, step: Step) -> Option<u64> {
        let at = self.virtual_stage(stage, step.chunk);
        match step.pass {
            Pass::Forward => (at > 0).then(|| (stage + self.stages - 1) % self.stages),
            Pass::Backward => self.after(at, stage),
        }
    }

    /// The stage that starts from the result of a step of `stage`; none at the end of the model
    /// where such a pass ends.
    pub fn taker(&self, stage: u64, step: Step) -> Option<u64> {
        let at = self.virtual_stage(stage, step.chunk);
        match step.pass {
            Pass::Forward => self.after(at, stage),
            Pass::Backward => (at > 0).then(|| (stage + self.stages - 1) % self.stages),
        }
    }

    fn after(&self, at: u64, stage: u64) -> Option<u64> {
        (at + 1 < self.stages * self.chunks).then(|| (stage + 1) % self.stages)
    }

    /// The hop over which the result of a step of `stage` leaves: hop q is between stage q and the
    /// next, in either direction.
    pub const fn hop(&self, stage: u64, pass: Pass) -> u64 {
        match pass {
            Pass::Forward => stage,
            Pass::Backward => (stage + self.stages - 1) % self.stages,
        }
    }

    /// The largest numbers of chunk activations that `stage` holds at once: the Pareto-maximal
    /// moments over the whole step. Without interleaving this is one number, min(m, p - q) under
    /// 1F1B and m under GPipe, with more than one stage.
    pub fn in_flight(&self, stage: u64) -> Vec<InFlight> {
        if self.chunks == 1 {
            let all = self.micro_batches.min(self.warm_up(stage).saturating_add(1));
            return vec![InFlight { all, first: all, last: all }];
        }
        interleaved::in_flight(self, stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(schedule: ScheduleKind, stages: u64, chunks: u64, micro_batches: u64) -> Pipeline {
        Pipeline { schedule, stages, chunks, micro_batches }
    }

    fn text(steps: &[Step]) -> String {
        let one = |s: &Step| {
            let letter = if s.pass == Pass::Backward { 'B' } else { 'F' };
            format!("{letter}{}.{}", s.chunk, s.micro_batch)
        };
        steps.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_f_one_b_alternates_after_the_warm_up() {
        let pipeline = pipeline(ScheduleKind::OneFOneB, 3, 1, 4);
        assert_eq!(text(&pipeline.steps(0)), "F0.0 F0.1 F0.2 B0.0 F0.3 B0.1 B0.2 B0.3");
        assert_eq!(text(&pipeline.steps(2)), "F0.0 B0.0 F0.1 B0.1 F0.2 B0.2 F0.3 B0.3");
        let held = |stage| pipeline.in_flight(stage).iter().map(|i| i.all).max();
        assert_eq!((held(0), held(2)), (Some(3), Some(1)));
    }

    #[test]
    fn one_stage_holds_one_micro_batch_whatever_the_schedule() {
        for schedule in [ScheduleKind::Gpipe, ScheduleKind::OneFOneB] {
            let pipeline = pipeline(schedule, 1, 1, 3);
            assert_eq!(text(&pipeline.steps(0)), "F0.0 B0.0 F0.1 B0.1 F0.2 B0.2");
            assert_eq!(pipeline.in_flight(0), [InFlight { all: 1, first: 1, last: 1 }]);
        }
    }

    #[test]
    fn interleaving_walks_the_chunks_in_groups() {
        let pipeline = pipeline(ScheduleKind::Interleaved, 2, 2, 4);
        assert_eq!(
            text(&pipeline.steps(1)),
            "F0.0 F0.1 F1.0 B1.0 F1.1 B1.1 F0.2 B0.0 F0.3 B0.1 F1.2 B1.2 F1.3 B1.3 B0.2 B0.3"
        );
    }

    #[test]
    fn every_pass_runs_once_and_forward_first() {
        for (schedule, p, v, m) in [
            (ScheduleKind::Gpipe, 4, 1, 6),
            (ScheduleKind::Gpipe, 1, 1, 4),
            (ScheduleKind::OneFOneB, 4, 1, 2),
            (ScheduleKind::OneFOneB, 5, 1, 9),
            (ScheduleKind::Interleaved, 4, 3, 8),
            (ScheduleKind::Interleaved, 4, 2, 4),
        ] {
            let pipeline = pipeline(schedule, p, v, m);
            for stage in 0..p {
                let steps = pipeline.steps(stage);
                assert_eq!(steps.len() as u64, 2 * m * v);
                let mut seen = vec![0; (m * v) as usize];
                for step in steps {
                    let slot =
                        &mut seen[step.chunk as usize * m as usize + step.micro_batch as usize];
                    assert_eq!(
                        *slot,
                        u8::from(step.pass == Pass::Backward),
                        "{schedule:?} stage {stage}"
                    );
                    *slot += 1;
                }
                assert!(seen.iter().all(|count| *count == 2));
            }
        }
    }

    #[test]
    fn more_groups_of_micro_batches_hold_no_more_at_once() {
        for (p, v) in [(2, 2), (2, 5), (3, 2), (4, 3), (5, 2), (8, 4)] {
            for stage in 0..p {
                let whole = pipeline(ScheduleKind::Interleaved, p, v, 9 * p);
                let mut sorted = whole.in_flight(stage);
                let mut all = interleaved::peaks(&whole, stage);
                let key = |peak: &InFlight| (peak.all, peak.first, peak.last);
                sorted.sort_by_key(key);
                all.sort_by_key(key);
                assert_eq!(sorted, all, "p {p}, v {v}, stage {stage}");
            }
        }
    }

    #[test]
    fn in_flight_equals_a_plain_count() {
        let pipeline = pipeline(ScheduleKind::Interleaved, 4, 3, 8);
        for stage in 0..4 {
            let (mut alive, mut most) = (0u64, 0);
            for step in pipeline.steps(stage) {
                alive = if step.pass == Pass::Backward { alive - 1 } else { alive + 1 };
                most = most.max(alive);
            }
            let peaks = pipeline.in_flight(stage);
            assert_eq!(peaks.iter().map(|peak| peak.all).max(), Some(most));
        }
    }
}
