//! What `calibrate` does, and what `verify` does where nothing was measured on this machine.

use super::calibrate_args::CalibrateArgs;
use super::verify_args::DeviceChoice;
use crate::cli::Failure;
use crate::cli::args::Verbosity;
use crate::cli::names::stem;
use crate::cli::output::write_whole;
use crate::executor::calibrate::{Calibrated, Request, calibrate};
use crate::executor::caught::caught;
use crate::spec::load::read_measured;
use crate::spec::machine::{CACHE_VARIABLE, LOCALHOST_CORE, Machine, plain};
use crate::spec::{self, DeviceSpec, Source};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(super) fn run(
    args: &CalibrateArgs,
    verbosity: &Verbosity,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let cuda = uses_cuda(args.device)?;
    let say = |text: &str| {
        if !verbosity.quiet {
            // Nothing is left to do where standard error is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    let machine = machine(cuda)?;
    let path = match &args.output {
        Some(path) => path.clone(),
        None => machine.file().ok_or_else(no_folder)?,
    };
    let named = args.output.as_ref().map(|path| stem(&path.display().to_string()).to_owned());
    let name = named.filter(|name| !name.is_empty()).unwrap_or_else(|| name_of(&machine, cuda));
    let device = measure(machine, name, cuda, args.quick, &say)?;
    keep(&path, &device)?;
    writeln!(out, "{}: {}", path.display(), device.kernels.provenance)?;
    Ok(())
}

/// The device of this machine: as it was measured earlier or, where it was not or `again`, as it is
/// measured now. `say` is told what happens.
pub(super) fn here(
    cuda: bool,
    again: bool,
    say: &dyn Fn(&str),
) -> Result<(DeviceSpec, Calibrated), Failure> {
    let machine = machine(cuda)?;
    let path = machine.file();
    let shown = path.as_ref().map(|path| path.display().to_string());
    if let Some(path) = path.as_deref().filter(|path| !again && path.is_file()) {
        match read_measured(path) {
            Ok(device) if machine.measured(&device) => {
                if let Some(calibration) = device.calibration.clone() {
                    let found = Calibrated { device_file: shown, now: false, calibration };
                    return Ok((device, found));
                }
            }
            Ok(_) => say(&format!("`{}` is of another machine; measured again", path.display())),
            Err(error) => say(&format!("measured again, since its file is broken: {error}")),
        }
    }
    let what = if cuda { "GPU" } else { "processor" };
    say(&format!(
        "measuring this {what}, {} ({} cores): about half a minute, once",
        machine.processor, machine.cores
    ));
    let name = name_of(&machine, cuda);
    let device = measure(machine, name, cuda, true, say)?;
    let calibration = device.calibration.clone().ok_or_else(|| {
        Failure::Verification("the measurement does not say what was measured".to_owned())
    })?;
    let kept = path.as_deref().map_or_else(|| Err(no_folder()), |path| keep(path, &device));
    let how = "`lmplan calibrate` measures it with more care, `verify --recalibrate` again";
    let took = calibration.duration.get();
    let device_file = match kept {
        Ok(()) => {
            let path = shown.as_deref().unwrap_or_default();
            say(&format!("measured in {took:.0} s and kept in {path}; {how}"));
            shown
        }
        Err(error) => {
            let why = error.to_string();
            say(&format!("measured in {took:.0} s and not kept ({}); {how}", why.trim()));
            None
        }
    };
    Ok((device, Calibrated { device_file, now: true, calibration }))
}

fn no_folder() -> Failure {
    Failure::Output(std::io::Error::other(format!(
        "this user has no cache folder; set {CACHE_VARIABLE}, or name a file with `-o`"
    )))
}

/// This machine's processor, or its first GPU.
fn machine(cuda: bool) -> Result<Machine, Failure> {
    if !cuda {
        return Ok(Machine::host());
    }
    let gpu = lmplan_c10d::gpu(0).map_err(|error| Failure::Missing(error.to_string()))?;
    let gib = gpu.memory as f64 / f64::from(1 << 30);
    let unnamed = format!("GPU of {} multiprocessors and {gib:.0} GiB", gpu.multiprocessors);
    Ok(Machine::gpu(unnamed))
}

/// The name of a measured device.
fn name_of(machine: &Machine, cuda: bool) -> String {
    if cuda { plain(&machine.processor) } else { LOCALHOST_CORE.to_owned() }
}

fn measure(
    machine: Machine,
    name: String,
    cuda: bool,
    quick: bool,
    say: &dyn Fn(&str),
) -> Result<DeviceSpec, Failure> {
    let program = std::env::current_exe().map_err(Failure::Output)?;
    let request = Request { name, cuda, quick, machine };
    Ok(caught(|| calibrate(&program, &request, say))?)
}

/// Writes a device file, with its folder where that is not there.
fn keep(path: &Path, device: &DeviceSpec) -> Result<(), Failure> {
    let text = serde_yaml::to_string(device)
        .map_err(|error| Failure::Output(std::io::Error::other(error)))?;
    check(&path.display().to_string(), &text)?;
    let text = format!("# yaml-language-server: $schema=device.schema.json\n{text}");
    let folder: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(&folder).map_err(|error| {
            Failure::Output(std::io::Error::other(format!("`{}`: {error}", folder.display())))
        })?;
    }
    write_whole(path, text.as_bytes())
}

/// What is written must be readable.
fn check(name: &str, text: &str) -> Result<(), Failure> {
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    Ok(spec::parse::<DeviceSpec>(&source).map(drop)?)
}

/// Whether to execute on a GPU.
pub(super) fn uses_cuda(device: DeviceChoice) -> Result<bool, Failure> {
    if device == DeviceChoice::Cpu {
        return Ok(false);
    }
    let loaded = lmplan_c10d::load_cuda();
    let there = loaded.is_ok() && tch::Cuda::device_count() > 0;
    if device == DeviceChoice::Auto || there {
        return Ok(there);
    }
    let why = loaded.err().map_or_else(|| "no GPU is found".to_owned(), |error| error.to_string());
    Err(Failure::Missing(format!(
        "no GPU can be used: {why}; set LD_LIBRARY_PATH to the `lib` folder of an installed torch \
         2.11.0, or use `--device cpu`"
    )))
}
