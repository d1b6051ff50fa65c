//! Files that settings name.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Largest file that is read: a bundle of all certificate authorities there are is a quarter of it.
const FILE_MAX: u64 = 1 << 20;

/// What a file holds; in words what is wrong with it otherwise.
pub(crate) fn read(field: &str, path: &Path) -> Result<Vec<u8>, String> {
    let fix = "give the path of a file that this process may read";
    let failed =
        |error: std::io::Error| unfit(field, path, &format!("it cannot be read: {error}"), fix);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if FILE_MAX < bytes.len() as u64 {
        let problem = format!("it is larger than {FILE_MAX} bytes");
        return Err(unfit(field, path, &problem, "give the right file"));
    }
    Ok(bytes)
}

/// As [`read`], for text.
pub(crate) fn read_text(field: &str, path: &Path) -> Result<String, String> {
    String::from_utf8(read(field, path)?)
        .map_err(|_| unfit(field, path, "it is not text", "give the right file"))
}

/// What is wrong with a file, with the name of its field and its path.
pub(crate) fn unfit(field: &str, path: &Path, problem: &str, fix: &str) -> String {
    let shown = path.display().to_string();
    if is_secret(&shown) {
        return format!("`{field}` is ***: give the path of a file, not the secret itself");
    }
    format!("`{field}` is {shown}: {problem}; {fix}")
}

/// Whether somebody wrote a seed, a JWT or a key where a path belongs.
fn is_secret(text: &str) -> bool {
    let base32 = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
    text.starts_with("eyJ")
        || text.contains("-----BEGIN")
        || (50 <= text.len() && text.chars().all(base32))
}
