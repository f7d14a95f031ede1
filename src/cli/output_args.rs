//! Where results go, as flags say.

use super::args::Format;
use clap::Args;
use std::path::PathBuf;

/// Where results go.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Folder of the report [default: reports/MODEL-on-CLUSTER, with `-simulated` by `simulate`, and
    /// a number where that holds another job's]
    #[arg(short, long, value_name = "DIR", conflicts_with = "no_report")]
    pub output: Option<PathBuf>,
    /// Write no report
    #[arg(long)]
    pub no_report: bool,
    /// Write a Chrome trace of the simulated step
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

impl OutputArgs {
    /// The folder of the report, if one is wanted.
    pub fn report_folder(&self, model: &str, cluster: &str) -> Option<PathBuf> {
        if self.no_report {
            return None;
        }
        let default = || PathBuf::from("reports").join(format!("{model}-on-{cluster}"));
        Some(self.output.clone().unwrap_or_else(default))
    }
}
