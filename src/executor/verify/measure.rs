//! Measured instructions beside their prices.

use super::report::{ClassTimes, ComparedTime};
use crate::executor::run::timed::{Timed, class};
use crate::lower::Program;
use crate::sharding::{Instruction, InstructionCost};
use crate::units::statistics::median;
use std::collections::BTreeMap;

/// Seconds of an instruction by the cost model.
pub fn price(instruction: &Instruction, prices: &dyn InstructionCost) -> f64 {
    let time = match instruction {
        Instruction::Compute { kernel, .. } => prices.kernel(kernel).max(prices.launch()),
        Instruction::Communicate { collective, group, bytes, .. } => {
            prices.collective(*collective, *bytes, (*group).into())
        }
    };
    time.seconds().get()
}

/// Times by class of instruction, and the instructions that are furthest off. `weight` says how
/// often an instruction counts.
pub fn compare(
    all: &[Timed],
    program: &Program,
    prices: &dyn InstructionCost,
    weight: &dyn Fn(&Timed) -> f64,
) -> [Vec<ClassTimes>; 2] {
    let mut classes: BTreeMap<String, (f64, f64, Vec<f64>)> = BTreeMap::new();
    let mut single = Vec::new();
    for timed in all {
        let Some(instruction) = timed.instruction(program) else { continue };
        let times = weight(timed);
        let (predicted, measured) = (price(instruction, prices) * times, timed.usual() * times);
        let entry = classes.entry(class(instruction)).or_default();
        entry.0 += predicted;
        entry.1 += measured;
        entry.2.push(timed.spread());
        single.push(ClassTimes {
            name: timed.name(program),
            times: ComparedTime::new(predicted, measured),
            spread: timed.spread(),
            instructions: 1,
        });
    }
    let mut by_class: Vec<ClassTimes> = classes
        .into_iter()
        .map(|(name, (predicted, measured, spreads))| ClassTimes {
            name,
            times: ComparedTime::new(predicted, measured),
            spread: median(&spreads),
            instructions: spreads.len(),
        })
        .collect();
    by_class.sort_by(|a, b| b.times.measured_s.total_cmp(&a.times.measured_s));
    let off = |row: &ClassTimes| (row.times.predicted_s - row.times.measured_s).abs();
    single.sort_by(|a, b| off(b).total_cmp(&off(a)));
    single.truncate(8);
    [by_class, single]
}
