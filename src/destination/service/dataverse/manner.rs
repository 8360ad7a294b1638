//! How Dataverse lets in, and what its answers mean to whoever would ask again.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/use-single-tenant-server-server-authentication>.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use ring::signature::RSA_PSS_SHA256;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::super::token;
use super::answers::{ApiError, is_whole};
use super::describe::TableDescription;
use crate::domain::connection::{Auth, LiveAccess, Secret, TenantProof};
use crate::http::{
    ApiManner, Client, Granted, HttpMethod, Judgement, LoginError, Request, Response, SendError,
    Usage,
};

/// Tries at a request that the host says it has no idea about.
const UNEXPLAINED_TRIES_MAX: u32 = 2;

/// How long a signed log-in is good for, and how far clocks may be apart.
const ASSERTION_SECONDS: i64 = 300;
const CLOCK_DRIFT_SECONDS: i64 = 60;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Debug)]
pub(super) struct DataverseManner {
    pub(super) live: LiveAccess,
    pub(super) connection: String,
    /// The path of the Web API: `/api/data/v9.2`.
    pub(super) base: String,
    /// Tables as they were described last, by their logical names.
    tables: Mutex<BTreeMap<String, Arc<TableDescription>>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WhoAmI {
    user_id: String,
    organization_id: String,
}

/// A request with what each of them carries.
pub(super) fn spoken(request: Request) -> Request {
    request
        .with_header("OData-MaxVersion", "4.0")
        .with_header("OData-Version", "4.0")
}

/// A request that only asks, and is not to be answered from a cache.
pub(super) fn asked(request: Request) -> Request {
    spoken(request).with_header("If-None-Match", "null")
}

impl DataverseManner {
    pub(super) fn new(live: LiveAccess, connection: &str, base: &str) -> Self {
        Self {
            live,
            connection: connection.to_owned(),
            base: base.to_owned(),
            tables: Mutex::default(),
        }
    }

    pub(super) fn known(&self, table: &str) -> Option<Arc<TableDescription>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).map(Arc::clone)
    }

    pub(super) fn know(&self, table: &Arc<TableDescription>) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(table.logical_name.clone(), Arc::clone(table));
    }

    /// What URLs of rows begin with.
    pub(super) fn root(&self) -> String {
        format!("{}{}", self.environment(), self.base)
    }

    /// Scheme, host and port of the environment. A practice's is where one logs in.
    fn environment(&self) -> &str {
        let api_url = self.live.api_url.as_deref();
        api_url.unwrap_or(&self.live.login_url)
    }

    /// The tenant, and the form that asks it for a token.
    fn form(&self) -> Result<(&str, String), LoginError> {
        let Auth::Tenant {
            tenant,
            client_id,
            proof,
        } = &self.live.auth
        else {
            return Err(LoginError::Refused {
                what: "this way to log in is not one of Dataverse's".to_owned(),
                hint: "write `flow = \"client_credentials\"` or `\"client_certificate\"`"
                    .to_owned(),
            });
        };
        let scope = format!("{}/.default", self.environment());
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client_id)
            .append_pair("scope", &scope);
        match proof {
            TenantProof::Secret(secret) => form.append_pair("client_secret", secret.reveal()),
            TenantProof::Certificate {
                certificate,
                private_key,
            } => {
                let audience = self.token_url(tenant);
                let assertion = assertion(client_id, &audience, certificate, private_key)?;
                form.append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", &assertion)
            }
        };
        Ok((tenant, form.finish()))
    }

    /// Where a tenant grants tokens.
    fn token_url(&self, tenant: &str) -> String {
        format!("{}/{tenant}/oauth2/v2.0/token", self.live.login_url)
    }

    async fn send(&self, client: &Client, request: Request) -> Result<Response, LoginError> {
        match client.send(request).await {
            Ok(response) => Ok(response),
            Err(SendError::Unproven { what, hint }) => Err(LoginError::Refused {
                what,
                hint: hint.to_owned(),
            }),
            Err(error) => Err(LoginError::Passing(
                self.without_secrets(&error.to_string()),
            )),
        }
    }

    /// Which environment a token is for, and which user.
    async fn who(&self, client: &Client, token: Secret) -> Result<Granted, LoginError> {
        let url = format!("{}{}/WhoAmI", self.environment(), self.base);
        let bearer = format!("Bearer {}", token.reveal());
        let request = asked(Request::get(url)).with_header("Authorization", bearer);
        let response = self.send(client, request).await?;
        if response.status == 200
            && let Ok(who) = serde_json::from_slice::<WhoAmI>(&response.body)
        {
            return Ok(Granted {
                token,
                api_url: self.environment().to_owned(),
                account: Some(who.organization_id.to_lowercase()),
                user: Some(who.user_id.to_lowercase()),
                refresh_token: None,
                lifetime: None,
            });
        }
        let why = match ApiError::of(&response) {
            Some(error) => error.to_string(),
            None => format!("it answered {}", response.status),
        };
        match judge(&response, &self.connection) {
            Judgement::Forbidden { hint, .. } => Err(LoginError::Refused { what: why, hint }),
            Judgement::Renew => Err(LoginError::Refused {
                what: format!("the environment does not take the tenant's token, {why}"),
                hint:
                    "check that `api_url` is the environment's own URL, and that the tenant is its"
                        .to_owned(),
            }),
            Judgement::Answered
            | Judgement::Throttled { .. }
            | Judgement::Broken { .. }
            | Judgement::QuotaSpent { .. } => Err(LoginError::Passing(why)),
        }
    }

    /// Why the tenant refuses a log-in, or that it may work later.
    fn refused(&self, response: &Response) -> LoginError {
        let is_refusal = (400..500).contains(&response.status) && response.status != 429;
        let error = ApiError::of(response).filter(|_| is_refusal);
        let Some(error) = error.filter(|error| error.code != "temporarily_unavailable") else {
            return LoginError::Passing(format!(
                "the log-in was answered with {}",
                response.status
            ));
        };
        let hint = match error.code.as_str() {
            "invalid_client" if self.is_certified() => {
                "check that the app holds this certificate, and that it has not expired: Entra › App registrations › Certificates & secrets"
            }
            "invalid_client" => {
                "check `client_secret` against Entra › App registrations › Certificates & secrets: write the secret's value, not its id"
            }
            "unauthorized_client" => {
                "check `client_id` and `tenant`: the app is to be registered in the tenant of the environment"
            }
            "invalid_scope" | "invalid_resource" => {
                "check that `api_url` is the environment's own URL, as the Power Platform admin center shows it"
            }
            "invalid_request" => "check `tenant`: its domain or its id",
            _ => "see the sign-in logs of Entra for what the tenant says",
        };
        LoginError::Refused {
            what: self.without_secrets(&format!("the log-in was refused, {error}")),
            hint: hint.to_owned(),
        }
    }

    fn is_certified(&self) -> bool {
        let auth = &self.live.auth;
        matches!(
            auth,
            Auth::Tenant {
                proof: TenantProof::Certificate { .. },
                ..
            }
        )
    }

    /// Words of the host without what nobody may read, should it repeat it.
    fn without_secrets(&self, words: &str) -> String {
        if let Auth::Tenant { proof, .. } = &self.live.auth {
            words.replace(proof.secret().reveal(), "***")
        } else {
            words.to_owned()
        }
    }
}

/// Who the app is, signed with the key of its certificate.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>.
fn assertion(
    client_id: &str,
    audience: &str,
    certificate: &str,
    private_key: &Secret,
) -> Result<String, LoginError> {
    let head = json!({
        "alg": "PS256", "typ": "JWT", "x5t#S256": token::thumbprint(certificate)?,
    });
    let now = Utc::now().timestamp();
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": Uuid::new_v4(),
        "nbf": now - CLOCK_DRIFT_SECONDS,
        "exp": now + ASSERTION_SECONDS,
    });
    token::signed(&head, &claims, private_key, &RSA_PSS_SHA256)
}

impl ApiManner for DataverseManner {
    async fn log_in(
        &self,
        client: &Client,
        _refresh_token: Option<&Secret>,
    ) -> Result<Granted, LoginError> {
        let (tenant, form) = self.form()?;
        let url = self.token_url(tenant);
        let request = Request::new(HttpMethod::Post, url)
            .with_body("application/x-www-form-urlencoded", form);
        let response = self.send(client, request).await?;
        if response.status != 200 {
            return Err(self.refused(&response));
        }
        let answer: TokenAnswer = serde_json::from_slice(&response.body).map_err(|_| {
            LoginError::Passing(
                "the log-in was answered with something else than a token".to_owned(),
            )
        })?;
        let token = Secret::new(answer.access_token);
        Ok(Granted {
            lifetime: answer.expires_in.map(Duration::from_secs),
            ..self.who(client, token).await?
        })
    }

    /// It tells nothing of the day's calls; what it tells of five minutes is kept by waiting.
    fn usage(&self, _response: &Response) -> Option<Usage> {
        None
    }

    fn judge(&self, response: &Response) -> Judgement {
        judge(response, &self.connection)
    }

    fn recommended(&self, response: &Response) -> Option<usize> {
        response.header("x-ms-dop-hint")?.trim().parse().ok()
    }

    fn resumes(&self) -> String {
        "run again later, and what is left is done".to_owned()
    }
}

fn judge(response: &Response, connection: &str) -> Judgement {
    let told = ApiError::of(response);
    let code = told.as_ref().map_or("", |error| error.code.as_str());
    let why = || match &told {
        Some(error) => error.to_string(),
        None => format!("it answered {} without saying why", response.status),
    };
    let forbidden = |hint: String| Judgement::Forbidden { what: why(), hint };
    let broken = |tries_max| Judgement::Broken {
        undone: false,
        tries_max,
        why: why(),
    };
    match (response.status, code) {
        (200..=299 | 304, _) if is_whole(response) => Judgement::Answered,
        (200..=299, _) => Judgement::Broken {
            undone: false,
            tries_max: u32::MAX,
            why: "its answer is cut short, or a page for people".to_owned(),
        },
        (301..=399, _) => forbidden(format!(
            "it sends on to another address: name the environment's own URL as `api_url` of `[connections.{connection}]`"
        )),
        (401, _) => Judgement::Renew,
        (403, "0x80072560") => forbidden(
            "the app has no application user in this environment: Power Platform admin center › Environments › Settings › Application users"
                .to_owned(),
        ),
        (403, "0x80040225") => {
            forbidden("let an admin enable the application user again".to_owned())
        }
        (429, _) => Judgement::Throttled {
            after: response.retry_after(),
            why: why(),
        },
        _ if told.as_ref().is_some_and(ApiError::is_throttled) => Judgement::Throttled {
            after: response.retry_after(),
            why: why(),
        },
        (502..=504, _) => broken(u32::MAX),
        // A batch that stopped at a part, and what is told without a body.
        (400 | 404 | 412..=414 | 431, _) => Judgement::Answered,
        (_, "") => broken(UNEXPLAINED_TRIES_MAX),
        _ => Judgement::Answered,
    }
}
