//! One request and its answer. What is waited for has an end, an answer has a size that it may not
//! pass, and nothing is followed to another host. Neither a body nor a query is ever logged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;
use ureq::http::{HeaderMap, Method, Request as HttpRequest, Response as HttpResponse};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error, Timeout};

use super::tally;
use super::tokens::same_site;
use crate::domain::certificate;
use crate::user_file;

/// Bytes of an answer: two thousand records with the longest texts that
/// people write by hand.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How long a connection is kept for the next request; hosts close it after a minute or more.
const IDLE_AGE_MAX: Duration = Duration::from_secs(30);

/// Connections that are kept for the next request: as many as there can be writers.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// Hosts that one request is sent on to: from the first one that is asked to the account's own there
/// is one step, and another one when an account moves.
const SENT_ON_MAX: usize = 3;

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    /// Who may vouch for hosts, instead of those whom this machine trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether the hosts are on this machine and spoken to in the clear.
    pub(crate) plain: bool,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request. Its URL is encoded already.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: HttpMethod,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Its type and its bytes.
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
}

impl Request {
    pub(crate) fn new(method: HttpMethod, url: String) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn get(url: String) -> Self {
        Self::new(HttpMethod::Get, url)
    }

    pub(crate) fn with_body(
        mut self,
        content_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    pub(crate) fn with_json(self, body: impl Into<Vec<u8>>) -> Self {
        self.with_body("application/json", body)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Where it goes, without what may hold a record's values.
    pub(crate) fn path(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

/// An answer, read whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of a header, if it is plain text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the host asks to be left alone, in seconds as HTTP writes them.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The request did not leave: the host could not be reached.
    #[error("{0}")]
    NotSent(String),
    /// The host does not prove who it is; `hint` is what can be done.
    #[error("{what}")]
    Unproven { what: String, hint: &'static str },
    /// It left, and no answer came, or half of one: whether it was carried out nobody can say.
    #[error("{0}")]
    Unanswered(String),
    /// It was answered, with more than is taken.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
    /// It cannot be sent to anybody.
    #[error("{0}")]
    Malformed(String),
}

/// A client with connections of its own, which are kept from one request to the next.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Whose calls its requests count as; `None`, nobody counts them.
    connection: Option<Arc<str>>,
    agent: Agent,
    request_timeout: Duration,
}

impl Client {
    /// Errors: the file of authorities cannot be read, or holds none.
    pub(crate) fn new(
        settings: &ClientSettings,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let roots = match &settings.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(file) => roots(file)?,
        };
        let builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_global(Some(settings.request_timeout))
            .max_idle_age(IDLE_AGE_MAX)
            .max_idle_connections(IDLE_CONNECTIONS_MAX)
            .max_idle_connections_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("writeback/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        // Between this machine and itself no proxy of the environment stands.
        let builder = if settings.plain {
            builder.proxy(None)
        } else {
            builder.https_only(true)
        };
        Ok(Self {
            connection: None,
            agent: builder.build().new_agent(),
            request_timeout: settings.request_timeout,
        })
    }

    /// Counts its requests as calls of a connection.
    pub(crate) fn counted_of(self, connection: &str) -> Self {
        let connection = Some(connection.into());
        Self { connection, ..self }
    }

    /// As [`Client::send`], and goes where a host sends it on to (307, 308), the same request whole:
    /// within its own site, and not for ever.
    pub(crate) async fn send_on(&self, mut request: Request) -> Result<Response, SendError> {
        for _ in 0..SENT_ON_MAX {
            let response = self.send(request.clone()).await?;
            let place = response.header("location").map(str::to_owned);
            match (response.status, place) {
                (307 | 308, Some(place)) if same_site(&place, &request.url) => request.url = place,
                _ => return Ok(response),
            }
        }
        self.send(request).await
    }

    /// Sends a request, once, and reads the answer whole.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, SendError> {
        if let Some(connection) = &self.connection {
            tally::note_call(connection);
        }
        let client = self.clone();
        let sent = tokio::task::spawn_blocking(move || client.send_blocking(&request)).await;
        sent.unwrap_or_else(|error| Err(SendError::Unanswered(error.to_string())))
    }

    fn send_blocking(&self, request: &Request) -> Result<Response, SendError> {
        let begun = Instant::now();
        let answer = self.exchange(request);
        let milliseconds = begun.elapsed().as_millis();
        let (method, path) = (request.method.name(), request.path());
        match &answer {
            Ok(response) => {
                let status = response.status;
                debug!(method, path, status, milliseconds, "request answered");
            }
            Err(error) => debug!(method, path, error = %error, milliseconds, "request failed"),
        }
        answer
    }

    fn exchange(&self, request: &Request) -> Result<Response, SendError> {
        let mut builder = HttpRequest::builder()
            .method(request.method.name())
            .uri(&request.url);
        if request.headers.iter().all(|(name, _)| *name != "Accept") {
            builder = builder.header("Accept", "application/json");
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some((content_type, _)) = &request.body {
            builder = builder.header("Content-Type", *content_type);
        }
        // The library's words may quote the URL, which may hold a record's values.
        let malformed = |_| SendError::Malformed("the request cannot be written".to_owned());
        let answer = match &request.body {
            Some((_, body)) => self
                .agent
                .run(builder.body(body.as_slice()).map_err(malformed)?),
            None => self.agent.run(builder.body(()).map_err(malformed)?),
        };
        let (head, body) = self.read(answer)?.into_parts();
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// Sends a request that a library wrote, once, and reads the answer whole.
    pub(crate) async fn forward(
        &self,
        request: HttpRequest<Vec<u8>>,
    ) -> Result<HttpResponse<Vec<u8>>, SendError> {
        let client = self.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let bodiless = [Method::GET, Method::HEAD, Method::DELETE];
            client.read(match bodiless.contains(request.method()) {
                true => client.agent.run(request.map(|_| ())),
                false => client.agent.run(request),
            })
        })
        .await;
        sent.unwrap_or_else(|error| Err(SendError::Unanswered(error.to_string())))
    }

    /// Reads an answer whole.
    fn read(
        &self,
        answer: Result<HttpResponse<Body>, Error>,
    ) -> Result<HttpResponse<Vec<u8>>, SendError> {
        let mut answer = answer.map_err(|error| self.sort(&error))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| match matches!(error, Error::BodyExceedsLimit(_)) {
                true => SendError::TooLarge(ANSWER_BYTES_MAX),
                false => self.broken_off(&error),
            })?;
        Ok(answer.map(|_| body))
    }

    /// What an error says of the request: those of connecting come before a byte of it has left.
    fn sort(&self, error: &Error) -> SendError {
        let words = error.to_string();
        if let Some((what, hint)) = certificate::explained(&words) {
            return SendError::Unproven {
                what: what.to_owned(),
                hint,
            };
        }
        let refused = |error: &std::io::Error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionRefused
                    | std::io::ErrorKind::NetworkUnreachable
                    | std::io::ErrorKind::HostUnreachable
                    | std::io::ErrorKind::AddrNotAvailable
            )
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "an error that is new to us may have come after the request left"
        )]
        match error {
            Error::Timeout(Timeout::Resolve | Timeout::Connect)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::ConnectProxyFailed(_)
            | Error::InvalidProxyUrl
            | Error::Tls(_)
            | Error::Rustls(_)
            | Error::TlsRequired => SendError::NotSent(words),
            Error::Io(error) if refused(error) || words.contains("certificate") => {
                SendError::NotSent(words)
            }
            Error::BadUri(_) | Error::Http(_) | Error::RequireHttpsOnly(_) => {
                SendError::Malformed("the request cannot be written".to_owned())
            }
            error => self.broken_off(error),
        }
    }

    fn broken_off(&self, error: &Error) -> SendError {
        let words = if let Error::Timeout(_) = error {
            let waited = humantime::format_duration(self.request_timeout);
            format!("no answer within {waited}")
        } else {
            error.to_string()
        };
        SendError::Unanswered(words)
    }
}

/// Those whom a file names as authorities.
fn roots(file: &Path) -> Result<RootCerts, Box<dyn std::error::Error + Send + Sync>> {
    let pem = user_file::certificates(file)?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item? {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err("it holds no certificate".into()),
        false => Ok(RootCerts::Specific(Arc::new(certificates))),
    }
}
