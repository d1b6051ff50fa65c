//! House rules that the compiler does not know.
#![allow(clippy::unwrap_used)]

use procession_tests::tree::{Source, sources};

/// Findings of `rule` in all `folders`, one per line of the message.
fn check(folders: &[&str], rule: impl Fn(&Source) -> Vec<String>) {
    let files = sources(folders);
    assert!(!files.is_empty(), "no sources below {folders:?}");
    let found: Vec<_> = files.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Lines of code that hold one of `words`.
fn naming(file: &Source, words: &[&str]) -> Vec<String> {
    let hits = file.code().filter_map(|(number, line)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!(
            "{}:{number}: `{word}` has no place here",
            file.path
        ))
    });
    hits.collect()
}

#[test]
fn no_file_is_longer_than_600_lines() {
    check(&["."], |file| {
        let lines = file.text.lines().count();
        let long = lines > 600;
        long.then(|| format!("{}: {lines} lines, at most 600", file.path))
            .into_iter()
            .collect()
    });
}

#[test]
fn nothing_is_left_to_do() {
    // Spelled in halves, so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
    ];
    check(&["."], |file| naming(file, &words));
}

/// S11: the core and the simulator are functions of their inputs.
#[test]
fn the_core_and_the_simulator_have_no_clock_and_no_chance() {
    let words = [
        "Instant::now",
        "SystemTime::now",
        "RandomState",
        "getrandom",
        "rand::",
    ];
    // The programs around the simulators measure and spread seeds over threads.
    let programs = ["sim/src/bin/", "sim/driver/src/bin/"];
    let folders = ["core/src", "sim/src", "sim/driver/src", "tape/src"];
    check(&folders, |file| {
        if programs
            .iter()
            .any(|program| file.path.starts_with(program))
        {
            return Vec::new();
        }
        naming(file, &words)
    });
    let words = [
        "std::time",
        "std::thread",
        "std::env",
        "std::fs",
        "std::net",
    ];
    check(&["core/src"], |file| naming(file, &words));
}

/// S11: the order of a hash table is nobody's business.
#[test]
fn no_hash_table_is_walked() {
    // Invariant checks: a breach is found in any order.
    let waived = [("core/src/producer/lanes.rs", "`table`")];
    let folders = ["core/src", "sim/src", "sim/driver/src", "tape/src"];
    check(&folders, |file| {
        let mut found = walks_a_table(file);
        found.retain(|finding| {
            let waives =
                |(path, table): &(&str, &str)| file.path == *path && finding.contains(table);
            !waived.iter().any(waives)
        });
        found
    });
}

/// Lines that walk a field or variable whose declared type, in the same file, is a hash table.
fn walks_a_table(file: &Source) -> Vec<String> {
    let kinds = ["HashMap<", "HashSet<", "HashTable<"];
    let names = file.code().filter_map(|(_, line)| {
        let kind = kinds.iter().find_map(|kind| line.find(kind))?;
        let (name, _) = line[..kind].rsplit_once(": ")?;
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let start = name.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        (!name[start..].is_empty()).then(|| name[start..].to_owned())
    });
    let names: Vec<_> = names.collect();
    let walks = [
        "iter",
        "iter_mut",
        "keys",
        "values",
        "values_mut",
        "drain",
        "retain",
        "into_iter",
    ];
    let hits = file.code().filter_map(|(number, line)| {
        let walked = names.iter().find(|name| {
            let by_method = walks
                .iter()
                .any(|walk| line.contains(&format!("{name}.{walk}(")));
            let by_loop = line.trim_start().starts_with("for ")
                && (line.contains(&format!("in &self.{name} "))
                    || line.contains(&format!("in &{name} ")));
            by_method || by_loop
        })?;
        Some(format!(
            "{}:{number}: walks the hash table `{walked}`",
            file.path
        ))
    });
    hits.collect()
}

/// The driver runs on any executor: tokio is named in its outermost module alone.
#[test]
fn tokio_stays_outside() {
    let words = ["tokio::", "tokio;"];
    let folders = [
        "core/src",
        "sim/src",
        "sim/driver/src",
        "adapters/memory/src",
    ];
    check(&folders, |file| naming(file, &words));
    check(&["adapters/runtime/src"], |file| {
        let outermost = [
            "adapters/runtime/src/tokio.rs",
            "adapters/runtime/src/lib.rs",
        ];
        if outermost.contains(&file.path.as_str()) {
            return Vec::new();
        }
        naming(file, &words)
    });
}

/// The second opinion on histories is one: it shares no code with what it judges.
#[test]
fn the_check_shares_nothing_with_the_bus() {
    let words = [
        "procession::",
        "procession_core",
        "procession_runtime",
        "procession_memory",
        "procession_nats",
        "procession_sim",
        "crate::history",
        "crate::compare",
    ];
    check(&["adapters/cli/src/check"], |file| naming(file, &words));
    // The one of the driver simulator reads a history of its own.
    let words = ["procession_core", "procession_runtime", "procession_memory"];
    check(&["sim/driver/src/check"], |file| naming(file, &words));
}

/// Arrows only point down: the core knows no broker, no executor, no thread.
#[test]
fn the_core_depends_on_little() {
    let manifest = std::fs::read_to_string(procession_tests::tree::root().join("core/Cargo.toml"));
    let manifest = manifest.unwrap();
    let (_, rest) = manifest.split_once("[dependencies]").unwrap();
    let allowed = ["bytes", "hashbrown", "smallvec"];
    for line in rest
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('['))
    {
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        let fine = name.is_empty() || name.starts_with('#') || allowed.contains(&name);
        assert!(fine, "core/Cargo.toml: `{name}` is not one of {allowed:?}");
    }
}

#[test]
fn the_rules_can_find_something() {
    let file = |text: &str| Source {
        path: "core/src/x.rs".into(),
        text: text.into(),
    };
    let bad = file("let t = Instant::now();\n// Instant::now\n#[cfg(test)]\nInstant::now\n");
    assert_eq!(naming(&bad, &["Instant::now"]).len(), 1);
    for text in [
        "places: HashMap<u128, u32>,\nfor x in self.places.values() {}",
        "let seen: HashSet<u8> = x;\nfor x in &seen {",
        "pub(crate) table: hashbrown::HashTable<u32>,\nself.table.retain(|_| true);",
    ] {
        assert_eq!(walks_a_table(&file(text)).len(), 1, "{text}");
    }
    let fine = "places: HashMap<u128, u32>,\nself.places.get(&1); list.iter();";
    assert!(walks_a_table(&file(fine)).is_empty());
}
