//! The peak of a stage against numbers counted by hand.

use super::memory::{MemoryModel, StageMemory};
use super::schedule::InFlight;
use super::stage::StageSettings;
use super::work::{BlockTimes, StageWork};
use crate::plan::OptimizerSharding;
use crate::units::{Bytes, SimTime};

const MODEL: MemoryModel = MemoryModel {
    state: [2, 4, 12],
    gradient_copy: 0,
    reduce_buffers: 0,
    fixed: Bytes::new(100),
    transfer: Bytes::new(7),
    keeps_stage_outputs: false,
    fragmentation: 0.0,
    capacity: Bytes::new(1 << 40),
};

fn shape(replicas: u64, sharding: OptimizerSharding) -> StageSettings {
    StageSettings {
        replicas,
        sharding,
        parameter_bytes: 2,
        gradient_bytes: 4,
        bucket_elements: 50,
        overlap_reduce: false,
        overlap_gather: false,
        contention: 0.0,
        stages: 4,
        step_overhead: SimTime::ZERO,
    }
}

fn block(parameters: u64, saved: [u64; 3], transient: [u64; 3]) -> BlockTimes {
    BlockTimes {
        parameters,
        saved: saved.map(Bytes::new),
        transient: transient.map(Bytes::new),
        ..BlockTimes::default()
    }
}

fn layer() -> BlockTimes {
    block(1000, [500, 200, 10], [30, 80, 400])
}

/// Layers by recomputation, two micro-batches in flight unless said otherwise.
fn peak(
    model: &MemoryModel,
    shape: &StageSettings,
    layers: [u64; 3],
    ends: [Option<&BlockTimes>; 2],
    held: u64,
) -> StageMemory {
    let work = StageWork { layers, embedding: ends[0], head: ends[1] };
    let in_flight = [InFlight { all: held, first: held, last: held }];
    model.peak(shape, &layer(), &[work], &in_flight)
}

#[test]
fn states_are_counted_once_and_sharded_from_their_stage_on() {
    use OptimizerSharding::{None, Zero1, Zero2, Zero3};
    let at = |sharding| {
        let memory = peak(&MODEL, &shape(4, sharding), [3, 0, 0], [Option::None; 2], 1);
        [memory.parameters, memory.gradients, memory.optimizer].map(Bytes::get)
    };
    assert_eq!(at(None), [6000, 12_000, 36_000]);
    assert_eq!(at(Zero1), [6000, 12_000, 9000]);
    // From ZeRO-2 on, the block that is being reduced is whole.
    assert_eq!(at(Zero2), [6000, 3000 + 4000, 9000]);
    // Under ZeRO-3, the two largest neighbouring blocks are.
    assert_eq!(at(Zero3), [1500 + 2 * 2000, 3000 + 4000, 9000]);
}

#[test]
fn all_chunks_of_a_stage_count() {
    let work = StageWork { layers: [2, 0, 0], embedding: None, head: None };
    let in_flight = [InFlight { all: 5, first: 3, last: 2 }];
    let shape = shape(1, OptimizerSharding::None);
    let memory = MODEL.peak(&shape, &layer(), &[work, work], &in_flight);
    assert_eq!(memory.parameters, Bytes::new(4 * 1000 * 2));
    assert_eq!(memory.activations, Bytes::new(5 * 2 * 500), "five chunks of two layers");
}

#[test]
fn activations_are_held_for_every_micro_batch_in_flight() {
    let shape = shape(1, OptimizerSharding::None);
    let held = |layers, held| peak(&MODEL, &shape, layers, [None; 2], held).activations.get();
    assert_eq!(held([2, 0, 0], 1), 1000);
    assert_eq!(held([2, 0, 0], 3), 3000);
    assert_eq!(held([1, 2, 4], 3), 3 * (500 + 2 * 200 + 4 * 10));
    let (embedding, head) = (block(9, [60; 3], [0; 3]), block(9, [70; 3], [0; 3]));
    let ends = [Some(&embedding), Some(&head)];
    let memory = peak(&MODEL, &shape, [2, 0, 0], ends, 3);
    assert_eq!(memory.activations.get(), 3 * (1000 + 60 + 70));
}

#[test]
fn working_memory_is_that_of_the_largest_block_there() {
    let shape = shape(1, OptimizerSharding::None);
    let other = |layers, ends| peak(&MODEL, &shape, layers, ends, 1).other.get() - 100 - 2 * 7;
    assert_eq!(other([1, 0, 0], [None; 2]), 30);
    assert_eq!(other([1, 1, 0], [None; 2]), 80);
    assert_eq!(other([1, 1, 1], [None; 2]), 400, "recomputing rebuilds a layer");
    let (embedding, head) = (block(9, [0; 3], [450; 3]), block(9, [0; 3], [900; 3]));
    assert_eq!(other([1, 1, 1], [Some(&embedding), None]), 450);
    assert_eq!(other([1, 1, 1], [Some(&embedding), Some(&head)]), 900, "the logits");
}

#[test]
fn what_software_holds_beside_is_counted() {
    use OptimizerSharding::None as Whole;
    let at = |model: &MemoryModel, replicas| {
        peak(model, &shape(replicas, Whole), [2, 0, 0], [None; 2], 3)
    };
    let plain = at(&MODEL, 2);
    let copies = at(&MemoryModel { gradient_copy: 4, ..MODEL }, 2);
    assert_eq!(copies.gradients - plain.gradients, Bytes::new(2000 * 4));
    // Two buckets of 50 elements in the width of the wire; none where nothing is reduced.
    let buffers = MemoryModel { reduce_buffers: 2, ..MODEL };
    assert_eq!(at(&buffers, 2).other - plain.other, Bytes::new(2 * 50 * 4));
    assert_eq!(at(&buffers, 1).total(), plain.total());
    // What was sent, for three micro-batches; the last stage sends nothing.
    let sent = MemoryModel { keeps_stage_outputs: true, ..MODEL };
    assert_eq!(at(&sent, 2).activations - plain.activations, Bytes::new(3 * 7));
    let head = block(9, [0; 3], [0; 3]);
    let last = |model| peak(model, &shape(2, Whole), [2, 0, 0], [None, Some(&head)], 1).total();
    assert_eq!(last(&sent), last(&MODEL));
    // A tenth of activations (3 x 1000) and working memory (30), rounded up.
    let lost = MemoryModel { fragmentation: 0.1, ..MODEL };
    assert_eq!(at(&lost, 2).other - plain.other, Bytes::new(303));
}
