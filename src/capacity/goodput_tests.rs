//! The formulas against brute force and against failures drawn by chance.

use super::goodput::{Interruptions, Shares, spare_nodes};
use crate::units::{PerDay, Seconds};
use proptest::prelude::*;

fn of(between: f64, checkpoint: f64, restart: f64) -> Interruptions {
    Interruptions {
        between_failures: Seconds::new(between),
        checkpoint: Seconds::new(checkpoint),
        restart: Seconds::new(restart),
    }
}

/// The best goodput over a fine grid of intervals, a quarter of a per cent apart.
fn brute_force(job: &Interruptions) -> f64 {
    let longest = 20.0 * job.between_failures.get();
    let mut interval = job.checkpoint.get() * 1e-2;
    let mut best = 0.0_f64;
    while interval < longest {
        best = best.max(job.goodput(Seconds::new(interval)));
        interval *= 1.0025;
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Daly's interval is within a thousandth of the best one, Young's within a hundredth, where a
    /// checkpoint takes up to a tenth of the time between failures.
    #[test]
    fn the_intervals_are_optimal(between in 600.0..1e7_f64, share in 1e-5..0.1_f64, restart in 0.0..3600.0_f64) {
        let job = of(between, between * share, restart);
        let best = brute_force(&job);
        prop_assert!(best > 0.0);
        let daly = job.goodput(job.daly());
        prop_assert!(daly >= best * 0.999, "Daly {daly}, best {best}");
        prop_assert!(daly <= best * (1.0 + 1e-5), "the grid is too coarse: Daly {daly}, best {best}");
        prop_assert!(job.goodput(job.young()) >= best * 0.99);
    }

    /// More failures, slower storage and longer restarts never help.
    #[test]
    fn goodput_is_monotone(between in 600.0..1e7_f64, share in 1e-5..0.5_f64, restart in 0.0..3600.0_f64, worse in 1.0..3.0_f64) {
        let best = |job: Interruptions| brute_force(&job);
        let base = best(of(between, between * share, restart));
        for other in [
            of(between / worse, between * share, restart),
            of(between, between * share * worse, restart),
            of(between, between * share, restart * worse),
        ] {
            prop_assert!(best(other) <= base * (1.0 + 1e-4));
        }
    }

    /// The shares are shares.
    #[test]
    fn shares_add_up(between in 10.0..1e8_f64, checkpoint in 0.1..1e5_f64, restart in 0.0..1e5_f64) {
        let job = of(between, checkpoint, restart);
        let s = Shares::of(&job, job.daly());
        let parts = [s.useful, s.checkpoints, s.restarts, s.lost];
        prop_assert!(parts.iter().all(|part| (0.0..=1.0 + 1e-9).contains(part)), "{s:?}");
        prop_assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{s:?}");
    }

    /// One spare fewer would not do.
    #[test]
    fn spares_are_the_fewest(rate in 0.001..200.0_f64, repair in 600.0..5e5_f64) {
        let mean: f64 = rate * repair / 86_400.0;
        let spares = spare_nodes(PerDay::new(rate), Seconds::new(repair), 0.99);
        let at_most = |most: u64| -> f64 {
            let term = |k: u64| (1..=k).fold(-mean, |log, i| log + mean.ln() - (i as f64).ln()).exp();
            (0..=most).map(term).sum()
        };
        prop_assert!(at_most(spares) >= 0.99 - 1e-9);
        prop_assert!(spares == 0 || at_most(spares - 1) < 0.99);
    }
}

/// Steele, Lea and Flood 2014 (SplitMix64): enough for draws of a test.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }
}

/// Lives through failures one by one: the shares of a run of `segments` checkpoint intervals.
fn simulated(job: &Interruptions, interval: f64, segments: u64, draws: &mut Draws) -> Shares {
    let m = job.between_failures.get();
    let (mut checkpoints, mut restarts, mut lost) = (0.0, 0.0, 0.0);
    let mut until_failure = draws.exponential(m);
    for _ in 0..segments {
        let need = interval + job.checkpoint.get();
        while until_failure < need {
            lost += until_failure;
            until_failure = draws.exponential(m);
            while until_failure < job.restart.get() {
                restarts += until_failure;
                until_failure = draws.exponential(m);
            }
            restarts += job.restart.get();
            until_failure -= job.restart.get();
        }
        until_failure -= need;
        checkpoints += job.checkpoint.get();
    }
    let useful = segments as f64 * interval;
    let all = useful + checkpoints + restarts + lost;
    Shares {
        useful: useful / all,
        checkpoints: checkpoints / all,
        restarts: restarts / all,
        lost: lost / all,
    }
}

#[test]
fn failures_drawn_by_chance_cost_what_the_formula_says() {
    let mut draws = Draws(42);
    for (between, checkpoint, restart) in [
        (3.1 * 3600.0, 60.0, 900.0),
        (48.0 * 3600.0, 300.0, 1800.0),
        (3600.0, 120.0, 600.0),
        (1200.0, 100.0, 900.0),
    ] {
        let job = of(between, checkpoint, restart);
        let interval = job.daly();
        let drawn = simulated(&job, interval.get(), 400_000, &mut draws);
        let said = Shares::of(&job, interval);
        let close = |a: f64, b: f64| (a - b).abs() < 0.005;
        assert!(close(drawn.useful, said.useful), "{drawn:?} {said:?}");
        assert!(close(drawn.checkpoints, said.checkpoints), "{drawn:?} {said:?}");
        assert!(close(drawn.restarts, said.restarts), "{drawn:?} {said:?}");
        assert!(close(drawn.lost, said.lost), "{drawn:?} {said:?}");
    }
}

#[test]
fn nothing_fails_where_nothing_can() {
    let at =
        |rate| Interruptions::of_job(PerDay::new(rate), 64, Seconds::new(1.0), Seconds::new(1.0));
    assert!(at(0.0).is_none());
    assert_eq!(at(1.0).map(|job| job.between_failures.get()), Some(86_400.0 / 64.0));
    assert_eq!(spare_nodes(PerDay::ZERO, Seconds::new(86_400.0), 0.99), 0);
    // A job that fails more often than it can restart never ends, and says so without a panic.
    assert!(of(1.0, 1e6, 1e6).goodput(Seconds::new(1.0)) < 1e-12);
}
