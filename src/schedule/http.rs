//! Tells over HTTP whether the scheduler lives, whether it serves, and its metrics. Whoever reaches
//! the address may read them: there is no authentication, so it belongs on a local address. Nothing
//! can be changed here, and no body is read.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tracing::{info, warn};

use super::metrics;
use super::serve_state::ServeState;

/// Connections held at once; one more closes the oldest. Probes and scrapes need a handful, for
/// milliseconds.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may last, with its one request and the answer.
const CONNECTION_DURATION_MAX: Duration = Duration::from_secs(5);

/// Bytes taken from a connection before it is closed, give or take a read: probes and scrapes send
/// a few hundred.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Pause after a connection could not be accepted: what is missing is then mostly file descriptors,
/// and others may give some back.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Why nothing can be asked over HTTP.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    pub(crate) fn hint(&self) -> Option<String> {
        let hints = [
            (
                io::ErrorKind::AddrInUse,
                "another process listens there: stop it, or take another port",
            ),
            (
                io::ErrorKind::AddrNotAvailable,
                "this machine does not have that address; 127.0.0.1 is always there",
            ),
            (
                io::ErrorKind::PermissionDenied,
                "ports below 1024 are reserved: take a higher one",
            ),
        ];
        let hint = hints
            .into_iter()
            .find(|(kind, _)| *kind == self.source.kind());
        hint.map(|(_, hint)| hint.to_owned())
    }
}

/// Listens on `address`, then answers in the background until `stop`. Returns the address, whose
/// port was chosen by the system if `address` left it open with 0.
pub(crate) async fn listen(
    address: SocketAddr,
    state: Arc<ServeState>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() {
        warn!(%address, "whoever reaches this address may read health and metrics: there is no authentication");
    }
    info!(%address, "answering /healthz, /readyz and /metrics");
    tokio::spawn(answer(listener, state, stop));
    Ok(address)
}

async fn answer(listener: TcpListener, state: Arc<ServeState>, stop: impl Future<Output = ()>) {
    let serving = axum::serve(Doorkeeper::new(listener), routes(state)).into_future();
    tokio::select! {
        _ = serving => {}
        () = stop => {}
    }
}

fn routes(state: Arc<ServeState>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(state)
        .layer(map_response(last_answer))
}

async fn healthz(State(state): State<Arc<ServeState>>) -> Response {
    verdict(state.health())
}

async fn readyz(State(state): State<Arc<ServeState>>) -> Response {
    verdict(state.readiness())
}

fn verdict(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn scrape(State(state): State<Arc<ServeState>>) -> Response {
    match metrics::render(state.facts(), Instant::now()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A connection ends with its first answer: an idle one would only take another's place.
async fn last_answer(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Lets connections in, the newest at the expense of the oldest: whoever opens many and says
/// nothing loses them, and whoever comes with a request is heard.
#[derive(Debug)]
struct Doorkeeper {
    listener: TcpListener,
    /// Oldest first. Dropping one closes its connection.
    admitted: VecDeque<oneshot::Sender<()>>,
}

impl Doorkeeper {
    fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            admitted: VecDeque::new(),
        }
    }

    fn admit(&mut self, stream: TcpStream) -> Connection {
        self.admitted.retain(|admission| !admission.is_closed());
        if self.admitted.len() >= CONNECTIONS_MAX {
            self.admitted.pop_front();
        }
        let (admission, dismissal) = oneshot::channel();
        self.admitted.push_back(admission);
        Connection::new(stream, dismissal)
    }
}

impl Listener for Doorkeeper {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (self.admit(stream), peer),
                // The peer is gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(%error, "could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with an end: in time, in bytes, and when its place is needed.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    dismissal: oneshot::Receiver<()>,
    bytes_left: usize,
    /// Why it was closed, if it was.
    closed: Option<io::ErrorKind>,
}

impl Connection {
    fn new(stream: TcpStream, dismissal: oneshot::Receiver<()>) -> Self {
        let end = Box::pin(sleep(CONNECTION_DURATION_MAX));
        Self {
            stream,
            end,
            dismissal,
            bytes_left: REQUEST_BYTES_MAX,
            closed: None,
        }
    }

    /// Errors: it is closed. Whoever asks is woken when it closes.
    fn open(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.closed.is_none() {
            self.closed = self.closing(context);
        }
        self.closed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn closing(&mut self, context: &mut Context<'_>) -> Option<io::ErrorKind> {
        if self.end.as_mut().poll(context).is_ready() {
            Some(io::ErrorKind::TimedOut)
        } else if Pin::new(&mut self.dismissal).poll(context).is_ready() {
            Some(io::ErrorKind::ConnectionAborted)
        } else {
            None
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        connection.open(context)?;
        if connection.bytes_left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let filled_before = buffer.filled().len();
        ready!(Pin::new(&mut connection.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - filled_before;
        connection.bytes_left = connection.bytes_left.saturating_sub(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        connection.open(context)?;
        Pin::new(&mut connection.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
