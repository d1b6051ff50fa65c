//! `compare`.

use crate::args::CompareArgs;
use crate::compare;
use crate::failure::Failure;

pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let report = compare::run(args)?;
    args.output.write(&report.json())?;
    if !args.output.takes_stdout() {
        args.output.say(&report.table());
    }
    match report.first_fault() {
        None => Ok(()),
        Some(text) => {
            args.output.last_line(&text);
            Err(Failure::fault(text))
        }
    }
}
