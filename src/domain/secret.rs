//! What nobody may read: it is handed to whoever it opens something for, and never printed.

use std::fmt;

/// A password or token. Prints `***`, whatever asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself: for handing to a driver, never for printing.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The value of an option that a driver or a store knows by its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OptionValue {
    Plain(String),
    Secret(Secret),
}

impl OptionValue {
    /// The value itself: for handing to whoever knows the option.
    pub(crate) fn reveal(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.reveal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars_only() {
        let secret = Secret::new("canary-7f".to_owned());
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
    }
}
