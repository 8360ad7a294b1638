//! TLS before a server that speaks none, as a proxy that ends it.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificates;

/// Listens at `https://localhost`, with a certificate that a private authority vouches for, and passes
/// what it hears on.
pub(crate) struct TlsFront {
    folder: TempDir,
    port: u16,
    _runtime: Runtime,
}

impl TlsFront {
    /// Before the server at this URL, which begins with `http://`.
    pub(crate) fn before(url: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        certificates::make(folder.path());
        let certificate = CertificateDer::from_pem_file(folder.path().join("server.pem"));
        let key = PrivateKeyDer::from_pem_file(folder.path().join("server.key"));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let address: SocketAddr = address.parse().expect("an address");
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(async move {
            while let Ok((heard, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let (Ok(mut heard), Ok(mut behind)) = (
                        acceptor.accept(heard).await,
                        TcpStream::connect(address).await,
                    ) {
                        drop(tokio::io::copy_bidirectional(&mut heard, &mut behind).await);
                    }
                });
            }
        });
        Self {
            folder,
            port,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The certificate of the authority, in PEM.
    pub(crate) fn authority(&self) -> String {
        let file = self.folder.path().join(certificates::CA_FILE);
        std::fs::read_to_string(file).expect("a certificate")
    }
}
