//! Integration tests: one binary, one module for each behaviour, by what they prove. What stands in
//! `src` beside the code (`*_tests.rs`, `mod tests`) proves one file or folder from inside: brute
//! force over the planner's spaces, formulas by hand. `tests/solvers`, `tests/export` and
//! `tests/executor` (with libtorch) are binaries of their own.

// Files: what is read, what is refused and how, what is written of them.
mod catalogue;
mod import;
mod invalid_files;
mod machine;
mod mutations;
mod quantities;
mod schemas;
mod valid_files;

// Graphs: operators, blocks, parameters as their sources count them.
mod graph;
mod parameters;

// The cost model: measured kernels, published runs, what never may be otherwise.
mod cost_calibration;
mod cost_properties;
mod validate;
mod validate_mapping;

// Plans: what the search writes holds, published plans are found or beaten.
mod check;
mod plans;
mod published_plans;

// Reports: text, charts, files written whole or not at all.
mod report;
mod report_sample;
mod report_write;

// Commands: what they print, refuse and say, and that pages say the same.
mod capacity;
mod command_line;
mod fine_tuning;
mod gpu_check;
mod guide;
mod messages;
mod newcomer;
mod transcripts;

// The house: imports run one way, files stay short.
mod architecture;
mod circles;
mod tidy;
