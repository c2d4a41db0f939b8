//! A small HTTP/1.1 load generator: keep-alive connections that send prepared bytes and read answers with a
//! Content-Length. It checks the status of every answer and otherwise looks at nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::histogram::Histogram;
use crate::failure::{Attempt as _, Failure, Outcome};

/// Connections that are being opened at once.
const OPENING: usize = 256;

/// How hard, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections at once.
    pub(crate) connections: usize,
    /// How long it is measured.
    pub(crate) span: Duration,
    /// Requests a second over all connections; `None` as fast as they come.
    pub(crate) rate: Option<u32>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Latencies, from the intended send time where the rate is constant.
    pub(crate) latency: Histogram,
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Bytes of one answer's body.
    pub(crate) body_bytes: usize,
}

/// Bytes of one request.
pub(crate) fn post(address: SocketAddr, path: &str, api_key: &str, body: &str) -> Vec<u8> {
    request("POST", address, path, api_key, body)
}

/// The same with another method; no body is an empty one.
pub(crate) fn request(method: &str, address: SocketAddr, path: &str, api_key: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {api_key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends `requests`, each connection beginning at another one, until the time is over.
///
/// # Errors
/// If a connection fails or an answer is not 200.
pub(crate) async fn run(address: SocketAddr, requests: Arc<Vec<Vec<u8>>>, load: Load) -> Outcome<Measured> {
    let mut connections = opened(address, load.connections).await?;
    let begin = Instant::now();
    let end = begin + load.span;
    let pace = load.rate.map(|rate| Duration::from_secs_f64(load.connections as f64 / f64::from(rate)));
    let tasks: Vec<_> = (0..load.connections)
        .filter_map(|number| {
            let first = number * requests.len() / load.connections;
            let start = begin
                + pace.map_or(Duration::ZERO, |pace| pace.mul_f64(number as f64 / load.connections as f64));
            connections.pop().map(|connection| {
                let pace = pace.map(|pace| (start, pace));
                tokio::spawn(one_connection(connection, Arc::clone(&requests), first, pace, end))
            })
        })
        .collect();
    let mut latency = Histogram::default();
    let mut body_bytes = 0;
    for task in tasks {
        let (histogram, bytes) =
            task.await.attempt(|| "a connection of the benchmark broke off".to_owned())??;
        latency.add(&histogram);
        body_bytes = bytes;
    }
    let per_second = latency.count() as f64 / begin.elapsed().as_secs_f64();
    Ok(Measured { latency, per_second, body_bytes })
}

/// Sends each of `requests` once, over so many connections.
///
/// # Errors
/// If a connection fails or an answer is not 200.
pub(crate) async fn once(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
) -> Outcome<()> {
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                for request in requests.iter().skip(number).step_by(connections) {
                    connection.ask(request).await?;
                }
                Outcome::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.attempt(|| "a connection of the benchmark broke off".to_owned())??;
    }
    Ok(())
}

async fn one_connection(
    mut connection: Connection,
    requests: Arc<Vec<Vec<u8>>>,
    first: usize,
    pace: Option<(Instant, Duration)>,
    end: Instant,
) -> Outcome<(Histogram, usize)> {
    let mut histogram = Histogram::default();
    let mut intended = pace.map(|(start, _)| start);
    for request in requests.iter().cycle().skip(first) {
        if Instant::now() >= end {
            break;
        }
        let sent = match (intended.as_mut(), pace) {
            (Some(next), Some((_, pace))) => {
                tokio::time::sleep_until((*next).into()).await;
                let due = *next;
                *next += pace;
                due
            }
            _ => Instant::now(),
        };
        connection.ask(request).await?;
        histogram.record(sent.elapsed());
    }
    Ok((histogram, connection.answer.body))
}

/// So many connections, a few at a time: more at once than a listener's queue holds would be turned away by the system.
async fn opened(address: SocketAddr, count: usize) -> Outcome<Vec<Connection>> {
    let opening = futures::stream::repeat_with(|| Connection::open(address)).take(count);
    opening.buffer_unordered(OPENING).collect::<Vec<_>>().await.into_iter().collect()
}

/// A connection that asks one thing after the other.
pub(super) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    answer: Answer,
}

impl Connection {
    async fn open(address: SocketAddr) -> Outcome<Self> {
        Self::open_from(Ipv4Addr::UNSPECIFIED, address).await
    }

    /// From an address of this machine.
    pub(super) async fn open_from(from: Ipv4Addr, address: SocketAddr) -> Outcome<Self> {
        let broke = || format!("there is no connection to {address}");
        let socket = TcpSocket::new_v4().attempt(broke)?;
        socket.bind((from, 0).into()).attempt(broke)?;
        let stream = socket.connect(address).await.attempt(broke)?;
        stream.set_nodelay(true).attempt(broke)?;
        Ok(Self { address, stream, answer: Answer::default() })
    }

    /// Asks, and tells whether the answer is 200.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Outcome<bool> {
        let broke = || format!("the connection to {} broke", self.address);
        self.stream.write_all(request).await.attempt(broke)?;
        self.answer.read(&mut self.stream).await.attempt(broke)?;
        Ok(self.answer.is_ok())
    }

    async fn ask(&mut self, request: &[u8]) -> Outcome<()> {
        match self.exchange(request).await? {
            true => Ok(()),
            false => Err(Failure::new(format!("{} answered {}", self.address, self.text()))),
        }
    }

    /// The last answer, cut.
    pub(super) fn text(&self) -> String {
        self.answer.text()
    }
}

/// One answer, in a buffer that is used again.
#[derive(Default)]
struct Answer {
    buffer: Vec<u8>,
    length: usize,
    body: usize,
}

impl Answer {
    async fn read(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        self.buffer.resize(16 * 1024, 0);
        self.length = 0;
        loop {
            let read = stream.read(&mut self.buffer[self.length..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.length += read;
            if let Some((head, body)) = self.sizes() {
                if self.length >= head + body {
                    self.body = body;
                    return Ok(());
                }
                self.buffer.resize((head + body).max(self.buffer.len()), 0);
            }
        }
    }

    /// Bytes of the head and of the body, once the head is there.
    fn sizes(&self) -> Option<(usize, usize)> {
        let seen = &self.buffer[..self.length];
        let head = seen.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&seen[..head]).ok()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        })?;
        Some((head, length))
    }

    fn is_ok(&self) -> bool {
        self.buffer.starts_with(b"HTTP/1.1 200")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.length.min(400)]).replace("\r\n", " | ")
    }
}
