//! Exported configurations are accepted by the arguments and fields of their targets, as read from
//! the targets' sources (`tests/data/targets/`), and Megatron's read back as the plan.

mod command;
mod megatron;
mod plans;
mod python;
mod round_trip;
mod table;
mod targets;
