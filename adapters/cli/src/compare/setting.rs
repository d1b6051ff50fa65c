//! What figures were measured with: without it they mean little.

use std::fs;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::{CompareArgs, Without};

/// The machine, the moment and the command.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    started: String,
    command: String,
    load_before: Option<f64>,
    load_after: Option<f64>,
}

impl Setting {
    /// Now, on this machine, as this process was called.
    pub(super) fn now() -> Self {
        let now = OffsetDateTime::now_utc();
        let second = now.replace_nanosecond(0).unwrap_or(now);
        Self {
            started: second.format(&Rfc3339).unwrap_or_default(),
            command: command(std::env::args()),
            load_before: load_average(),
            load_after: None,
        }
    }

    /// Everything was run.
    pub(super) fn end(&mut self) {
        self.load_after = load_average();
    }

    /// Writes `started`, `command`, `machine` and `options`.
    pub(super) fn write_into(&self, value: &mut Value, args: &CompareArgs) {
        value["started"] = json!(self.started);
        value["command"] = json!(self.command);
        value["machine"] = json!({
            "cpus": std::thread::available_parallelism().map_or(0, usize::from),
            "memory_bytes": memory_bytes(),
            "system": system(),
            // Processes that ran or wanted to, over a minute: this one's own, and others.
            "load_average": { "before": self.load_before, "after": self.load_after },
        });
        value["options"] = options(args);
    }
}

fn options(args: &CompareArgs) -> Value {
    json!({
        "seed": args.seed,
        "senders": args.senders.to_string(),
        "form": args.form.name(),
        "storage": args.storage.name(),
        "fail_rate": args.fail_rate.get(),
        "poison_rate": args.poison_rate.get(),
        "republish_rate": args.republish_rate.get(),
        "restart_at": args.restart_at.map(|share| share.get()),
        "handler_time": args.handler_time.map(|time| time.to_string()),
        "repeat": args.repeat,
        "duration_s": args.duration.map(|duration| duration.as_secs_f64()),
        "without": args.without.map(Without::name),
    })
}

/// The command line, to be run again; what a URL says of users and passwords is left out.
fn command(words: impl Iterator<Item = String>) -> String {
    let mut said = vec!["procession".to_owned()];
    said.extend(words.skip(1).map(|word| {
        let word = without_secrets(&word);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+*!".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    }));
    said.join(" ")
}

fn without_secrets(word: &str) -> String {
    let Some((scheme, hosts)) = word.split_once("://") else {
        return word.to_owned();
    };
    // A password may hold a comma: everything up to the last `@` may belong to one.
    match hosts.rsplit_once('@') {
        Some((_, last)) => format!("{scheme}://***@{last}"),
        None => word.to_owned(),
    }
}

/// Of the last minute.
fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

fn system() -> String {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    // 6.18: what comes after it names a build.
    let version: Vec<_> = release.splitn(3, '.').take(2).collect();
    format!(
        "{} {} {}",
        name.sysname().to_string_lossy(),
        version.join("."),
        name.machine().to_string_lossy()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_run_again_and_tells_no_secret() {
        let words = [
            "/long/way/to/procession",
            "compare",
            "--on",
            "nats://me:secret,1@a:4222,you:hidden@b:4222",
            "--html",
            "it's <mine>.html",
            "--on=kafka://a:1",
        ];
        let said = command(words.into_iter().map(str::to_owned));
        assert_eq!(
            said,
            r"procession compare --on nats://***@b:4222 --html 'it'\''s <mine>.html' --on=kafka://a:1"
        );
    }

    #[test]
    fn the_machine_is_named() {
        let mut value = json!({});
        let mut setting = Setting::now();
        setting.end();
        setting.write_into(&mut value, &CompareArgs::default());
        assert!(value["machine"]["cpus"].as_u64() > Some(0));
        assert!(value["machine"]["memory_bytes"].as_u64() > Some(1 << 20));
        assert!(value["machine"]["load_average"]["after"].is_number());
        let started = value["started"].as_str().unwrap();
        assert!(
            OffsetDateTime::parse(started, &Rfc3339).is_ok(),
            "{started}"
        );
        assert_eq!(value["options"]["repeat"], 1);
    }
}
