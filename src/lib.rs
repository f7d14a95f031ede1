//! lmplan plans the parallel training of large transformers: how many ways tensor-, pipeline- and
//! data-parallel, which micro-batch, which recomputation, with a proof that no plan is faster.
//!
//! ```text
//!     model ─┐
//!   cluster ─┼─▶ Job ─▶ plan ─▶ Plan ─▶ predict ─▶ Prediction, Timeline
//!     stack ─┘                    └───▶ Program ─▶ executor (feature `torch`)
//! ```
//!
//! A [`Job`] is a model on a cluster under a software stack. Its *space* is made of *candidates*: ways,
//! batch, schedule, sharding of optimizer states. A candidate's *stages* each have a *column*: layers,
//! their recomputation, the *strategy* of every operator. The least time over all of them is a
//! [`Plan`](plan::Plan); what excluded the others is its certificate.
//!
//! ```
//! use lmplan::planner::Engine;
//! use lmplan::planner::answer::plan;
//! use lmplan::planner::objective::Objective;
//! use lmplan::planner::request::Request;
//! use lmplan::planner::space::Pins;
//! use lmplan::spec::{Cluster, load_model, load_stack};
//! use lmplan::{Error, Job};
//! use std::path::Path;
//!
//! fn main() -> Result<(), Error> {
//!     // Names of the working folder's files first, then of the catalogue.
//!     let folder = Path::new(".");
//!     let names = ["gpt2-124m", "a100x8", "megatron-core"];
//!     let (mut model, _) = load_model(names[0], folder)?;
//!     model.training.global_batch_size = 64;
//!     let (cluster, _) = Cluster::load(names[1], folder)?;
//!     let (stack, _) = load_stack(names[2], folder)?;
//!     let job = Job::new(model, cluster, stack)?;
//!     let request = Request {
//!         objective: Objective::Time,
//!         top: 1,
//!         engine: Engine::Search,
//!         pins: Pins::default(),
//!         names: names.map(str::to_owned),
//!     };
//!     let planned = plan(&job, &request, &|| None, &mut |_| {}).planned()?;
//!     assert_eq!(planned.outcome.plan.devices(), 8);
//!     assert!(planned.outcome.prediction.iteration_time_s < 1.0);
//!     Ok(())
//! }
//! ```
//!
//! Texts that are no files are read by [`spec::parse`]. Without the feature `cli` (on by default) the
//! library carries no command-line crates. Where everything stands: ARCHITECTURE.md.

pub mod capacity;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cost;
#[cfg(feature = "torch")]
pub mod executor;
pub mod explain;
pub mod export;
pub mod graph;
pub mod import;
pub mod lower;
pub mod mesh;
pub mod plan;
pub mod planner;
pub mod report;
pub mod sharding;
pub mod sim;
pub mod solver;
pub mod spec;
pub mod units;
pub mod validate;

pub use planner::Error;
pub use planner::job::Job;
