//! Instructions of a program with the times that they took.

use super::record::{Part, Pass, Place, Recorder};
use crate::graph::{BlockKind, Kernel};
use crate::lower::{BlockCode, Program};
use crate::sharding::Instruction;
use crate::units::statistics::{clipped_mean, spread};
use serde::{Deserialize, Serialize};

/// Where an instruction stands, as ranks tell it: block, pass, operator, part, index.
pub type Key = (u8, u8, u16, i16, u16);

/// How long an instruction took, each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Where it stands.
    pub key: Key,
    /// Seconds of each run.
    pub seconds: Vec<f64>,
}

const BLOCKS: [BlockKind; 3] = [BlockKind::Embedding, BlockKind::Layer, BlockKind::Head];
const PASSES: [Pass; 3] = [Pass::Forward, Pass::Backward, Pass::Recompute];

fn key_of(place: &Place, index: u16) -> Key {
    let block = BLOCKS.iter().position(|kind| *kind == place.block).unwrap_or(0) as u8;
    let part = match place.part {
        Part::Input(slot) => i16::from(slot),
        Part::Body => -1,
        Part::End => -2,
        Part::InputSum => -3,
    };
    (block, place.pass as u8, place.operator, part, index)
}

fn place_of(key: &Key) -> Option<Place> {
    let part = match key.3 {
        -1 => Part::Body,
        -2 => Part::End,
        -3 => Part::InputSum,
        slot => Part::Input(u8::try_from(slot).ok()?),
    };
    Some(Place {
        block: *BLOCKS.get(usize::from(key.0))?,
        pass: *PASSES.get(usize::from(key.1))?,
        operator: key.2,
        part,
    })
}

impl Timed {
    /// The block.
    pub fn block(&self) -> BlockKind {
        BLOCKS[usize::from(self.key.0).min(2)]
    }

    /// The pass.
    pub fn pass(&self) -> Pass {
        PASSES[usize::from(self.key.1).min(2)]
    }

    /// The instruction in a program's code.
    pub fn instruction<'a>(&self, program: &'a Program) -> Option<&'a Instruction> {
        let place = place_of(&self.key)?;
        list(program.block(place.block), &place).get(usize::from(self.key.4))
    }

    /// Its usual time.
    pub fn usual(&self) -> f64 {
        clipped_mean(&self.seconds)
    }

    /// (largest - smallest) / median.
    pub fn spread(&self) -> f64 {
        spread(&self.seconds)
    }

    /// What it is, for tables.
    pub fn name(&self, program: &Program) -> String {
        let pass = ["forward", "backward", "recomputation"][usize::from(self.key.1).min(2)];
        let code = program.block(self.block());
        let operator = code.operators.get(usize::from(self.key.2));
        let operator = operator.map_or("", |at| at.op.name.as_str());
        let what = self.instruction(program).map(|i| format!("{} {}", class(i), shape(i)));
        format!("{:?} {operator} {pass}: {}", self.block(), what.unwrap_or_default())
    }
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

/// Everything that a recorder holds.
pub fn timed(recorder: &Recorder) -> Vec<Timed> {
    let all = recorder.instructions().into_iter();
    all.map(|((place, index), seconds)| Timed { key: key_of(&place, index), seconds }).collect()
}
