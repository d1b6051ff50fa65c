//! The source files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// One source file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path below the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Its lines of code with their numbers: comments cut off, and everything after the line that
    /// opens its tests left out.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..)
            .zip(self.text.lines())
            .take_while(|(_, line)| line.trim_end() != "#[cfg(test)]" || self.is_module_list())
            .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// In `lib.rs` and `mod.rs` a `#[cfg(test)]` stands before one line, not before the rest.
    fn is_module_list(&self) -> bool {
        self.path.ends_with("/lib.rs") || self.path.ends_with("/mod.rs")
    }
}

/// All Rust files below `folders` of the root, sorted by path. Build output is left out.
#[must_use]
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for folder in folders {
        collect(&root, &root.join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, into: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(root, &path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && let Ok(text) = fs::read_to_string(&path)
        {
            let below = path.strip_prefix(root).unwrap_or(&path);
            into.push(Source {
                path: below.to_string_lossy().replace('\\', "/"),
                text,
            });
        }
    }
}
