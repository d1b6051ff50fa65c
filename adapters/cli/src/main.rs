//! The binary `procession`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Messages are made on one thread and dropped on another, which is where allocators differ most.
#[cfg(not(feature = "bench"))]
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The same, counting, so that `bench --core` can say what the core allocates.
#[cfg(feature = "bench")]
#[global_allocator]
static ALLOCATOR: procession_counting::Counting<MiMalloc> = procession_counting::Counting(MiMalloc);

fn main() -> ExitCode {
    procession_cli::commands::main()
}
