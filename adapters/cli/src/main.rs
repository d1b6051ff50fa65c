//! The binary `procession`.

use std::process::ExitCode;

/// So that `bench --core` can say what the core allocates.
#[cfg(feature = "bench")]
#[global_allocator]
static ALLOCATOR: procession_counting::Counting = procession_counting::Counting;

fn main() -> ExitCode {
    procession_cli::commands::main()
}
