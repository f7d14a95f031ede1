//! Measured instructions beside their prices.

use super::record::{Part, Pass, Place, Recorder};
use crate::graph::{BlockKind, Kernel};
use crate::lower::{BlockCode, Program};
use crate::sharding::Instruction;
use serde::{Deserialize, Serialize};

/// How long an instruction took, each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Block: 0 embedding, 1 layer, 2 head.
    pub block: u8,
    /// Pass: 0 forward, 1 backward, 2 recomputation.
    pub pass: u8,
    /// Operator, by its name.
    pub operator: String,
    /// The class of the instruction.
    pub class: String,
    /// What it is, with its shape.
    pub what: String,
    /// Seconds of each run.
    pub seconds: Vec<f64>,
    /// Where its price is found.
    #[serde(skip)]
    pub instruction: Option<Instruction>,
}

/// The part of the code that a place names.
fn list<'a>(code: &'a BlockCode, place: &Place) -> &'a [Instruction] {
    let Some(operator) = code.operators.get(usize::from(place.operator)) else { return &[] };
    match (place.part, place.pass) {
        (Part::Body, Pass::Backward) => &operator.sharding.backward,
        (Part::Body, _) => &operator.sharding.forward,
        (Part::Input(slot), pass) => {
            operator.inputs.get(usize::from(slot)).map_or(&[], |input| match pass {
                Pass::Backward => input.leave.instructions.as_slice(),
                _ => input.arrive.instructions.as_slice(),
            })
        }
        (Part::End, pass) => operator
            .end
            .as_ref()
            .map_or(&[], |ends| ends[usize::from(pass == Pass::Backward)].instructions.as_slice()),
        (Part::InputSum, _) => code.input_sum.as_slice(),
    }
}

/// The class of an instruction, for tables.
pub fn class(instruction: &Instruction) -> String {
    match instruction {
        Instruction::Compute { kernel: Kernel::Gemm { pass, .. }, .. } => {
            format!("gemm {}", word(pass))
        }
        Instruction::Compute { kernel: Kernel::FlashAttention { backward, .. }, .. } => {
            format!("attention {}", if *backward { "backward" } else { "forward" })
        }
        Instruction::Compute { kernel: Kernel::Memory { pass, .. }, .. } => word(pass),
        Instruction::Communicate { collective, .. } => word(collective),
    }
}

fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}

/// An instruction's shape, for tables.
pub fn shape(instruction: &Instruction) -> String {
    match instruction {
        Instruction::Compute { kernel, .. } => match kernel {
            Kernel::Gemm { batch: 1, m, n, k, .. } => format!("{m} x {n} x {k}"),
            Kernel::Gemm { batch, m, n, k, .. } => format!("{batch} of {m} x {n} x {k}"),
            Kernel::FlashAttention { batch, heads, query_length, head_dim, .. } => {
                format!("{batch} x {heads} heads, {query_length} rows of {head_dim}")
            }
            Kernel::Memory { read, written, .. } => format!("{}", *read + *written),
        },
        Instruction::Communicate { bytes, .. } => format!("{bytes}"),
    }
}

/// Everything that a recorder holds, with the instructions of a program.
pub fn timed(recorder: &Recorder, program: &Program) -> Vec<Timed> {
    let mut all = Vec::new();
    for ((place, index), seconds) in recorder.instructions() {
        let code = program.block(place.block);
        let Some(instruction) = list(code, &place).get(usize::from(index)) else { continue };
        all.push(Timed {
            block: match place.block {
                BlockKind::Embedding => 0,
                BlockKind::Layer => 1,
                BlockKind::Head => 2,
            },
            pass: place.pass as u8,
            operator: code.operators[usize::from(place.operator)].op.name.clone(),
            class: class(instruction),
            what: shape(instruction),
            seconds,
            instruction: Some(instruction.clone()),
        });
    }
    all
}
