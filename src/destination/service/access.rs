//! How the connections of a process come to share what they ask a web API with: a token, a pace and
//! a quota for each account, and the stand-in that a practice is served by.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::connection::{Auth, Connection, LiveAccess, ServiceAccess, ServiceSettings};
use crate::domain::error::SystemError;
use crate::http::{ApiManner, CallMeter, ClientSettings, Session, SessionSettings, TokenFile};
use crate::practice;

/// Whatever decides whether two connections share a session, and the session.
type Known<M> = (SessionSettings, LiveAccess, Arc<Session<M>>);

/// The sessions of an API: one for all connections of this process with the same settings.
pub(super) struct Sessions<M>(Mutex<Vec<Known<M>>>);

impl<M: ApiManner> Sessions<M> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The session of a connection; `manner` is made of hosts and credentials where there is none
    /// yet. Errors: as [`Session::new`].
    pub(super) fn session(
        &self,
        connection: &Connection,
        settings: &ServiceSettings,
        live: LiveAccess,
        manner: impl FnOnce(LiveAccess) -> M,
    ) -> Result<Arc<Session<M>>, SystemError> {
        let wanted = session_settings(connection, settings, &live);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sessions
            .iter()
            .find(|(known, access, _)| *known == wanted && *access == live);
        if let Some((_, _, session)) = known {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session::new(wanted.clone(), manner(live.clone()))?);
        sessions.push((wanted, live, Arc::clone(&session)));
        Ok(session)
    }

    /// The sessions that no connection uses.
    pub(super) fn idle(&self) -> Vec<Arc<Session<M>>> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = sessions.iter().map(|(_, _, session)| session);
        let idle = sessions.filter(|session| Arc::strong_count(session) == 1);
        idle.cloned().collect()
    }
}

/// Hosts and credentials. Those of a practice are `practised` with from its host on, and it is
/// served from here on.
pub(super) async fn live_access(
    connection: &Connection,
    settings: &ServiceSettings,
    practised: impl FnOnce() -> Auth,
) -> Result<LiveAccess, SystemError> {
    let folder = match &settings.access {
        ServiceAccess::Live(live) => return Ok(LiveAccess::clone(live)),
        ServiceAccess::Practice { folder } => folder,
    };
    let place = practice::Place {
        kind: settings.kind,
        folder: folder.clone(),
        state_folder: settings.state_folder.clone(),
        name: connection.name.clone(),
    };
    let served = practice::serve(&place).await;
    let served = served.map_err(|error| SystemError::Failed {
        connection: connection.name.clone(),
        doing: "serving the practice".to_owned(),
        hint: error.hint(),
        source: error.into(),
    })?;
    Ok(LiveAccess {
        login_url: format!("http://{}", served.address()),
        api_url: None,
        auth: practised(),
        ca_file: None,
    })
}

/// The account whose calls are counted, as far as it is known before anybody logs in.
fn account(settings: &ServiceSettings, live: &LiveAccess) -> String {
    let kind = settings.kind.name();
    match (&settings.account, &live.auth) {
        (Some(account), _) => format!("{kind}-{account}"),
        (None, Auth::Password { user, .. } | Auth::JwtBearer { user, .. }) => {
            format!("{kind}-{user}")
        }
        (
            None,
            Auth::ClientCredentials { client_id, .. }
            | Auth::Tenant { client_id, .. }
            | Auth::RefreshToken { client_id, .. },
        ) => {
            format!("{kind}-{client_id}")
        }
        (None, Auth::Token { .. }) => kind.to_owned(),
    }
}

fn session_settings(
    connection: &Connection,
    settings: &ServiceSettings,
    live: &LiveAccess,
) -> SessionSettings {
    let limits = &connection.limits;
    let configured = match &live.auth {
        Auth::RefreshToken { refresh_token, .. } => Some(refresh_token),
        // The first log-in grants a refresh token, which then takes the place of the password.
        Auth::Password { password, .. } => Some(password),
        Auth::ClientCredentials { .. }
        | Auth::Tenant { .. }
        | Auth::JwtBearer { .. }
        | Auth::Token { .. } => None,
    };
    let token_file = configured
        .map(|secret| TokenFile::new(&settings.state_folder, &connection.name, secret.clone()));
    let meter = settings.allowance.map(|allowance| {
        CallMeter::new(&settings.state_folder, &account(settings, live), allowance)
    });
    SessionSettings {
        connection: connection.name.clone(),
        client: ClientSettings {
            connect_timeout: limits.connect_timeout,
            request_timeout: limits.statement_timeout,
            ca_file: live.ca_file.clone(),
            plain: live.login_url.starts_with("http:"),
        },
        requests_per_second: settings.requests_per_second,
        quota_share: settings.quota_share,
        meter,
        requests_max: limits.writers,
        attempts_max: limits.attempts_max,
        token_file,
    }
}
