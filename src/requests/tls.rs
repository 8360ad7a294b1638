//! TLS for those who ask from elsewhere: the doorkeeper's connections, encrypted. A handshake is made
//! by whoever reads first, so that a slow one keeps nobody else waiting.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::domain::caller::TlsFiles;
use crate::doorkeeper::{self, Doorkeeper};

/// Why requests cannot be answered over TLS.
#[derive(Debug, thiserror::Error)]
#[error("the certificate or key of `[http]` in `{path}` cannot be used")]
pub(crate) struct TlsError {
    path: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl TlsError {
    fn of(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            path: path.display().to_string(),
            source: source.into(),
        }
    }
}

/// Connections as they come in, encrypted.
pub(super) struct EncryptedDoor {
    door: Doorkeeper,
    acceptor: TlsAcceptor,
}

impl EncryptedDoor {
    pub(super) fn new(door: Doorkeeper, files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|error| TlsError::of(path, error));
        let certificates = read(&files.certificate)?;
        let certificates = CertificateDer::pem_slice_iter(&certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::of(&files.certificate, error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|error| TlsError::of(&files.key, error))?;
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::of(&files.certificate, error))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| TlsError::of(&files.certificate, error))?;
        Ok(Self {
            door,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

impl Listener for EncryptedDoor {
    type Io = Encrypted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Encrypted, SocketAddr) {
        let (connection, peer) = self.door.accept().await;
        let handshake = Box::new(self.acceptor.accept(connection));
        (Encrypted::Handshake(handshake), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.door.local_addr()
    }
}

/// An encrypted connection, or one that is becoming one.
pub(super) enum Encrypted {
    Handshake(Box<Accept<doorkeeper::Connection>>),
    Open(Box<TlsStream<doorkeeper::Connection>>),
}

impl Encrypted {
    fn poll_open(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<doorkeeper::Connection>>>> {
        if let Self::Handshake(handshake) = self {
            let stream = ready!(Pin::new(handshake.as_mut()).poll(context))?;
            *self = Self::Open(Box::new(stream));
        }
        match self {
            Self::Open(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            Self::Handshake(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(context))?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(context))?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(context))?.poll_shutdown(context)
    }
}
