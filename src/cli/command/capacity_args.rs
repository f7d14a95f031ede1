//! Arguments of `capacity`.

use crate::capacity::DeviceCounts;
use crate::cli::args::{self, Format, ModelArgs};
use crate::cli::command::search::SearchObjective;
use crate::cli::numbers::{counts, parse_long, parse_seconds};
use crate::cli::pins::PinArgs;
use crate::cli::tuning_args::DatasetArgs;
use crate::units::{BytesPerSecond, PerDay, Seconds, UsDollars};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `capacity`.
#[derive(Debug, Clone, Args)]
pub struct CapacityArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Cluster, by name or path: its nodes are multiplied to every number of devices; may be repeated
    #[arg(long, value_name = "CLUSTER", required = true, value_delimiter = ',')]
    pub cluster: Vec<String>,
    /// Software stack: a name of the catalogue or a path
    #[arg(long, value_name = "STACK", default_value = args::DEFAULT_STACK)]
    pub stack: String,
    /// How much is trained on.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Longest run, failures counted, such as `30d`
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub deadline: Option<Seconds>,
    /// Most money for the run, such as `5M`
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = parse_money)]
    pub budget: Option<UsDollars>,
    /// Numbers of devices: `64..4096` (powers of two and half as much again) or `64,80,96`
    /// [default: an eighth to eight times the first cluster, one node where there is no network]
    #[arg(long, value_name = "COUNTS")]
    pub devices: Option<DeviceCounts>,
    /// What the recommendation is best at
    #[arg(long, value_enum, default_value = "cost")]
    pub objective: SearchObjective,
    /// Price of a device-hour, for all clusters or as `CLUSTER=USD` [default: the clusters']
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = parse_price)]
    pub price: Vec<(Option<String>, UsDollars)>,
    /// Failures that stop the job, such as `0.0005/d` [default: the clusters']
    #[arg(long, value_name = "RATE")]
    pub failures_per_device: Option<PerDay>,
    /// Rate at which a node writes its part of a checkpoint [default: the clusters']
    #[arg(long, value_name = "BANDWIDTH")]
    pub checkpoint_bandwidth: Option<BytesPerSecond>,
    /// From a failure to the start on other nodes [default: the clusters']
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub restart_time: Option<Seconds>,
    /// From a failure to the return of a node [default: the clusters']
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub repair_time: Option<Seconds>,
    /// Stop after this time with the cells that are done, such as `30s`
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    pub time_limit: Option<Seconds>,
    /// Threads; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = counts(1..=1024))]
    pub threads: Option<u64>,
    /// Parts of the plan that are fixed.
    #[command(flatten)]
    pub pins: PinArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Folder of the review [default: reports/MODEL-capacity, with a number where that holds another
    /// job's]
    #[arg(short, long, value_name = "DIR", conflicts_with = "no_report")]
    pub output: Option<PathBuf>,
    /// Write no review
    #[arg(long)]
    pub no_report: bool,
}

/// Reads an amount of money: `5M`, `750k`, `1_200_000`, with or without `USD`.
fn parse_money(text: &str) -> Result<UsDollars, String> {
    let wrong = || "write an amount of US dollars, such as `5M`, `750k` or `2.50`".to_owned();
    let plain = text.trim().trim_end_matches("USD").trim_end().replace('_', "");
    let (number, factor) = match plain.chars().last() {
        Some('K' | 'k') => (&plain[..plain.len() - 1], 1e3),
        Some('M' | 'm') => (&plain[..plain.len() - 1], 1e6),
        Some('B' | 'b') => (&plain[..plain.len() - 1], 1e9),
        _ => (plain.as_str(), 1.0),
    };
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(wrong());
    }
    let amount = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if amount > 0.0 && amount <= 1e15 {
        Ok(UsDollars::new(amount))
    } else {
        Err(format!("{amount} USD is not between nothing and 1e15"))
    }
}

/// Reads `2.50` or `h100=2.50`.
fn parse_price(text: &str) -> Result<(Option<String>, UsDollars), String> {
    match text.split_once('=') {
        Some((name, price)) => Ok((Some(name.to_owned()), parse_money(price)?)),
        None => Ok((None, parse_money(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read() {
        for (text, amount) in [("5M", 5e6), ("750k", 7.5e5), ("2.50 USD", 2.5), ("1_000", 1000.0)] {
            assert_eq!(parse_money(text), Ok(UsDollars::new(amount)), "{text}");
        }
        for wrong in ["", "M", "-1", "0", "1e400", "5 M EUR", "nan", "é", "5€"] {
            assert!(parse_money(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_price("h100=2.5"), Ok((Some("h100".to_owned()), UsDollars::new(2.5))));
    }
}
