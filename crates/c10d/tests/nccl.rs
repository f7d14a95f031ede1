//! The group over NCCL against a stand-in for the library, two ranks as threads, in host memory.

use lmplan_c10d::{Envelope, Group, Store, load_nccl};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tch::{Device, Kind, Tensor};

const TIMEOUT: Duration = Duration::from_secs(20);

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap()
}

fn full(value: f64, size: i64, kind: Kind) -> Tensor {
    Tensor::full([size], value, (kind, Device::Cpu))
}

fn stand_in() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_nccl.cpp");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfake_nccl.so");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let built = Command::new(compiler)
        .args(["-std=c++17", "-shared", "-fPIC", "-pthread", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library.display().to_string()
}

fn rank(rank: usize, port: u16) {
    let store = Store::tcp("127.0.0.1", port, false, TIMEOUT).unwrap();
    let group = Group::join_nccl(&store, "all", (rank, 2), -1, 2, TIMEOUT).unwrap();
    let own = 1.0 + rank as f64;
    for kind in [Kind::Float, Kind::Double] {
        let sum = full(own, 4, kind);
        group.all_reduce(&sum, false).unwrap();
        assert_eq!(numbers(&sum), [3.0; 4], "{kind:?}");
        let most = full(own, 4, kind);
        group.all_reduce(&most, true).unwrap();
        assert_eq!(numbers(&most), [2.0; 4]);
    }
    for kind in [Kind::BFloat16, Kind::Half, Kind::Float, Kind::Double, Kind::Int64] {
        let all = full(0.0, 4, kind);
        group.all_gather(&all, &full(own, 2, kind)).unwrap();
        assert_eq!(numbers(&all), [1.0, 1.0, 2.0, 2.0], "{kind:?}");
    }
    let mine = Tensor::arange(4, (Kind::Float, Device::Cpu)) * own;
    let part = full(0.0, 2, Kind::Float);
    group.reduce_scatter(&part, &mine).unwrap();
    let first = 2.0 * rank as f64;
    assert_eq!(numbers(&part), [3.0 * first, 3.0 * (first + 1.0)]);
    let exchanged = full(0.0, 4, Kind::Float);
    group.all_to_all(&exchanged, &mine).unwrap();
    assert_eq!(numbers(&exchanged), [first, first + 1.0, 2.0 * first, 2.0 * (first + 1.0)]);
    let shared = full(own, 2, Kind::Float);
    group.broadcast(&shared, 1).unwrap();
    assert_eq!(numbers(&shared), [2.0; 2]);
    group.barrier().unwrap();
    // Messages of two lanes, received in the other order than they were sent in.
    let other = |lane| Envelope { peer: 1 - rank, tag: 0, lane };
    let send = |lane: usize| {
        group.send(full(own + 10.0 * lane as f64, 3, Kind::Float), other(lane)).unwrap()
    };
    let sent = [0, 1].map(send);
    for lane in [1, 0] {
        let received = full(0.0, 3, Kind::Float);
        group.receive(&received, other(lane)).unwrap();
        assert_eq!(numbers(&received), [3.0 - own + 10.0 * lane as f64; 3]);
    }
    sent.into_iter().for_each(|sending| sending.wait().unwrap());
    group.settle().unwrap();
    assert!(group.all_gather(&full(0.0, 5, Kind::Float), &part).is_err(), "sizes do not match");
    assert!(group.receive(&part, other(2)).is_err(), "there are two lanes");
    let error = group.all_reduce(&full(1.0, 2, Kind::ComplexFloat), false).unwrap_err().to_string();
    assert!(error.contains("type of elements"), "{error}");
}

#[test]
fn two_ranks_over_a_stand_in() {
    assert_eq!(load_nccl(&stand_in()).unwrap(), 99_999);
    let store = Store::tcp("127.0.0.1", 0, true, TIMEOUT).unwrap();
    let port = store.port().unwrap();
    let ranks = [0, 1].map(|own| std::thread::spawn(move || rank(own, port)));
    for rank in ranks {
        rank.join().unwrap();
    }
}
