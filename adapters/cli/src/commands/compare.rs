//! `compare`.

use crate::args::CompareArgs;
use crate::compare;
use crate::failure::Failure;
use crate::html::Comparison;

use super::report::write_page;

pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    if let Some(path) = &args.html {
        super::report::prepare(path)?;
    }
    let report = compare::run(args)?;
    let json = report.json();
    args.output.write(&json)?;
    if let Some(path) = &args.html {
        // From the data that everybody can have, so that it says nothing else.
        let comparison = Comparison::read(&json).map_err(Failure::usage)?;
        write_page(&[comparison], path)?;
    }
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
