//! Why a source or destination could not do what was asked, sorted by what can be done about it.

use std::error::Error;

type Cause = Box<dyn Error + Send + Sync>;

/// An error of a source or destination. A refused record is not one of these: it is an outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    /// Unreachable, restarting, or the connection broke; the same call may work later.
    #[error("could not reach `{connection}`")]
    Unavailable { connection: String, source: Cause },
    /// It takes no writes for now: a standby in the middle of a failover, or a database under
    /// maintenance.
    #[error("`{connection}` is read-only")]
    ReadOnly { connection: String, source: Cause },
    /// It has no connection, memory or disk left; the same call may work once somebody gives some
    /// back.
    #[error("`{connection}` has reached a limit")]
    Exhausted { connection: String, source: Cause },
    /// A web API takes no more requests for now.
    #[error("`{connection}` takes no more requests for now")]
    Throttled { connection: String, source: Cause },
    /// So much of a web API's quota is used up as may be; `resumes` tells when there is some again,
    /// as far as it is known.
    #[error("`{connection}` has used up its calls: {what}")]
    QuotaSpent {
        connection: String,
        what: String,
        resumes: String,
    },
    /// A request was sent whose answer did not come: whether it was carried out is not known.
    #[error("`{connection}` did not answer")]
    Unanswered { connection: String, source: Cause },
    /// Somebody else holds a lock, a deadlock was broken, or rows changed in the middle; the same
    /// call may work later.
    #[error("`{connection}` is busy")]
    Contended { connection: String, source: Cause },
    /// Rows that were looked up were not written, or are gone: somebody changed them meanwhile, or
    /// the database left them as they were. Which of the two shows when the same is done with the
    /// rows locked first.
    #[error("`{connection}` did not write every row: {what}")]
    Missed { connection: String, what: String },
    /// The destination refuses the values of one or more records of the batch, in its own words.
    #[error("{message}")]
    Refused {
        message: String,
        column: Option<String>,
        /// Whether it is for what other rows hold or do not hold, which may be written yet: a value
        /// that is to be unique, or one that another row refers to.
        clashes: bool,
    },
    /// The user may not do this.
    #[error("`{connection}` does not allow it")]
    Forbidden {
        connection: String,
        source: Cause,
        hint: String,
    },
    /// A column is not what it was when the records were made to fit it.
    #[error("`{object}` was altered while the run was at work: {what}")]
    Altered { object: String, what: String },
    /// A table, column or file that is not there.
    #[error("{what} does not exist")]
    NotFound { what: String, hint: Option<String> },
    /// Something else that waiting cannot help: what was being done and why it failed.
    #[error("{doing} failed on `{connection}`")]
    Failed {
        connection: String,
        doing: String,
        source: Cause,
        hint: Option<String>,
    },
}

impl SystemError {
    /// Whether the same call may work later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::ReadOnly { .. }
            | Self::Exhausted { .. }
            | Self::Throttled { .. }
            | Self::Unanswered { .. }
            | Self::Contended { .. }
            | Self::Missed { .. } => true,
            Self::QuotaSpent { .. }
            | Self::Refused { .. }
            | Self::Forbidden { .. }
            | Self::Altered { .. }
            | Self::NotFound { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable { connection, .. } => Some(format!(
                "check that the server runs and that `[connections.{connection}]` names it rightly"
            )),
            Self::ReadOnly { connection, .. } => Some(format!(
                "wait until the server takes writes again, or let `[connections.{connection}]` name the one that does"
            )),
            Self::Exhausted { connection, .. } => Some(format!(
                "free what the cause names or raise the server's limit; fewer `writers` in `[connections.{connection}]` \
                 need fewer connections"
            )),
            Self::Throttled { connection, .. } => Some(format!(
                "run again later, or have fewer `writers` in `[connections.{connection}]`"
            )),
            Self::QuotaSpent {
                connection,
                resumes,
                ..
            } => Some(format!(
                "{resumes}; `quota_share` in `[connections.{connection}]` says how much may be used"
            )),
            Self::Unanswered { .. } => Some(
                "run again: what was written meanwhile is found and not written twice".to_owned(),
            ),
            Self::Contended { .. } => Some("see who holds the lock, or run again later".to_owned()),
            Self::Missed { .. } => {
                Some("see who else writes these rows, or run again later".to_owned())
            }
            Self::Refused { .. } => None,
            Self::Altered { .. } => {
                Some("run again: the records are pulled and checked anew".to_owned())
            }
            Self::Forbidden { hint, .. } => Some(hint.clone()),
            Self::NotFound { hint, .. } | Self::Failed { hint, .. } => hint.clone(),
        }
    }
}

/// An error in the program's own words, as logs have it: what a server says may hold values of
/// records.
pub(crate) fn own_words(error: &(dyn Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(cause) = next {
        let boxed = cause.downcast_ref::<Box<SystemError>>().map(Box::as_ref);
        if let Some(system) = cause.downcast_ref::<SystemError>().or(boxed) {
            let own = match matches!(system, SystemError::Refused { .. }) {
                true => "it was refused".to_owned(),
                false => system.to_string(),
            };
            return match error.is::<SystemError>() {
                true => own,
                false => format!("{error}: {own}"),
            };
        }
        next = cause.source();
    }
    error.to_string()
}

/// An error and its causes, outermost first, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        if messages.last().is_none_or(|last| !last.contains(&message)) {
            messages.push(message);
        }
        next = error.source();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not write `scores` to `crm`")]
    struct Failed {
        source: Box<SystemError>,
    }

    #[test]
    fn what_a_system_says_of_a_value_stands_in_no_log() {
        let busy = || SystemError::Contended {
            connection: "crm".to_owned(),
            source: "Duplicate entry 'Ann Lee'".into(),
        };
        let refused = || SystemError::Refused {
            message: "'Ann Lee' is too long".to_owned(),
            column: None,
            clashes: false,
        };
        let failed = |source| Failed {
            source: Box::new(source),
        };
        for (told, own) in [
            (own_words(&busy()), "`crm` is busy"),
            (own_words(&refused()), "it was refused"),
            (
                own_words(&failed(busy())),
                "could not write `scores` to `crm`: `crm` is busy",
            ),
            (
                own_words(&failed(refused())),
                "could not write `scores` to `crm`: it was refused",
            ),
        ] {
            assert_eq!(told, own);
        }
    }
}
