//! The binary `procession`.

use std::process::ExitCode;

fn main() -> ExitCode {
    procession_cli::commands::main()
}
