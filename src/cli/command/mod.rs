//! One file for each command: its arguments, and what it does with them.

pub mod calibrate;
pub mod calibrate_args;
#[cfg(feature = "torch")]
mod calibrate_run;
pub mod capacity;
pub mod capacity_args;
mod capacity_grid;
mod capacity_words;
pub mod check;
pub mod completions;
pub mod diff;
pub mod explain;
pub mod export;
pub mod graph;
pub mod import;
pub mod list;
pub mod man;
pub mod rank;
pub mod schema;
pub mod search;
pub mod simulate;
pub mod validate;
pub mod verify;
pub mod verify_args;
#[cfg(feature = "torch")]
mod verify_run;
#[cfg(feature = "torch")]
mod verify_timing;

/// Why a command that executes plans does nothing in this build, and what to do.
#[cfg(not(feature = "torch"))]
fn without_torch(command: &str) -> crate::cli::Failure {
    crate::cli::Failure::Missing(format!(
        "`{command}` executes plans on libtorch, which this build is without; \
         `scripts/build-torch.sh` fetches it (544 MB) and builds with it"
    ))
}

#[cfg(test)]
mod tests {
    use crate::spec::{Precision, ScheduleKind};
    use clap::{Args, Command, FromArgMatches};

    fn parse<T: Args + FromArgMatches>(line: &str) -> Result<T, clap::Error> {
        let command = T::augment_args(Command::new("lmplan"));
        command.clone().debug_assert();
        let matches = command.try_get_matches_from(line.split_whitespace())?;
        T::from_arg_matches(&matches)
    }

    #[test]
    fn search_reads_all_its_flags() {
        let line = "lmplan --model gpt3-175b --cluster a100x64 --global-batch 1536 --precision \
                    fp16-mixed --tp 8 --pp 4,8 --dp 1..4 --micro-batch 1..4 --virtual-stages 1 \
                    --schedule 1f1b,interleaved-1f1b --recompute none,full --sequence-parallel true \
                    --optimizer-sharding zero1 --top 5 --time-limit 30s --threads 2 --objective cost \
                    --tokens 300B --deadline 30d -o out --format json --trace t.json";
        let args: super::search::SearchArgs = parse(line).unwrap();
        assert_eq!(args.job.model.precision, Some(Precision::Fp16Mixed));
        assert_eq!(args.job.stack(), "megatron-core");
        assert!(args.pins.pp.as_ref().unwrap().allows(8) && !args.pins.pp.unwrap().allows(6));
        assert_eq!(args.pins.schedule, [ScheduleKind::OneFOneB, ScheduleKind::Interleaved]);
        assert_eq!(args.dataset.tokens, Some(300_000_000_000));
        assert_eq!(args.output.report_folder("m", "c"), Some("out".into()));
    }

    #[test]
    fn search_refuses_what_is_wrong() {
        for wrong in [
            "lmplan --model m",
            "lmplan --model m --cluster c --tp 0",
            "lmplan --model m --cluster c --schedule 2f2b",
            "lmplan --model m --cluster c --no-report -o out",
            "lmplan --model m --cluster c --time-limit 0",
            "lmplan --model m --cluster c --top 0",
            "lmplan --model m --cluster c --global-batch 0",
        ] {
            assert!(parse::<super::search::SearchArgs>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_other_commands_read_theirs() {
        let line = "lmplan --model m --cluster c --plan p.yaml --no-report";
        let args: super::simulate::SimulateArgs = parse(line).unwrap();
        assert_eq!(args.output.report_folder("m", "c"), None);
        assert!(parse::<super::check::CheckArgs>("lmplan p.yaml --format json").is_ok());
        assert!(parse::<super::graph::GraphArgs>("lmplan --model m --format dot").is_ok());
    }
}
