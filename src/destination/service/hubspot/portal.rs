//! What a portal tells of itself.

use chrono::{Months, NaiveDate};

use super::super::report::{AccountReport, Version};
use super::HubSpotDestination;

/// Months for which a version is promised from its release on.
/// Source: <https://developers.hubspot.com/changelog>, "HubSpot's date-based API versions".
const PROMISED_MONTHS: Months = Months::new(18);

impl HubSpotDestination {
    /// Tells of the portal and of the calls that are left. Whose token it is, HubSpot does not say.
    pub(in super::super) fn report(&self) -> AccountReport {
        let portal = self.session.manner.portal();
        let (usage, quota_share) = self.session.usage();
        AccountReport {
            account: portal.map(|portal| {
                let kind = portal.account_type.map(|kind| format!(" ({kind})"));
                format!("portal `{}`{}", portal.portal_id, kind.unwrap_or_default())
            }),
            user: None,
            is_administrator: None,
            version: Version {
                name: self.version.clone(),
                is_spoken: None,
                promised_until: promised_until(&self.version),
            },
            usage,
            quota_share,
        }
    }
}

/// Until when a version is promised at the least.
fn promised_until(version: &str) -> Option<NaiveDate> {
    let (year, month) = version.split_once('-')?;
    let begun = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?;
    begun.checked_add_months(PROMISED_MONTHS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_promised_for_a_year_and_a_half() {
        assert_eq!(
            promised_until("2026-09"),
            NaiveDate::from_ymd_opt(2028, 3, 1)
        );
        assert_eq!(
            promised_until("2027-03"),
            NaiveDate::from_ymd_opt(2028, 9, 1)
        );
        assert_eq!(promised_until("67.0"), None);
    }
}
