//! The crate keeps its own rules: tokio in one module, files of a readable size.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Lines of code that name tokio: comments and string literals without a path do not count.
fn names_tokio(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .filter(|code| code.contains("tokio"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn only_the_outermost_module_names_tokio() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&source, &mut files);
    assert!(30 < files.len(), "the sources were not found");
    let mut seen = 0;
    for file in files {
        let name = file.strip_prefix(&source).unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let lines = names_tokio(&text);
        if name == Path::new("tokio.rs") {
            seen = lines.len();
        } else if name == Path::new("lib.rs") {
            // The feature and the module itself.
            assert_eq!(
                lines,
                ["#[cfg(feature = \"tokio\")]", "pub mod tokio;"],
                "{}",
                name.display()
            );
        } else {
            assert_eq!(lines, Vec::<String>::new(), "{}", name.display());
        }
        let count = text.lines().count();
        assert!(
            count <= FILE_LINES_MAX,
            "{} has {count} lines",
            name.display()
        );
    }
    assert!(0 < seen, "the check finds nothing even where tokio is used");
}
