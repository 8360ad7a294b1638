//! Channels: the ways in which people are told of an alert. Plain data; who speaks to them is
//! decided elsewhere.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use strum::{EnumCount, VariantArray};

use super::connection::Secret;

/// A way of telling people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumCount, VariantArray)]
pub(crate) enum Channel {
    Command,
    Webhook,
}

impl Channel {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As the key of `[alerts]` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The channels of a project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channels {
    pub(crate) command: Option<AlertCommand>,
    pub(crate) webhook: Option<Webhook>,
}

impl Channels {
    /// Those there are.
    pub(crate) fn configured(&self) -> Vec<Channel> {
        let has = |channel: &Channel| match channel {
            Channel::Command => self.command.is_some(),
            Channel::Webhook => self.webhook.is_some(),
        };
        Channel::ALL.into_iter().filter(has).collect()
    }
}

/// A program that is given each alert on its standard input. No shell reads its arguments.
#[derive(Debug, Clone)]
pub(crate) struct AlertCommand {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<String>,
    /// After which it is killed.
    pub(crate) timeout: Duration,
}

/// A URL that each alert is posted to.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    /// `https`, or `http` of this machine. Often a secret in itself.
    pub(crate) url: Secret,
    /// Signs what is posted.
    pub(crate) secret: Option<Secret>,
    /// Certificates of the authorities that vouch for the receiver, instead of those that the
    /// machine trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// Of one attempt, from looking the host up to the last byte of the answer.
    pub(crate) timeout: Duration,
}
