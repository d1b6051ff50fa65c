//! `completions` and `man`.

use std::path::PathBuf;

/// `completions`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    procession completions bash > ~/.local/share/bash-completion/completions/procession\n  \
    procession completions zsh > ~/.zfunc/_procession   (with ~/.zfunc in fpath)\n  \
    procession completions fish > ~/.config/fish/completions/procession.fish")]
pub struct CompletionsArgs {
    /// The shell to complete in.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Shells that can complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

/// `man`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    procession man | man -l -\n  \
    procession man ~/.local/share/man/man1; man procession-compare")]
pub struct ManArgs {
    /// Write a page for each command into this directory, which is made where it is missing; without
    /// it, the page of the program goes to standard output.
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
