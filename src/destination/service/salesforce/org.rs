//! What an org tells of itself and of the user that is logged in.

use chrono::NaiveDate;
use serde::Deserialize;

use super::super::report::{AccountReport, Version};
use super::SalesforceDestination;
use super::queries::encoded;
use crate::domain::error::SystemError;
use crate::http::Repeat;

/// A version, and the year and month in which it came.
const NEWEST: (u32, i32, u32) = (67, 2026, 6);

/// Years for which a version is promised from its release on.
/// Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/api_rest_eol.htm>.
const PROMISED_YEARS: i32 = 3;

#[derive(Deserialize)]
struct SpokenVersion {
    version: String,
}

#[derive(Deserialize)]
struct UserInfo {
    name: Option<String>,
    preferred_username: Option<String>,
}

#[derive(Deserialize)]
struct Users {
    records: Vec<UserRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserRecord {
    profile: Option<Profile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Profile {
    permissions_modify_all_data: bool,
}

impl SalesforceDestination {
    /// Tells of the org, of the user and of the calls that are left. What the user may not ask is
    /// left out.
    pub(in super::super) async fn report(&self) -> Result<AccountReport, SystemError> {
        let spoken: Option<Vec<SpokenVersion>> = self.ask("/services/data/".to_owned()).await?;
        let info: Option<UserInfo> = self.ask("/services/oauth2/userinfo".to_owned()).await?;
        let is_administrator = self.is_administrator().await?;
        let name = self.base.rsplit('v').next().unwrap_or_default().to_owned();
        let (usage, quota_share) = self.session.usage();
        let told = info.and_then(|info| match (info.name, info.preferred_username) {
            (Some(name), Some(username)) => Some(format!("`{name}` ({username})")),
            (name, username) => name.or(username).map(|name| format!("`{name}`")),
        });
        Ok(AccountReport {
            account: self
                .account
                .as_ref()
                .map(|account| format!("org `{account}`")),
            user: told.or_else(|| self.user.as_ref().map(|user| format!("user `{user}`"))),
            is_administrator,
            version: Version {
                is_spoken: spoken
                    .map(|spoken| spoken.iter().any(|version| version.version == name)),
                promised_until: promised_until(&name),
                name,
            },
            usage,
            quota_share,
        })
    }

    /// What is answered, if this user is answered at all and in this shape.
    async fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        path: String,
    ) -> Result<Option<T>, SystemError> {
        let response = self.get(path, Repeat::Asks).await?;
        let is_success = response.is_success();
        Ok(serde_json::from_slice(&response.body)
            .ok()
            .filter(|_| is_success))
    }

    async fn is_administrator(&self) -> Result<Option<bool>, SystemError> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let query = format!(
            "SELECT Profile.PermissionsModifyAllData FROM User WHERE Id={}",
            super::values::quoted(user)
        );
        let path = format!("{}/query?q={}", self.base, encoded(&query));
        let users: Option<Users> = self.ask(path).await?;
        let profile = users.and_then(|users| users.records.into_iter().next()?.profile);
        Ok(profile.map(|profile| profile.permissions_modify_all_data))
    }
}

/// Until when a version is promised at the least: three come in a year.
fn promised_until(version: &str) -> Option<NaiveDate> {
    let number: u32 = version.strip_suffix(".0")?.parse().ok()?;
    let (newest, year, month) = NEWEST;
    let months_before = 4 * i32::try_from(newest.checked_sub(number)?).ok()?;
    let month_count = year * 12 + i32::try_from(month).ok()? - 1 - months_before;
    let (year, month) = (month_count.div_euclid(12), month_count.rem_euclid(12) + 1);
    NaiveDate::from_ymd_opt(year + PROMISED_YEARS, u32::try_from(month).ok()?, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_promised_for_three_years_from_its_release() {
        let day = |year, month| NaiveDate::from_ymd_opt(year, month, 1);
        assert_eq!(promised_until("67.0"), day(2029, 6));
        assert_eq!(promised_until("66.0"), day(2029, 2));
        assert_eq!(promised_until("65.0"), day(2028, 10));
        assert_eq!(promised_until("61.0"), day(2027, 6));
        assert_eq!(promised_until("68.0"), None);
    }
}
