//! Progress on a terminal, quiet in a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner on standard error; nothing is drawn when that is not a terminal.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(what.to_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}

/// A bar over `total` messages on standard error; nothing is drawn when that is not a terminal.
pub(crate) fn bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len} {per_sec} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// A line on standard error, for what people want to know and programs do not read.
pub(crate) fn say(what: &str) {
    use std::io::Write as _;
    let _nobody_listens = writeln!(std::io::stderr(), "{what}");
}

/// A name that nobody has used: `run-3f9a01c2`.
pub(crate) fn random_name(what: &str) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!(
        "{what}-{:08x}",
        RandomState::new().hash_one(std::process::id()) >> 32
    )
}
