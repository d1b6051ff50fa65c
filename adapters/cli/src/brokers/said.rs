//! What a program said before it ended.

/// The reason in a program's output: the last cause in a Java stack trace (what follows it is only
/// about the end), else the last line that says something.
pub(super) fn reason(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = || text.lines().map(str::trim);
    if let Some(cause) = lines().rev().find_map(|l| l.strip_prefix("Caused by: ")) {
        return cause.to_owned();
    }
    let frame = |line: &str| line.starts_with("at ");
    let last = lines().rfind(|line| !line.is_empty() && !frame(line));
    last.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn the_cause_of_a_stack_trace_is_the_reason() {
        let bare = "starting\nError: x\n\tat a.B.c(B.java:1)\n\n";
        assert_eq!(reason(bare.as_bytes()), "Error: x");
        let caused = format!("{bare}Caused by: y\n\tat a.B.d(B.java:2)\n\t... 12 more\nending\n");
        assert_eq!(reason(caused.as_bytes()), "y");
        assert_eq!(reason(b" \n"), "no message");
    }
}
