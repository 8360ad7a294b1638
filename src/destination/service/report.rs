//! What `check` tells of the account behind a connection.

use chrono::{DateTime, Months, NaiveDate, Utc};

use crate::domain::share::Percent;
use crate::http::Usage;

/// How long before a version's promised end people are warned of it.
const WARNED_BEFORE: Months = Months::new(6);

/// An account, as the system tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountReport {
    /// As the system calls such an account, and its id: org `00D…`.
    pub(crate) account: Option<String>,
    /// Who stands in "last modified by".
    pub(crate) user: Option<String>,
    /// Whether that user may change whatever there is; `None` if it does not tell.
    pub(crate) is_administrator: Option<bool>,
    pub(crate) version: Version,
    pub(crate) usage: Option<Usage>,
    pub(crate) quota_share: Percent,
}

/// The version of an API that is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) name: String,
    /// Whether the system speaks it still; `None` if it does not tell.
    pub(crate) is_spoken: Option<bool>,
    /// Until when it is promised at the least.
    pub(crate) promised_until: Option<NaiveDate>,
}

impl Version {
    /// What is to be told of it, beside its name: that it has ended, or that it may soon.
    pub(crate) fn trouble(&self, now: DateTime<Utc>) -> VersionTrouble {
        if self.is_spoken == Some(false) {
            return VersionTrouble::Ended;
        }
        let near = |until: &NaiveDate| now.date_naive() + WARNED_BEFORE >= *until;
        match self.promised_until.filter(near) {
            Some(until) => VersionTrouble::EndsSoon(until),
            None => VersionTrouble::None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionTrouble {
    None,
    /// It is no longer promised after this day.
    EndsSoon(NaiveDate),
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_warned_of_half_a_year_before_its_promise_ends() {
        let version = |is_spoken| Version {
            name: "67.0".to_owned(),
            is_spoken,
            promised_until: NaiveDate::from_ymd_opt(2029, 6, 15),
        };
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let (early, late) = (at("2028-12-14T00:00:00Z"), at("2028-12-15T00:00:00Z"));
        assert_eq!(version(Some(true)).trouble(early), VersionTrouble::None);
        assert!(matches!(
            version(None).trouble(late),
            VersionTrouble::EndsSoon(_)
        ));
        assert_eq!(version(Some(false)).trouble(early), VersionTrouble::Ended);
    }
}
