//! What `calibrate` does.

use super::calibrate::CalibrateArgs;
use super::verify_run::uses_cuda;
use crate::cli::Failure;
use crate::cli::args::Verbosity;
use crate::cli::output::{stem, write_whole};
use crate::executor::calibrate::{Request, calibrate};
use crate::executor::caught::caught;
use crate::spec::{self, DeviceSpec, Source};
use std::io::Write;

/// The device of one of this machine's cores.
const CORE: &str = "localhost-core";

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
    let path = args.output.display().to_string();
    let name = stem(&path).to_owned();
    let request = Request {
        name: if name.is_empty() { CORE.to_owned() } else { name },
        cuda,
        quick: args.quick,
        provenance: provenance(args.quick, cuda),
    };
    let program = std::env::current_exe().map_err(Failure::Output)?;
    let device = caught(|| calibrate(&program, &request, &say))?;
    let text = serde_yaml::to_string(&device)
        .map_err(|error| Failure::Output(std::io::Error::other(error)))?;
    check(&path, &text)?;
    let text = format!("# yaml-language-server: $schema=device.schema.json\n{text}");
    write_whole(&args.output, text.as_bytes())?;
    writeln!(out, "{path}: {}", device.kernels.provenance)?;
    Ok(())
}

/// What is written must be readable.
fn check(name: &str, text: &str) -> Result<(), Failure> {
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    Ok(spec::parse::<DeviceSpec>(&source).map(drop)?)
}

/// Name of this machine's processor, where the system tells it.
pub(super) fn processor() -> Option<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(model.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

/// The command, the day, the processor and the library.
fn provenance(quick: bool, cuda: bool) -> String {
    let model = processor().unwrap_or_else(|| "processor".to_owned());
    let day = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let day = day.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let what = if cuda { "a GPU beside" } else { "one core of" };
    format!(
        "measured {} by lmplan calibrate{} on {what} {model}, libtorch 2.11.0",
        day.unwrap_or_default(),
        if quick { " --quick" } else { "" }
    )
}
