//! How stores are asked: the library of stores writes requests, our own client sends them, so that
//! one TLS stack and one set of time-outs serve all.

use std::future::Future;
use std::io;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::Trouble;
use crate::domain::error::SystemError;
use crate::domain::files::RemoteFolder;
use crate::http::{Client, ClientSettings, SendError};

/// Hosts at which a cloud tells a machine of its own who it is, and nobody else. They are asked in
/// the clear, since they are within the machine's own wall.
/// Sources: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>,
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>,
/// <https://cloud.google.com/compute/docs/metadata/querying-metadata>,
/// <https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.
const METADATA_HOSTS: [&str; 4] = [
    "169.254.169.254",
    "169.254.170.2",
    "metadata.google.internal",
    "metadata",
];

/// Two clients: one that speaks TLS with everybody, one for this machine in the clear.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    secure: Client,
    plain: Client,
}

impl Clients {
    pub(super) fn of(folder: &RemoteFolder, trouble: &Trouble) -> Result<Self, SystemError> {
        let client = |plain: bool| {
            Client::new(&ClientSettings {
                connect_timeout: folder.connect_timeout,
                request_timeout: folder.request_timeout,
                ca_file: folder.ca_file.clone(),
                plain,
            })
            .map_err(|error| trouble.failed("", error.to_string(), None))
        };
        Ok(Self {
            secure: client(false)?,
            plain: client(true)?,
        })
    }

    /// The one that may speak with this host. Errors: nobody may, for it would be in the clear.
    pub(super) fn for_host(
        &self,
        scheme: Option<&str>,
        host: Option<&str>,
    ) -> Result<&Client, SendError> {
        let host = host.unwrap_or_default().trim_matches(['[', ']']);
        let is_own = METADATA_HOSTS.contains(&host)
            || host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match (scheme, is_own) {
            (Some("http"), true) => Ok(&self.plain),
            (Some("http"), false) => Err(SendError::Malformed(format!(
                "`{host}` would be spoken to in the clear, which only this machine is"
            ))),
            _ => Ok(&self.secure),
        }
    }
}

impl HttpConnector for Clients {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Clients {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Requests that read are of one piece.
        let request = request.map(|body| body.as_bytes().map(|body| body.to_vec()));
        let request = request.map(Option::unwrap_or_default);
        let uri = request.uri();
        let client = self.for_host(uri.scheme_str(), uri.host());
        let answer = match client {
            Ok(client) => client.forward(request).await,
            Err(error) => Err(error),
        };
        answer
            .map(|answer| answer.map(Into::into))
            .map_err(|error| {
                let kind = match &error {
                    SendError::NotSent(_) => HttpErrorKind::Connect,
                    SendError::Unanswered(_) => HttpErrorKind::Interrupted,
                    SendError::Unproven { .. }
                    | SendError::TooLarge(_)
                    | SendError::Malformed(_) => HttpErrorKind::Unknown,
                };
                HttpError::new(kind, error)
            })
    }
}

/// Waits for an answer on a thread of its own, since whoever lists files may itself be asked from
/// within a runtime.
pub(super) fn wait<T: Send>(answer: impl Future<Output = T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let asked = std::thread::Builder::new()
            .name("files elsewhere".to_owned())
            .spawn_scoped(scope, || -> io::Result<T> {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()?;
                Ok(runtime.block_on(answer))
            })?;
        let gave_up = |_| io::Error::other("the library of stores gave up");
        asked.join().map_err(gave_up).flatten()
    })
}
