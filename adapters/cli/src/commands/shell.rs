//! `completions` and `man`: made from the arguments themselves, so that they say nothing else.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::{Generator, shells};

use crate::args::{Arguments, CompletionsArgs, ManArgs, Shell};
use crate::failure::Failure;

pub(super) fn completions(args: &CompletionsArgs) {
    let script = match args.shell {
        Shell::Bash => script(shells::Bash),
        Shell::Zsh => script(shells::Zsh),
        Shell::Fish => script(shells::Fish),
    };
    let _closed_pipe = std::io::stdout().write_all(&script);
}

fn script(shell: impl Generator) -> Vec<u8> {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "procession", &mut script);
    script
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
        rendered.map_err(|e| Failure::usage(format!("the page cannot be made: {e}")))?;
        let _closed_pipe = std::io::stdout().write_all(&page);
        return Ok(());
    };
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), dir));
    written.map_err(|e| {
        Failure::usage(format!(
            "{}: cannot be written: {e}; name a directory that is writable",
            dir.display()
        ))
    })
}
