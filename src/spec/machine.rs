//! The machine at hand: what names its processor, and where the device file that was measured on it
//! is kept.
//!
//! Measured files live in the user's cache folder, under a name made of everything that they hold
//! for: processor or GPU, cores, driver, library. `LMPLAN_CACHE_DIR` puts them elsewhere.

use super::device::{Calibration, DeviceSpec};
use etcetera::BaseStrategy;
use std::path::{Path, PathBuf};

/// The device of one of this machine's cores, in the catalogue and in `localhost.yaml`.
pub const LOCALHOST_CORE: &str = "localhost-core";

/// The version of libtorch that the executor runs on, and that measured times hold for.
pub const LIBTORCH: &str = "2.11.0";

/// Names the folder of measured device files, in place of the user's cache folder.
pub const CACHE_VARIABLE: &str = "LMPLAN_CACHE_DIR";

/// What a measured device file holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Processor or GPU, as the system names it.
    pub processor: String,
    /// Cores of the machine.
    pub cores: u64,
    /// Driver of the GPU; none of a processor.
    pub driver: Option<String>,
}

impl Machine {
    /// The processor of this machine and its cores.
    pub fn host() -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Machine { processor: processor_of(&text), cores, driver: None }
    }

    /// The first GPU of this machine, by its driver; `unnamed` where that does not name it.
    pub fn gpu(unnamed: String) -> Machine {
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let mut gpus: Vec<PathBuf> = std::fs::read_dir("/proc/driver/nvidia/gpus")
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        gpus.sort();
        let text = gpus.first().and_then(|gpu| read(&gpu.join("information")));
        let model = text.as_deref().and_then(|text| value(text, "Model")).unwrap_or(unnamed);
        let version = read(Path::new("/proc/driver/nvidia/version")).unwrap_or_default();
        let driver = driver_of(&version).unwrap_or_else(|| "unknown".to_owned());
        Machine { processor: model, driver: Some(driver), ..Machine::host() }
    }

    /// Whether a device file was measured on this machine, with the library that runs here.
    pub fn measured(&self, device: &DeviceSpec) -> bool {
        device.calibration.as_ref().is_some_and(|calibration| {
            calibration.processor == self.processor
                && calibration.cores == self.cores
                && calibration.driver == self.driver
                && calibration.libtorch == LIBTORCH
        })
    }

    /// The name of its measured file, without folder.
    pub fn file_name(&self) -> String {
        let driver =
            self.driver.as_ref().map_or(String::new(), |driver| format!(" driver {driver}"));
        let text = format!("{} {} cores{driver} libtorch {LIBTORCH}", self.processor, self.cores);
        format!("{}.yaml", plain(&text))
    }

    /// The path of its measured file; none where the user has no folder for such things.
    pub fn file(&self) -> Option<PathBuf> {
        Some(cache_folder()?.join("devices").join(self.file_name()))
    }
}

/// A name of small letters, digits, points and hyphens.
pub fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// The folder of what lmplan measures: `LMPLAN_CACHE_DIR`, or `lmplan` in the user's cache folder
/// (`$XDG_CACHE_HOME`, `~/.cache`).
pub fn cache_folder() -> Option<PathBuf> {
    let given = std::env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty());
    match given {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("lmplan")),
    }
}

/// The file that was measured on this machine's cores, where `name` is theirs and there is one.
pub(super) fn measured_core(name: &str) -> Option<PathBuf> {
    let is_core = name == LOCALHOST_CORE;
    is_core.then(|| Machine::host().file()).flatten().filter(|path| path.is_file())
}

/// A processor's name in the text of `/proc/cpuinfo`, with family, model and stepping where the
/// name alone, as on rented machines, says little.
fn processor_of(cpuinfo: &str) -> String {
    let value = |key: &str| value(cpuinfo, key);
    let Some(name) = value("model name") else {
        return format!("{} processor", std::env::consts::ARCH);
    };
    match [value("cpu family"), value("model"), value("stepping")] {
        [Some(family), Some(model), Some(stepping)] => {
            format!("{name} (family {family}, model {model}, stepping {stepping})")
        }
        _ => name,
    }
}

/// What follows a key and a colon at the beginning of a line.
fn value(text: &str, key: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}

/// The version in the text of `/proc/driver/nvidia/version`: the first word of numbers and points.
fn driver_of(text: &str) -> Option<String> {
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

impl Calibration {
    /// When it was measured and on what, in words.
    pub fn summary(&self) -> String {
        let Calibration { processor, cores, driver, libtorch, date, quick, .. } = self;
        let driver = driver.as_ref().map_or(String::new(), |driver| format!(", driver {driver}"));
        let how = if *quick { "lmplan calibrate --quick" } else { "lmplan calibrate" };
        let what = if self.driver.is_some() { "" } else { "one core of " };
        let day = date.split('T').next().unwrap_or(date);
        format!(
            "measured {day} by {how} on {what}{processor} ({cores} cores){driver}, libtorch \
             {libtorch}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n\
                        model name\t: AMD EPYC\nstepping\t: 1\n";

    #[test]
    fn processors_are_told_apart_by_more_than_their_name() {
        assert_eq!(processor_of(INFO), "AMD EPYC (family 25, model 1, stepping 1)");
        let other = INFO.replace("stepping\t: 1", "stepping\t: 2");
        assert_ne!(processor_of(INFO), processor_of(&other));
        assert_eq!(processor_of("model name : Xeon"), "Xeon");
        assert!(processor_of("").ends_with(" processor"));
    }

    #[test]
    fn drivers_are_read_from_their_first_line() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release \
                    Build\nGCC version:  gcc version 12.3.0\n";
        assert_eq!(driver_of(text).as_deref(), Some("580.65.06"));
        assert_eq!(driver_of(""), None);
    }

    #[test]
    fn files_are_named_after_all_that_they_hold_for() {
        let machine = |processor: &str, cores, driver: Option<&str>| Machine {
            processor: processor.to_owned(),
            cores,
            driver: driver.map(str::to_owned),
        };
        let name = machine("Intel(R) Xeon(R) @ 2.20GHz", 8, None).file_name();
        assert_eq!(name, "intel-r-xeon-r-2.20ghz-8-cores-libtorch-2.11.0.yaml");
        let name = machine("NVIDIA H100 80GB HBM3", 16, Some("580.1")).file_name();
        assert_eq!(name, "nvidia-h100-80gb-hbm3-16-cores-driver-580.1-libtorch-2.11.0.yaml");
        assert!(!machine("../../etc/passwd", 1, None).file_name().contains('/'));
    }
}
