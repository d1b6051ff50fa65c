//! The commands.

#[cfg(feature = "bench")]
mod bench;
mod brokers;
mod check;
mod compare;
mod replay;
mod report;
mod shell;
mod shrink;
mod sim;
mod work;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command, CompareArgs, Output};
use crate::failure::{Failure, Status};

/// The whole program: reads the arguments, runs the command, says how it ended.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let status = if error.use_stderr() {
                Status::Usage
            } else {
                Status::Fine
            };
            let _closed_pipe = error.print();
            return status.into();
        }
    };
    let ended = match arguments.command {
        #[cfg(feature = "bench")]
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Brokers(args)) => brokers::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Completions(args)) => {
            shell::completions(&args);
            Ok(())
        }
        Some(Command::Man(args)) => shell::man(&args),
        Some(Command::Report(args)) => report::run(&args),
        None => compare::run(&CompareArgs::default()),
        Some(Command::Sim(args)) => sim::run(&args),
        Some(Command::Shrink(args)) => shrink::run(&args),
        // It has exit statuses of its own.
        Some(Command::Replay(args)) => match replay::run(&args) {
            Ok(status) => return status,
            Err(failure) => Err(failure),
        },
        Some(Command::Produce(args)) => work::produce(&args),
        Some(Command::Consume(args)) => work::consume(&args),
    };
    match ended {
        Ok(()) => Status::Fine.into(),
        Err(failure) => {
            let word = if failure.status == Status::Fault {
                "fault"
            } else {
                "error"
            };
            let _closed_pipe = writeln!(std::io::stderr(), "{word}: {failure}");
            failure.status.into()
        }
    }
}

impl Output {
    /// Whether standard output belongs to the JSON.
    fn takes_stdout(&self) -> bool {
        self.json
            .as_ref()
            .is_some_and(|path| path.as_os_str() == "-")
    }

    /// Makes sure that the file can be written, before anything long is run.
    fn prepare(&self) -> Result<(), Failure> {
        match &self.json {
            Some(path) if !self.takes_stdout() => std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map(drop)
                .map_err(|e| self.unwritable(&e)),
            _ => Ok(()),
        }
    }

    /// Writes the result, where one was asked for.
    fn write(&self, value: &serde_json::Value) -> Result<(), Failure> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let text = format!("{value:#}\n");
        if self.takes_stdout() {
            // A reader that went away early wants no error.
            let _closed_pipe = std::io::stdout().write_all(text.as_bytes());
            return Ok(());
        }
        std::fs::write(path, text).map_err(|e| self.unwritable(&e))
    }

    /// Says something to people: on standard output, or on standard error when that is taken.
    fn say(&self, text: &str) {
        let _closed_pipe = if self.takes_stdout() {
            writeln!(std::io::stderr(), "{text}")
        } else {
            writeln!(std::io::stdout(), "{text}")
        };
    }

    /// The last line of a run that found a fault, also where standard output is read alone.
    fn last_line(&self, text: &str) {
        if !self.takes_stdout() && !std::io::stdout().is_terminal() {
            let _closed_pipe = writeln!(std::io::stdout(), "fault: {text}");
        }
    }

    fn unwritable(&self, error: &std::io::Error) -> Failure {
        let path = self.json.clone().unwrap_or_default();
        Failure::usage(format!(
            "--json {}: cannot be written: {error}; name a file in a directory that exists and is \
             writable, or - for standard output",
            path.display()
        ))
    }
}
