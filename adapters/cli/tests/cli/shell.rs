//! Completions and the manual.

use super::support::{procession, run, status, stderr, stdout};

#[test]
fn each_shell_gets_a_script_that_names_the_commands() {
    for (shell, word) in [
        ("bash", "complete -F _procession"),
        ("zsh", "#compdef procession"),
        ("fish", "complete -c procession"),
    ] {
        let output = run(&["completions", shell]);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let script = stdout(&output);
        for word in [
            word,
            "compare",
            "consume",
            "report",
            "restart-at",
            "completions",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let output = run(&["completions", "tcsh"]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("tcsh") && stderr(&output).contains("fish"));
}

#[test]
fn bash_completes_with_it() {
    let script = stdout(&run(&["completions", "bash"]));
    let asks = "COMP_WORDS=(procession compare --form r); COMP_CWORD=3; COMPREPLY=()
        _procession procession r --form; echo \"${COMPREPLY[@]}\"";
    let bash = std::process::Command::new("bash")
        .args(["-c", &format!("{script}\n{asks}")])
        .output()
        .unwrap();
    assert_eq!(stdout(&bash).trim(), "raw", "{}", stderr(&bash));
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let page = stdout(&run(&["man"]));
    assert!(
        page.contains(".TH procession 1") && page.contains("status: 0 fine"),
        "{page}"
    );
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("man1");
    let output = procession().arg("man").arg(&into).output().unwrap();
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let read = |name: &str| std::fs::read_to_string(into.join(name)).unwrap();
    assert!(read("procession.1").contains("procession\\-compare(1)"));
    let compare = read("procession-compare.1");
    for word in ["without", "duration", "Examples"] {
        assert!(compare.contains(word), "{word} in {compare}");
    }
    assert!(read("procession-sim-run.1").contains("seeds"));
    // A directory that cannot be is named.
    let output = run(&["man", "/proc/none"]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("/proc/none"));
}
