//! TLS on a connection: version 1.3 only, within a limited time, with the certificate that is there when a connection
//! begins. Where certificates come from, and when another one takes their place, is the server's business.

mod certificate;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

pub use certificate::{Certificate, CertificateError};

/// What whoever speaks HTTP without TLS is told.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 68\r\n\
    Connection: close\r\n\r\nThis address speaks HTTPS only: write https:// in place of http://.\n";
/// The most that is read of what he sends after that.
const REST_MAX_BYTES: u64 = 64 * 1024;

/// The side of the listener: what a new connection is offered.
#[derive(Debug, Clone)]
pub struct Tls {
    current: watch::Receiver<Arc<ServerConfig>>,
}

/// The side of whoever keeps the certificate.
#[derive(Debug)]
pub struct Renewal {
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Renewal {
    /// From now on new connections get this certificate. Those that are there go on; sessions of the one before cannot be
    /// resumed, because each certificate has a memory of its own for them.
    pub fn replace(&self, certificate: &Certificate) {
        self.current.send_replace(certificate.config());
    }
}

impl Tls {
    /// TLS with this certificate, until another one takes its place.
    pub fn new(certificate: &Certificate) -> (Self, Renewal) {
        let (sender, receiver) = watch::channel(certificate.config());
        (Self { current: receiver }, Renewal { current: sender })
    }

    /// The connection, once TLS is agreed upon; `None` if that failed, which is the other side's doing and seen by nobody but
    /// whoever looks for it.
    pub(crate) async fn handshake(&self, stream: TcpStream, limit: Duration) -> Option<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.borrow());
        match tokio::time::timeout(limit, agreed(config, stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS was not agreed upon");
                None
            }
            Err(_) => {
                tracing::debug!("TLS was not agreed upon in time");
                None
            }
        }
    }
}

async fn agreed(config: Arc<ServerConfig>, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    // Looked at and not taken.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        refuse_plain(stream).await?;
        return Err(io::Error::other("plain HTTP"));
    }
    TlsAcceptor::from(config).accept(stream).await
}

/// Says what is wrong and closes. What is still coming is read, because a connection that is closed over unread bytes is
/// reset, and with it goes the answer.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(REST_MAX_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}
