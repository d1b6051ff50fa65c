//! Who we are, and how we prove it to a server.

use core::fmt;

use serde::Serialize;

/// Who we are.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    #[default]
    None,
    Password {
        user: String,
        password: String,
    },
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Password { .. } => "user and password",
            Self::Token(_) => "token",
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
}

impl Credentials {
    /// Proves who we are.
    pub(crate) fn prove(&self) -> Proof {
        let nothing = Proof::default();
        match self {
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
        }
    }
}
