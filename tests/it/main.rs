//! Integration tests: one binary, one module for each behaviour.

mod architecture;
mod catalogue;
mod command_line;
mod gpu_check;
mod import;
mod invalid_files;
mod machine;
mod messages;
mod mutations;
mod plans;
mod quantities;
mod schemas;
mod tidy;
mod transcripts;
mod valid_files;
