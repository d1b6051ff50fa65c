//! The bodies of the fuzz targets, on a stable toolchain: over the committed corpora, and over what a
//! few changed bytes make of them.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/src/bodies.rs"]
mod bodies;

use std::path::{Path, PathBuf};

use procession_sim::hash;

/// Changes of each file.
const CHANGES: u64 = 20;

fn corpus(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_body_holds_over_its_corpus() {
    for (name, body) in bodies::BODIES {
        let paths = corpus(name);
        assert!(paths.len() >= 3, "{name}: {} files", paths.len());
        for path in paths {
            let bytes = std::fs::read(&path).unwrap();
            body(&bytes);
            for round in 0..CHANGES {
                let bits = hash(round, 1, bytes.len() as u64, 0);
                let mut changed = bytes.clone();
                if let Some(byte) = changed.get_mut(bits as usize % bytes.len().max(1)) {
                    *byte ^= 1 << (bits >> 40 & 7);
                }
                body(&changed);
            }
        }
    }
}
