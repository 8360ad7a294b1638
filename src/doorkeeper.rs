//! Lets connections in that have an end: in time, in bytes, and when their place is needed. Knows
//! nothing of what is asked over them.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tracing::warn;

/// Pause after a connection could not be accepted: what is missing is then mostly file descriptors,
/// and others may give some back.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Of a socket in the file system: its owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Connections held at once; one more closes the oldest.
    pub(crate) connections_max: usize,
    /// How long a connection may last, with all its requests and answers.
    pub(crate) duration_max: Duration,
    /// Bytes taken from a connection before it is closed, give or take a read.
    pub(crate) bytes_max: usize,
}

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

/// Where connections come from.
pub(crate) trait Acceptor: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// The other end.
    type Peer: std::fmt::Debug + Send;

    fn accept_one(&mut self)
    -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;

    fn place(&self) -> io::Result<Self::Peer>;
}

impl Acceptor for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept_one(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }

    fn place(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Acceptor for UnixListener {
    type Stream = UnixStream;
    type Peer = ();

    async fn accept_one(&mut self) -> io::Result<(UnixStream, ())> {
        Ok((Self::accept(self).await?.0, ()))
    }

    fn place(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets connections in, the newest at the expense of the oldest: whoever opens many and says
/// nothing loses them, and whoever comes with a request is heard.
#[derive(Debug)]
pub(crate) struct Doorkeeper<A = TcpListener> {
    listener: A,
    limits: ConnectionLimits,
    /// Oldest first. Dropping one closes its connection.
    admitted: VecDeque<oneshot::Sender<()>>,
}

impl Doorkeeper<UnixListener> {
    /// Listens on a socket in the file system, whose owner and group alone may connect. One that
    /// nobody listens on any more is replaced.
    pub(crate) fn bind_socket(path: &Path, limits: ConnectionLimits) -> io::Result<Self> {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
        if is_socket {
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
                Err(_) => fs::remove_file(path)?,
            }
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
        Ok(Self::new(listener, limits))
    }
}

impl Doorkeeper {
    /// Listens on `address`. Returns also the address itself, whose port was chosen by the system
    /// if `address` left it open with 0.
    pub(crate) async fn bind(
        address: SocketAddr,
        limits: ConnectionLimits,
    ) -> Result<(Self, SocketAddr), ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((Self::new(listener, limits), address))
    }
}

impl<A: Acceptor> Doorkeeper<A> {
    fn new(listener: A, limits: ConnectionLimits) -> Self {
        Self {
            listener,
            limits,
            admitted: VecDeque::new(),
        }
    }

    fn admit(&mut self, stream: A::Stream) -> Connection<A::Stream> {
        self.admitted.retain(|admission| !admission.is_closed());
        if self.admitted.len() >= self.limits.connections_max {
            self.admitted.pop_front();
        }
        let (admission, dismissal) = oneshot::channel();
        self.admitted.push_back(admission);
        Connection::new(stream, dismissal, self.limits)
    }
}

impl<A: Acceptor> Listener for Doorkeeper<A> {
    type Io = Connection<A::Stream>;
    type Addr = A::Peer;

    async fn accept(&mut self) -> (Connection<A::Stream>, A::Peer) {
        loop {
            match self.listener.accept_one().await {
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

    fn local_addr(&self) -> io::Result<A::Peer> {
        self.listener.place()
    }
}

/// A connection with an end: in time, in bytes, and when its place is needed.
#[derive(Debug)]
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    end: Pin<Box<Sleep>>,
    dismissal: oneshot::Receiver<()>,
    bytes_left: usize,
    /// Why it was closed, if it was.
    closed: Option<io::ErrorKind>,
}

impl<S> Connection<S> {
    fn new(stream: S, dismissal: oneshot::Receiver<()>, limits: ConnectionLimits) -> Self {
        let end = Box::pin(sleep(limits.duration_max));
        Self {
            stream,
            end,
            dismissal,
            bytes_left: limits.bytes_max,
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

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
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
