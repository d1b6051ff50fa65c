//! `bench`.

use crate::args::BenchArgs;
use crate::bench;
use crate::failure::Failure;

pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let (json, text) = if args.core {
        let report = bench::run_core();
        (report.json(), report.text())
    } else {
        let report = bench::run(args)?;
        (report.json(), report.text())
    };
    args.output.write(&json)?;
    if !args.output.takes_stdout() {
        args.output.say(&text);
    }
    Ok(())
}
