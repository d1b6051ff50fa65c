//! The command line as a child process of tests: `cargo test -p procession-tests` builds no binary
//! of another package, so tests could not rely on finding `procession` itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    procession_cli::commands::main()
}
