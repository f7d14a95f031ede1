//! The executor against autograd and against itself on several ranks.

mod autograd;
mod common;
mod faults;
mod gpu;
mod launchers;
mod measured;
mod ranks;
mod topologies;
mod updates;
