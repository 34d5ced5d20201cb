//! `make bench-memory`: see [`bench::memory`].

use std::process::ExitCode;

use clap::Parser;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

// One thread: what is allocated when then depends on the input alone.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match bench::memory::run(bench::memory::Options::parse(), ALLOCATOR).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-memory: {error}");
            ExitCode::FAILURE
        }
    }
}
