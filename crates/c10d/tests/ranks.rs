//! Two real processes: this test starts itself again, once for each rank.

use lmplan_c10d::{Envelope, Group, Store, die_with_parent};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

const TIMEOUT: Duration = Duration::from_secs(20);

fn ones(value: f64, size: i64) -> Tensor {
    Tensor::full([size], value, (Kind::Double, Device::Cpu))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor).unwrap()
}

/// What every rank does; not a test of its own without the variables of [`two_processes`].
#[test]
fn rank() {
    let Ok(rank) = std::env::var("LMPLAN_TEST_RANK") else { return };
    assert!(die_with_parent());
    let rank: usize = rank.parse().unwrap();
    let port: u16 = std::env::var("LMPLAN_TEST_PORT").unwrap().parse().unwrap();
    let store = Store::tcp("127.0.0.1", port, false, TIMEOUT).unwrap();
    let group = Group::join(&store, "all", rank, 2, "127.0.0.1", TIMEOUT).unwrap();
    let own = 1.0 + rank as f64;
    for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
        let sum = ones(own, 4).to_kind(kind);
        group.all_reduce(&sum, false).unwrap();
        assert_eq!(numbers(&sum.to_kind(Kind::Double)), [3.0; 4], "{kind:?}");
        let most = ones(own, 4).to_kind(kind);
        group.all_reduce(&most, true).unwrap();
        assert_eq!(numbers(&most.to_kind(Kind::Double)), [2.0; 4]);
    }
    let all = ones(0.0, 4);
    group.all_gather(&all, &ones(own, 2)).unwrap();
    assert_eq!(numbers(&all), [1.0, 1.0, 2.0, 2.0]);
    let part = ones(0.0, 2);
    let mine = Tensor::arange(4, (Kind::Double, Device::Cpu)) * own;
    group.reduce_scatter(&part, &mine).unwrap();
    let first = 2.0 * rank as f64;
    assert_eq!(numbers(&part), [3.0 * first, 3.0 * (first + 1.0)]);
    let exchanged = ones(0.0, 4);
    group.all_to_all(&exchanged, &mine).unwrap();
    let at = |index: f64| [index, 2.0 * index];
    let (a, b) = (at(first), at(first + 1.0));
    assert_eq!(numbers(&exchanged), [a[0], b[0], a[1], b[1]]);
    let shared = ones(own, 2);
    group.broadcast(&shared, 1).unwrap();
    assert_eq!(numbers(&shared), [2.0; 2]);
    let other = Envelope { peer: 1 - rank, tag: 7, lane: 0 };
    let sending = group.send(ones(own, 3), other).unwrap();
    let received = ones(0.0, 3);
    group.receive(&received, other).unwrap();
    sending.wait().unwrap();
    assert_eq!(numbers(&received), [3.0 - own; 3]);
    assert!(group.all_gather(&ones(0.0, 5), &ones(own, 2)).is_err(), "sizes that do not match");
}

#[test]
fn two_processes() {
    let store = Store::tcp("127.0.0.1", 0, true, TIMEOUT).unwrap();
    let port = store.port().unwrap().to_string();
    let start = |rank: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["rank", "--exact", "--nocapture"])
            .env("LMPLAN_TEST_RANK", rank.to_string())
            .env("LMPLAN_TEST_PORT", &port)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let ranks: Vec<_> = (0..2).map(start).collect();
    for mut rank in ranks {
        assert!(rank.wait().unwrap().success());
    }
}

#[test]
fn a_rank_that_does_not_come_is_an_error_in_time() {
    let timeout = Duration::from_millis(1500);
    let store = Store::tcp("127.0.0.1", 0, true, timeout).unwrap();
    let start = Instant::now();
    assert!(Group::join(&store, "alone", 0, 2, "127.0.0.1", timeout).is_err());
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// Ranks that are threads of one process begin collectives at the same time, in groups of their own
/// whose first one it is.
#[test]
fn threads_begin_at_once() {
    const THREADS: usize = 4;
    const GROUPS: usize = 48;
    let together = Barrier::new(THREADS);
    let rank = |thread: usize| {
        let store = Store::tcp("127.0.0.1", 0, true, TIMEOUT);
        let join = |number: usize| {
            let name = format!("{thread} {number}");
            Group::join(store.as_ref().unwrap(), &name, 0, 1, "127.0.0.1", TIMEOUT)
        };
        let groups: Vec<_> = (0..GROUPS).map(join).collect();
        together.wait();
        for group in groups {
            let sum = ones(2.0, 4);
            group.unwrap().all_reduce(&sum, false).unwrap();
            assert_eq!(numbers(&sum), [2.0; 4]);
        }
    };
    std::thread::scope(|scope| {
        let rank = &rank;
        (0..THREADS).for_each(|thread| drop(scope.spawn(move || rank(thread))));
    });
}

#[test]
fn host_memory_is_counted() {
    lmplan_c10d::count_cpu_memory().unwrap();
    let before = lmplan_c10d::reset_peak(Device::Cpu).unwrap();
    let tensor = Tensor::zeros([1 << 20], (Kind::Float, Device::Cpu));
    let during = lmplan_c10d::memory(Device::Cpu).unwrap();
    drop(tensor);
    let after = lmplan_c10d::memory(Device::Cpu).unwrap();
    assert!(during.current >= before.current + (4 << 20));
    assert!(after.current + (4 << 20) <= during.current + 4096);
    assert!(after.peak >= during.current);
}
