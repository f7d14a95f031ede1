//! `explain`: arguments.

use crate::cli::args::Format;
use clap::Args;
use std::str::FromStr;

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Path of the plan
    pub plan: String,
    /// What another choice would have cost, such as `tp=4,pp=2`
    #[arg(long, value_name = "CHOICE")]
    pub why_not: Option<Choice>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Parts of a plan that was not chosen; the others stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// Tensor-parallel ways (`tp`).
    pub tensor: Option<u64>,
    /// Pipeline stages (`pp`).
    pub pipeline: Option<u64>,
    /// Data-parallel ways (`dp`).
    pub data: Option<u64>,
    /// Sequences of one micro-batch (`micro-batch`).
    pub micro_batch: Option<u64>,
    /// Model chunks of a stage (`virtual-stages`).
    pub virtual_stages: Option<u64>,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut choice = Choice::default();
        for part in text.split(',') {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is no choice: write `tp=4,pp=2`"))?;
            let field = match name.trim() {
                "tp" => &mut choice.tensor,
                "pp" => &mut choice.pipeline,
                "dp" => &mut choice.data,
                "micro-batch" => &mut choice.micro_batch,
                "virtual-stages" => &mut choice.virtual_stages,
                other => {
                    return Err(format!(
                        "`{other}` is none of tp, pp, dp, micro-batch, virtual-stages"
                    ));
                }
            };
            if field.is_some() {
                return Err(format!("`{}` stands twice", name.trim()));
            }
            let value = value.trim().parse().ok().filter(|value| *value > 0);
            *field = Some(value.ok_or_else(|| format!("`{part}` has no count of at least 1"))?);
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::Choice;

    #[test]
    fn choices_are_read() {
        let choice: Choice = "tp=4, pp=2".parse().unwrap();
        assert_eq!(choice, Choice { tensor: Some(4), pipeline: Some(2), ..Choice::default() });
        for wrong in ["", "tp", "tp=0", "tp=x", "xp=1", "tp=1,tp=2"] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }
}
