//! How a handler fails.

use std::fmt;
use std::sync::Arc;

use procession_runtime::subscription::Verdict;

/// A failed attempt, and what is to follow.
///
/// Every error turns into one by `?`, and means: try again. [`reject`](Self::reject) and
/// [`stop`](Self::stop) change that. It is no `std::error::Error` itself, as no type can be that
/// and take all errors by `?`.
///
/// ```
/// use procession::HandlerError;
///
/// fn bill(total: &str) -> Result<u32, HandlerError> {
///     if total.is_empty() {
///         return Err(HandlerError::new("an order without a total").reject());
///     }
///     Ok(total.parse()?) // tried again
/// }
/// # assert!(bill("x").is_err());
/// ```
#[derive(Clone)]
#[must_use = "it changes nothing until the handler returns it"]
pub struct HandlerError {
    class: Class,
    text: Arc<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Retry,
    Reject,
    Stop,
}

/// The longest text of an error that is kept, in bytes.
const TEXT_MAX: usize = 4 * 1024;

impl HandlerError {
    /// An error with a text: try again.
    pub fn new(text: impl fmt::Display) -> Self {
        Self {
            class: Class::Retry,
            text: cut(text.to_string()).into(),
        }
    }

    /// Not again: the message goes to the dead-letter topic now.
    pub fn reject(mut self) -> Self {
        self.class = Class::Reject;
        self
    }

    /// The subscription ends; the message stays unfinished and comes again later.
    pub fn stop(mut self) -> Self {
        self.class = Class::Stop;
        self
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        match self.class {
            Class::Retry => Verdict::Retry(self.text),
            Class::Reject => Verdict::Reject(self.text),
            Class::Stop => Verdict::Stop(self.text),
        }
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    /// The text of the error and of all its sources.
    fn from(error: E) -> Self {
        Self::new(with_sources(error.to_string(), error.source()))
    }
}

/// The text of an error, followed by those of its sources.
pub(crate) fn with_sources(
    mut text: String,
    mut source: Option<&(dyn std::error::Error + 'static)>,
) -> String {
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors repeat their source's text in their own.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        if TEXT_MAX < text.len() {
            break;
        }
        source = cause.source();
    }
    text
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.class, self.text)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn cut(mut text: String) -> String {
    if TEXT_MAX < text.len() {
        let end = (0..=TEXT_MAX).rev().find(|&i| text.is_char_boundary(i));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_retry_with_its_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("billing failed")]
        struct Billing(#[source] std::num::ParseIntError);

        let fail = || -> Result<(), HandlerError> {
            "x".parse::<u32>().map_err(Billing)?;
            Ok(())
        };
        let error = fail().unwrap_err();
        let text = "billing failed: invalid digit found in string";
        assert_eq!(error.clone().into_verdict(), Verdict::Retry(text.into()));
        let rejected = error.clone().reject().into_verdict();
        assert_eq!(rejected, Verdict::Reject(text.into()));
        assert_eq!(error.stop().into_verdict(), Verdict::Stop(text.into()));
    }

    #[test]
    fn long_texts_are_cut() {
        let error = HandlerError::new("ä".repeat(TEXT_MAX));
        assert!(error.to_string().len() <= TEXT_MAX + '…'.len_utf8());
    }
}
