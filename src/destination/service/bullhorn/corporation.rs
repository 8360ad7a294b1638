//! What a corporation tells of itself and of the user that is logged in.

use serde::Deserialize;
use serde_json::Value;

use super::super::report::{AccountReport, Version};
use super::BullhornDestination;
use super::knowledge::Corporation;
use super::manner::{BullhornManner, VERSION};
use crate::domain::error::SystemError;
use crate::http::{Repeat, Request, Session};

/// Settings by which it is known; each is asked for by name.
/// Source: <https://bullhorn.github.io/rest-api-docs/#settings>.
const SETTINGS: &str = "/settings/corporationId,corporationName,userId";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    corporation_id: Option<Value>,
    corporation_name: Option<String>,
    user_id: Option<u64>,
}

#[derive(Deserialize)]
struct Users {
    data: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    name: Option<String>,
    email: Option<String>,
}

/// The corporation that a session is of, asked for once.
/// Errors: it is not told.
pub(super) async fn of(session: &Session<BullhornManner>) -> Result<Corporation, SystemError> {
    if let Some(known) = session.manner.known(|known| known.corporation.clone()) {
        return Ok(known);
    }
    let request = Request::get(SETTINGS.to_owned());
    let response = session.call(request, Repeat::Asks).await?;
    let told = serde_json::from_slice::<Told>(&response.body).ok();
    let told = told.filter(|_| response.is_success());
    let id = told.as_ref().and_then(|told| match &told.corporation_id {
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(Value::String(id)) => Some(id.clone()),
        _ => None,
    });
    let (Some(told), Some(id)) = (told, id) else {
        return Err(SystemError::Forbidden {
            connection: session.connection().to_owned(),
            source: format!(
                "it does not tell which corporation it is (it answered {})",
                response.status
            )
            .into(),
            hint: "see whether the user may use the API".to_owned(),
        });
    };
    let corporation = Corporation {
        id,
        name: told.corporation_name,
        user_id: told.user_id,
    };
    session
        .manner
        .known(|known| known.corporation = Some(corporation.clone()));
    Ok(corporation)
}

impl BullhornDestination {
    /// Tells of the corporation, of the user and of the calls that are left.
    pub(in super::super) async fn report(&self) -> Result<AccountReport, SystemError> {
        let Corporation { id, name, user_id } = &self.corporation;
        let name = name.as_ref().map(|name| format!(" ({name})"));
        let (usage, quota_share) = self.session.usage();
        Ok(AccountReport {
            account: Some(format!("corporation `{id}`{}", name.unwrap_or_default())),
            user: match user_id {
                Some(user_id) => Some(self.user(*user_id).await?),
                None => None,
            },
            is_administrator: None,
            version: Version {
                name: VERSION.to_owned(),
                is_spoken: None,
                promised_until: None,
            },
            usage,
            quota_share,
        })
    }

    async fn user(&self, id: u64) -> Result<String, SystemError> {
        let path = format!("/query/CorporateUser?fields=name,email&where=id%3D{id}&count=1");
        let users: Option<Users> = self.asked(&path).await?;
        let user = users.and_then(|users| users.data.into_iter().next());
        Ok(match user.map(|user| (user.name, user.email)) {
            Some((Some(name), Some(email))) => format!("`{name}` ({email})"),
            Some((Some(name), None) | (None, Some(name))) => format!("`{name}`"),
            _ => format!("user `{id}`"),
        })
    }
}
