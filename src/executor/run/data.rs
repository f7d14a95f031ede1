//! Synthetic, seeded data and weights: the same for every topology.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// A number from what names a tensor (FNV-1a), for its seed.
pub(crate) fn seed_of(parts: &[&str], number: u64) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    };
    for part in parts {
        part.bytes().for_each(&mut add);
        add(0);
    }
    number.to_le_bytes().into_iter().for_each(&mut add);
    (hash >> 2) as i64
}

/// Sizes of the data of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataShape {
    /// Rows of a sequence.
    pub rows: i64,
    /// Tokens of the vocabulary.
    pub vocabulary: i64,
    /// Token types.
    pub types: i64,
    /// Masked positions a sequence.
    pub masked: i64,
    /// Sequences of a step.
    pub global_batch: i64,
    /// Which data: another number gives others.
    pub seed: u64,
}

/// Data of one step, for all of its sequences; made on the host when a micro-batch is first asked
/// for, and kept on the device.
#[derive(Debug)]
pub struct StepData {
    shape: DataShape,
    step: u64,
    device: Device,
    made: RefCell<BTreeMap<i64, Rc<MicroBatch>>>,
}

/// Data of one micro-batch; first dimension rows, second sequences.
#[derive(Debug)]
pub struct MicroBatch {
    /// Tokens.
    pub tokens: Tensor,
    /// Token types.
    pub types: Tensor,
    /// Positions of the rows, \[rows, 1\].
    pub positions: Tensor,
    /// Masked positions.
    pub masked: Tensor,
    first: i64,
    count: i64,
    global_batch: i64,
    /// Names the step's data.
    step: u64,
    targets: RefCell<BTreeMap<(String, u64, u64), Tensor>>,
}

/// A stream of random numbers of its own (Steele et al. 2014, SplitMix64): libtorch's generator
/// is one for all threads.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What names a step's data, or a layer's weights, of a seed; the number itself of seed 0.
fn of_seed(number: u64, seed: u64) -> u64 {
    number ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whole numbers below a limit, \[rows, all sequences\].
fn numbers(name: &str, step: u64, limit: i64, shape: [i64; 2]) -> Tensor {
    let mut stream = Stream(seed_of(&["data", name], step) as u64);
    let limit = limit.max(1) as u64;
    let values: Vec<i64> =
        (0..shape[0] * shape[1]).map(|_| (stream.next() % limit) as i64).collect();
    Tensor::from_slice(&values).view(shape)
}

impl StepData {
    /// The data of a step.
    pub fn new(shape: DataShape, step: u64, device: Device) -> StepData {
        let made = RefCell::default();
        StepData { shape, step: of_seed(step, shape.seed), device, made }
    }

    /// `count` sequences from `first` on.
    pub fn micro_batch(&self, first: i64, count: i64) -> Rc<MicroBatch> {
        let mut made = self.made.borrow_mut();
        Rc::clone(made.entry(first).or_insert_with(|| Rc::new(self.make(first, count))))
    }

    fn make(&self, first: i64, count: i64) -> MicroBatch {
        let shape = self.shape;
        let own = |whole: Tensor| whole.narrow(1, first, count).contiguous().to_device(self.device);
        let whole = |name: &str, limit: i64, rows: i64| {
            own(numbers(name, self.step, limit, [rows, shape.global_batch]))
        };
        // Masked positions of a sequence differ from each other.
        let keys = numbers("masked", self.step, 1 << 40, [shape.rows, shape.global_batch]);
        let order = keys.argsort(0, false);
        let positions = Tensor::arange(shape.rows, (Kind::Int64, self.device)).unsqueeze(1);
        MicroBatch {
            tokens: whole("tokens", shape.vocabulary, shape.rows),
            types: whole("types", shape.types, shape.rows),
            positions,
            masked: own(order.narrow(0, 0, shape.masked)),
            first,
            count,
            global_batch: shape.global_batch,
            step: self.step,
            targets: RefCell::default(),
        }
    }
}

impl MicroBatch {
    /// The right classes of a loss, \[rows, sequences\].
    pub fn targets(&self, loss: &str, rows: u64, classes: u64) -> Tensor {
        let make = || {
            let shape = [rows as i64, self.global_batch];
            let whole = numbers(loss, self.step, classes as i64, shape);
            whole.narrow(1, self.first, self.count).contiguous().to_device(self.tokens.device())
        };
        let mut targets = self.targets.borrow_mut();
        targets.entry((loss.to_owned(), rows, classes)).or_insert_with(make).shallow_clone()
    }
}

/// Values of a parameter: norms' scales are near one, all else is small.
pub fn initial(name: &[&str], layer: u64, seed: u64, shape: &[i64], around: f64) -> Tensor {
    let mut stream = Stream(seed_of(name, of_seed(layer, seed)) as u64);
    let elements: i64 = shape.iter().product();
    // The sum of three uniform numbers is bell-shaped enough; its variance is a quarter.
    let mut value = || 0.1 * (stream.unit() + stream.unit() + stream.unit() - 1.5) + around;
    let values: Vec<f32> = (0..elements).map(|_| value() as f32).collect();
    Tensor::from_slice(&values).view(shape)
}
