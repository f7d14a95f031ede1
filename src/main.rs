//! The `lmplan` command; all of it is in [`lmplan::cli`].

fn main() -> std::process::ExitCode {
    lmplan::cli::main()
}
