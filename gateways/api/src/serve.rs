//! Serves the API on a listener, plain or over TLS: a limited number of connections, each with limits for the head of a
//! request, answers without delay, and an end that lets requests in flight finish. What is answered is no business of this
//! file.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::tls::Tls;

/// Pause after the system could not give a connection, for example because no file is left.
const PAUSE: Duration = Duration::from_millis(200);

/// Limits of connections. A head has at most 100 headers, which is hyper's own limit; what is beyond a limit of the head is
/// answered 431 without a body, because there is no request yet.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// Open at once; more wait until one ends.
    pub max: usize,
    /// Within this time the head of a request must have come, counted from the end of the one before: whoever is silent
    /// for longer is dropped.
    pub head_timeout: Duration,
    /// Bytes of the head of a request. It is looked at when more has come, so twice as much may pass in one piece.
    pub head_max_bytes: usize,
    /// Within this time TLS must be agreed upon, where it is spoken.
    pub handshake_timeout: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 12_000,
            head_timeout: Duration::from_secs(75),
            head_max_bytes: 64 * 1024,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: IpAddr,
    /// Whether it speaks TLS with this process.
    pub is_tls: bool,
}

/// A service that is told who is at the other end of a connection.
pub trait ToPeer: Clone {
    /// The service of one connection.
    #[must_use]
    fn to_peer(&self, peer: Peer) -> Self;
}

/// Routes by themselves do not ask.
impl ToPeer for axum::Router {
    fn to_peer(&self, _: Peer) -> Self {
        self.clone()
    }
}

/// Answers until `closing` is cancelled and the last request is answered; with `tls` to those only who speak it.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: Connections,
    tls: Option<Tls>,
    closing: CancellationToken,
) where
    S: Service<Request, Response = Response, Error = Infallible> + ToPeer + Send + 'static,
    S::Future: Send,
{
    let places = Arc::new(Semaphore::new(limits.max));
    while let Some(Some((stream, peer, place))) =
        closing.run_until_cancelled(accept(&listener, &places)).await
    {
        let service = service.to_peer(Peer { address: peer.ip(), is_tls: tls.is_some() });
        let closing = closing.clone();
        // Two tasks, so that a plain connection does not have the size of one over TLS. A place is kept from the first byte of
        // a handshake on.
        match tls.clone() {
            None => tokio::spawn(async move {
                connection(stream, service, limits, closing).await;
                drop(place);
            }),
            Some(tls) => tokio::spawn(async move {
                let handshake = tls.handshake(stream, limits.handshake_timeout);
                if let Some(Some(stream)) = closing.run_until_cancelled(handshake).await {
                    connection(stream, service, limits, closing).await;
                }
                drop(place);
            }),
        };
    }
    // Nobody new is taken while the last ones are answered.
    drop(listener);
    // When every place is free, the last connection has ended.
    let all = u32::try_from(limits.max).unwrap_or(u32::MAX);
    places.acquire_many(all).await.ok();
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The semaphore is never closed, so there is always a place in the end.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting for more to send only delays them.
                stream.set_nodelay(true).ok();
                return Some((stream, peer, place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection to its end.
async fn connection<I, S>(stream: I, service: S, limits: Connections, closing: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // A clone for each request: a service is asked by one caller at a time.
    let answer =
        service_fn(move |request: hyper::Request<Incoming>| service.clone().call(request.map(Body::new)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_max_bytes)
        .serve_connection(TokioIo::new(stream), answer);
    let mut served = pin!(served);
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = closing.cancelled() => {
            // What is being answered is answered; then it ends.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
