//! Arguments of `calibrate`.

use super::verify_args::DeviceChoice;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `calibrate`.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArgs {
    /// What is measured
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// The device file to write [default: that of this machine in the user's cache folder, which
    /// `verify` and `--cluster localhost` read]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Fewer shapes and repetitions: half a minute instead of several
    #[arg(long)]
    pub quick: bool,
}
