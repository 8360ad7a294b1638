//! Telling through a webhook: the alert posted as JSON, signed if there is a secret, over TLS that
//! this machine's own roots vouch for, or those that the project names.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use super::TellError;
use crate::domain::certificate;
use crate::domain::channel::Webhook;
use crate::domain::signature::signature;
use crate::user_file;

/// Posts `body`, once. Blocks. Of the answer only the status counts: its body is not even read.
/// Errors: it could not be reached in time, or its status is not 2xx.
pub(super) fn post(webhook: &Webhook, body: &str, now: DateTime<Utc>) -> Result<(), TellError> {
    let timestamp = now.timestamp().to_string();
    let mut request = agent(webhook, roots(webhook)?)
        .post(webhook.url.reveal())
        .header("Content-Type", "application/json")
        .header("X-Writeback-Timestamp", &timestamp);
    if let Some(secret) = &webhook.secret {
        let signature = signature(secret.reveal().as_bytes(), &timestamp, body.as_bytes());
        request = request.header("X-Writeback-Signature", signature);
    }
    let status = request
        .send(body)
        .map_err(|error| not_reached(webhook, &error))?
        .status();
    match status.is_success() {
        true => Ok(()),
        false => Err(TellError::WebhookRefused {
            status: status.as_u16(),
        }),
    }
}

/// Who may vouch for the receiver. The file is read anew each time, for authorities renew their
/// certificates.
fn roots(webhook: &Webhook) -> Result<RootCerts, TellError> {
    let Some(file) = &webhook.ca_file else {
        return Ok(RootCerts::PlatformVerifier);
    };
    let unreadable = |source| TellError::Authorities {
        path: file.display().to_string(),
        source,
    };
    let pem = user_file::certificates(file).map_err(|error| unreadable(error.into()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unreadable(error.into()))? {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(unreadable("it holds none".into())),
        false => Ok(RootCerts::Specific(Arc::new(certificates))),
    }
}

fn agent(webhook: &Webhook, roots: RootCerts) -> Agent {
    let builder = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(webhook.timeout))
        // A receiver is told of things seldom: a connection kept since the last time would be a
        // broken one.
        .max_idle_connections(0)
        .user_agent(concat!("writeback/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    // Plain HTTP is for this machine alone, where no proxy of the environment stands between.
    let plain = webhook.url.reveal().starts_with("http:");
    let builder = if plain { builder.proxy(None) } else { builder };
    builder.build().new_agent()
}

/// What went wrong, in words that hold neither the URL nor its host: either may be what keeps
/// strangers from posting.
fn not_reached(webhook: &Webhook, error: &Error) -> TellError {
    let url = webhook.url.reveal();
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or(url);
    let why = if let Error::Timeout(_) = error {
        format!(
            "no answer within {}",
            humantime::format_duration(webhook.timeout)
        )
    } else {
        error.to_string().replace(url, "***").replace(host, "***")
    };
    match certificate::explained(&why) {
        Some((what, hint)) => TellError::WebhookUnproven { what, why, hint },
        None => TellError::WebhookUnreachable { why },
    }
}
