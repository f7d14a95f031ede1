//! The timed modes of `verify`.

use super::calibrate_run::processor;
use super::verify::{VerifyArgs, VerifyMode};
use super::verify_run::Given;
use crate::cli::Failure;
use crate::executor::caught::caught;
use crate::executor::report::Verified;
use crate::executor::world::World;
use crate::executor::{gpu, roles, whole};
use crate::planner::choice::Choice;
use crate::planner::job::Job;
use crate::planner::predict::predict;
use crate::spec::{self, DeviceSpec, LinkKind, ModelSpec, Precision};
use crate::units::Bytes;
use std::path::Path;
use tch::Device;

/// The device of this machine's cores, one of them.
const CORE: &str = "localhost-core";

/// Without being asked, `verify` times no more than this takes, by the prediction.
const PATIENCE_S: f64 = 20.0;

pub(super) fn run(
    args: &VerifyArgs,
    given: &Given,
    (cuda, world): (bool, &World),
    say: &dyn Fn(&str),
    verified: &mut Verified,
) -> Result<(), Failure> {
    if args.mode == VerifyMode::Numerics {
        verified.mode.push("numerics");
        return Ok(());
    }
    if args.mode == VerifyMode::Auto {
        verified.mode.push("numerics");
    }
    let Some((name, device)) = device(args, given, cuda, verified)? else { return Ok(()) };
    let mut model = given.model.clone();
    if !cuda && model.training.precision.is_mixed() {
        verified.notes.push(format!(
            "times are those of fp32, in which {name} was measured, not of {}",
            model.training.precision.name()
        ));
        model.training.precision = Precision::Fp32;
    }
    let job = job_on(given, model, device)?;
    let choice = Choice::of_plan(&job, &given.plan)
        .map_err(|error| Failure::BadInput(format!("`{}`: {error}", given.name)))?;
    let predicted = predict(&job, &choice)
        .ok_or_else(|| Failure::BadInput("the plan's schedule can not be run".to_owned()))?;
    let ranks = given.plan.devices();
    let there = world.size().unwrap_or_else(|| devices_there(cuda));
    let seconds = predicted.time.seconds().get();
    let repeats = args.steps;
    let fits = ranks <= there && seconds * (repeats + 1) as f64 <= PATIENCE_S;
    let as_a_whole = match args.mode {
        VerifyMode::Whole => true,
        VerifyMode::Auto => fits,
        _ => false,
    };
    if as_a_whole {
        if ranks > there {
            return Err(Failure::Missing(format!(
                "the plan needs {ranks} devices, {there} are here; `--mode roles` times what one \
                 rank does"
            )));
        }
        say(&format!("whole: {ranks} processes, about {:.0} s", seconds * (repeats + 1) as f64));
        let result = whole::run(world, &job, &given.plan, &choice, &name, (cuda, repeats))?;
        take_whole(result, verified);
        return Ok(());
    }
    let c = &choice.candidate;
    let blocks = 2.0 / (job.model.num_layers as f64 + 2.0);
    let once = seconds / c.micro_batches as f64 * c.pipeline as f64 * blocks;
    if !asked(args) && once * (repeats + 1) as f64 > PATIENCE_S {
        verified.notes.push(format!(
            "roles left out: one pass would take about {once:.0} s on {name}; `--mode roles` runs \
             it all the same"
        ));
        return Ok(());
    }
    say(&format!("roles: about {:.0} s", once * (repeats + 1) as f64));
    let result = timed_roles(&job, &choice, &name, cuda, repeats)?;
    if cuda {
        verified.notes.push(gpu::allocator(Device::Cuda(0))?);
    }
    verified.mode.push("roles");
    (verified.timing, verified.memory) = (Some(result.timing), Some(result.memory));
    verified.timelines = Some(result.timelines);
    Ok(())
}

fn take_whole(result: whole::Whole, verified: &mut Verified) {
    verified.mode.push("whole");
    (verified.timing, verified.memory) = (Some(result.timing), Some(result.memory));
    verified.memory_by_stage = result.by_stage;
    verified.transport = result.transport;
    verified.notes.extend(result.allocator);
    verified.timelines = Some(result.timelines);
}

fn timed_roles(
    job: &Job,
    choice: &Choice,
    name: &str,
    cuda: bool,
    repeats: u64,
) -> Result<roles::Roles, Failure> {
    tch::set_num_threads(1);
    lmplan_c10d::keep_host_memory();
    let _no_tape = tch::no_grad_guard();
    if !cuda {
        lmplan_c10d::count_cpu_memory().map_err(|error| Failure::Missing(error.to_string()))?;
    }
    Ok(caught(|| roles::run(job, choice, name, cuda, repeats))?)
}

/// Whether times were asked for.
const fn asked(args: &VerifyArgs) -> bool {
    args.trace.is_some() || !matches!(args.mode, VerifyMode::Auto)
}

/// The device that times are predicted for. None where nothing is known of this one and nobody
/// asked for times.
fn device(
    args: &VerifyArgs,
    given: &Given,
    cuda: bool,
    verified: &mut Verified,
) -> Result<Option<(String, DeviceSpec)>, Failure> {
    let folder = Path::new(".");
    if let Some(name) = &args.device_file {
        let (device, _) = spec::load_device(name, folder)?;
        return Ok(Some((name.clone(), device)));
    }
    if cuda {
        let group = given.cluster.groups.first();
        return Ok(group.map(|group| (group.device.name.clone(), group.device.clone())));
    }
    match spec::load_device(CORE, folder) {
        Ok((device, _)) => {
            let (here, measured) = (processor(), &device.kernels.provenance);
            if let Some(here) = here.filter(|here| !measured.contains(&format!("of {here}, "))) {
                // Errors of the fit follow.
                let measured = measured.split(';').next().unwrap_or_default();
                verified.notes.push(format!(
                    "predicted for another processor than this machine's {here}: {CORE} was \
                     {measured}; `lmplan calibrate --device cpu -o hardware/devices/{CORE}.yaml` \
                     measures this one"
                ));
            }
            Ok(Some((CORE.to_owned(), device)))
        }
        Err(error) if !asked(args) => {
            verified.notes.push(format!(
                "nothing timed: there is no device file `{CORE}`; `lmplan calibrate --device cpu -o \
                 hardware/devices/{CORE}.yaml` makes one"
            ));
            drop(error);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The job of a model with another device in every place of its cluster.
fn job_on(given: &Given, model: ModelSpec, device: DeviceSpec) -> Result<Job, Failure> {
    let mut cluster = given.cluster.clone();
    for group in &mut cluster.groups {
        // What `calibrate` measures by one GPU has no link: that of the plan's devices stays.
        let link = device.link.clone().or(group.device.link.take());
        group.device = DeviceSpec { link, ..device.clone() };
        group.spec.device.clone_from(&device.name);
    }
    if device.name == CORE {
        let one_node = cluster.num_devices();
        if let Some(group) = cluster.spec.nodes.first_mut() {
            (group.count, group.devices_per_node) = (1, one_node);
            group.intra_node = LinkKind::SharedMemory;
            cluster.spec.nodes.truncate(1);
        }
        if let (Some(group), Some(spec)) = (cluster.groups.first_mut(), cluster.spec.nodes.first())
        {
            group.spec = spec.clone();
            group.spec.device.clone_from(&device.name);
        }
        cluster.groups.truncate(1);
    }
    for node in &mut cluster.spec.nodes {
        node.device.clone_from(&device.name);
    }
    // Tensors are measured: what the runtime and the allocator take besides is left out.
    let mut stack = given.stack.clone();
    (stack.context_memory, stack.communicator_memory) = (Bytes::ZERO, Bytes::ZERO);
    stack.fragmentation = 0.0;
    Job::new(model, cluster, stack).map_err(|error| Failure::BadInput(error.to_string()))
}

/// Devices of this machine: GPUs, or cores.
fn devices_there(cuda: bool) -> u64 {
    if cuda {
        return u64::try_from(tch::Cuda::device_count()).unwrap_or(0);
    }
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
