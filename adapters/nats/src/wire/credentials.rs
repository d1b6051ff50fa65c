//! Who we are, and how we prove it to a server.

use core::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Serialize;

use super::file;

/// Who we are. Files are read for every connection: what they hold may be replaced at any time, by
/// something that is valid for longer.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    #[default]
    None,
    Password {
        user: String,
        password: String,
    },
    Token(String),
    /// A file with the seed of an NKEY.
    Nkey(PathBuf),
    /// A file with a JWT and the seed of its NKEY.
    Jwt(PathBuf),
}

/// How the fields are called that name files.
pub(crate) const NKEY_FILE: &str = "nkey_file";
pub(crate) const CREDENTIALS_FILE: &str = "credentials_file";

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Password { .. } => "user and password",
            Self::Token(_) => "token",
            Self::Nkey(_) => "nkey file",
            Self::Jwt(_) => "credentials file",
        })
    }
}

/// The fields of `CONNECT` that say who we are. Secret: it has no `Debug`.
#[derive(Default, Serialize)]
pub(crate) struct Proof {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

impl Credentials {
    /// Reads the files that are named.
    ///
    /// # Errors
    /// In words, with the field, the path and what to do; never with what a file holds.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.prove("").map(drop)
    }

    /// Proves who we are to a server that asked with this nonce.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn prove(&self, nonce: &str) -> Result<Proof, String> {
        let nothing = Proof::default();
        Ok(match self {
            Self::None => nothing,
            Self::Password { user, password } => Proof {
                user: Some(user.clone()),
                pass: Some(password.clone()),
                ..nothing
            },
            Self::Token(token) => Proof {
                auth_token: Some(token.clone()),
                ..nothing
            },
            Self::Nkey(path) => {
                let text = file::read_text(NKEY_FILE, path)?;
                let seed = block(&text, "SEED").or_else(|| bare(&text));
                let pair = key_pair(NKEY_FILE, path, seed)?;
                Proof {
                    nkey: Some(pair.public_key()),
                    sig: Some(sign(NKEY_FILE, path, &pair, nonce)?),
                    ..nothing
                }
            }
            Self::Jwt(path) => {
                let text = file::read_text(CREDENTIALS_FILE, path)?;
                let jwt = block(&text, "JWT").ok_or_else(|| {
                    file::unfit(
                        CREDENTIALS_FILE,
                        path,
                        "it holds no user JWT (-----BEGIN NATS USER JWT-----)",
                        CREDENTIALS_FIX,
                    )
                })?;
                let pair = key_pair(CREDENTIALS_FILE, path, block(&text, "SEED"))?;
                Proof {
                    jwt: Some(jwt.to_owned()),
                    sig: Some(sign(CREDENTIALS_FILE, path, &pair, nonce)?),
                    ..nothing
                }
            }
        })
    }

    /// Whether a server has to send a nonce.
    pub(crate) const fn need_nonce(&self) -> bool {
        matches!(self, Self::Nkey(_) | Self::Jwt(_))
    }
}

const CREDENTIALS_FIX: &str = "give a .creds file as `nsc generate creds` writes it";

fn key_pair(field: &str, path: &Path, seed: Option<&str>) -> Result<KeyPair, String> {
    let fix = if field == NKEY_FILE {
        "give a file with the seed of a user (SU...), as `nk -gen user` writes it"
    } else {
        CREDENTIALS_FIX
    };
    let seed = seed.ok_or_else(|| file::unfit(field, path, "it holds no seed of an NKEY", fix))?;
    // The reason would be told in terms of the secret itself.
    let pair = KeyPair::from_seed(seed)
        .map_err(|_| file::unfit(field, path, "its seed is damaged", fix))?;
    if pair.key_pair_type() != KeyPairType::User {
        return Err(file::unfit(
            field,
            path,
            "its seed is not that of a user",
            fix,
        ));
    }
    Ok(pair)
}

fn sign(field: &str, path: &Path, pair: &KeyPair, nonce: &str) -> Result<String, String> {
    pair.sign(nonce.as_bytes())
        .map(|signature| URL_SAFE_NO_PAD.encode(signature))
        .map_err(|_| file::unfit(field, path, "its seed does not sign", CREDENTIALS_FIX))
}

/// What stands in the block `-----BEGIN ... <what>-----`.
fn block<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| {
        line.starts_with("---")
            && line.contains("BEGIN")
            && line.trim_end_matches('-').ends_with(what)
    })?;
    lines
        .find(|line| !line.is_empty())
        .filter(|line| !line.starts_with('-'))
}

/// The first line that says anything, for a seed alone in its file.
fn bare(text: &str) -> Option<&str> {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn decorated(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\r\n{seed}\r\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn a_nonce_is_signed_with_the_seed_of_the_file() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        for text in [
            seed.clone(),
            format!("# the billing service\n  {seed}  \n"),
            decorated("x.y.z", &seed),
        ] {
            let (_dir, path) = written(&text);
            let proof = Credentials::Nkey(path).prove("nonce").unwrap();
            assert_eq!(proof.nkey, Some(pair.public_key()));
            let signature = URL_SAFE_NO_PAD.decode(proof.sig.unwrap()).unwrap();
            pair.verify(b"nonce", &signature).unwrap();
            assert!(proof.jwt.is_none());
        }
        let (_dir, path) = written(&decorated("x.y.z", &seed));
        let proof = Credentials::Jwt(path).prove("nonce").unwrap();
        assert_eq!(proof.jwt.as_deref(), Some("x.y.z"));
        let signature = URL_SAFE_NO_PAD.decode(proof.sig.unwrap()).unwrap();
        pair.verify(b"nonce", &signature).unwrap();
        assert!(proof.nkey.is_none());
    }

    #[test]
    fn files_that_do_not_do_are_refused_without_telling_what_they_hold() {
        let seed = KeyPair::new_user().seed().unwrap();
        let account = KeyPair::new_account().seed().unwrap();
        let mut damaged = seed.clone();
        damaged.replace_range(
            20..22,
            if seed[20..].starts_with("AA") {
                "BB"
            } else {
                "AA"
            },
        );
        let nkey: fn(PathBuf) -> Credentials = Credentials::Nkey;
        let table = [
            (nkey, String::new(), "holds no seed"),
            (nkey, "SUAM".into(), "damaged"),
            (nkey, damaged.clone(), "damaged"),
            (nkey, account, "not that of a user"),
            (Credentials::Jwt, seed.clone(), "holds no user JWT"),
            (
                Credentials::Jwt,
                "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n".into(),
                "holds no seed",
            ),
            (Credentials::Jwt, decorated("a.b.c", &damaged), "damaged"),
            (Credentials::Jwt, decorated("", &seed), "holds no user JWT"),
            (nkey, "x".repeat(2 << 20), "larger than"),
        ];
        for (kind, text, says) in table {
            let (_dir, path) = written(&text);
            let error = kind(path.clone()).check().unwrap_err();
            let field = if kind(path.clone()) == nkey(path.clone()) {
                NKEY_FILE
            } else {
                CREDENTIALS_FILE
            };
            for part in [field, &path.display().to_string(), says, "; "] {
                assert!(error.contains(part), "{error}");
            }
            assert!(!error.contains(&text) || text.is_empty(), "{error}");
            assert!(!error.contains(&damaged[..12]), "{error}");
        }
        let error = Credentials::Nkey("/no/such/seed".into())
            .check()
            .unwrap_err();
        assert!(error.contains("`nkey_file` is /no/such/seed"), "{error}");
        // The secret itself in the place of a path.
        for secret in [&seed, "eyJ0eXAiOiJKV1QifQ.e30.c2ln"] {
            let error = Credentials::Nkey(secret.into()).check().unwrap_err();
            assert!(
                !error.contains(secret) && error.contains("not the secret itself"),
                "{error}"
            );
        }
    }
}
