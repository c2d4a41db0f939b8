//! Connections as they come over the network: who is silent, who says too much before he asks, more of them than there are
//! places, and the end.

use std::time::Duration;

use api::{Connections, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{Config, World};

/// How long anything may take under the load of all tests.
const PATIENCE: Duration = Duration::from_secs(30);

struct Site {
    world: World,
    address: std::net::SocketAddr,
    closing: CancellationToken,
    served: JoinHandle<()>,
}

impl Site {
    async fn start(connections: Connections, limits: Limits) -> Self {
        let world = World::bare(Config { limits, ..Config::default() }).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, closing) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served =
            tokio::spawn(api::serve(listener, world.router.clone(), connections, None, closing.clone()));
        Self { world, address, closing, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a text over a connection of its own; all that comes back until the other end closes it.
    async fn told(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        // Whoever refuses the beginning need not take the rest.
        stream.write_all(text.as_bytes()).await.ok();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        let mut part = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut part).await {
            bytes.extend_from_slice(&part[..read]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the connection is closed");
    String::from_utf8(bytes).unwrap()
}

/// Reads until the body of one answer has come.
async fn one_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with('}') {
        let mut part = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.expect("an answer").unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn whoever_is_silent_or_never_ends_is_dropped() {
    let connections = Connections { head_timeout: Duration::from_millis(200), ..Connections::default() };
    let site = Site::start(connections, Limits::default()).await;
    assert_eq!(rest(&mut site.connect().await).await, "", "silent from the beginning");
    let mut stream = site.connect().await;
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(rest(&mut stream).await, "", "silent after an answer");
    let mut stream = site.connect().await;
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let dripped = async {
        while stream.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, dripped).await.expect("one letter after the other does not keep it open");
}

#[tokio::test]
async fn a_head_has_limits() {
    let site = Site::start(Connections::default(), Limits::default()).await;
    let ask = |headers: &str| format!("GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    assert!(site.told(&ask(&lines(90))).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let many = site.told(&ask(&lines(120))).await;
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    let long = site.told(&ask(&format!("X-Long: {}\r\n", "x".repeat(200 * 1024)))).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431 "), "{long}");
    let odd = site.told("what is this?\r\n\r\n").await;
    assert!(odd.starts_with("HTTP/1.1 400 "), "{odd}");
    site.world.get("/live").empty().await.ok(200);
}

#[tokio::test]
async fn more_connections_than_places_wait_for_one() {
    let site = Site::start(Connections { max: 1, ..Connections::default() }, Limits::default()).await;
    let ask = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut first, mut second) = (site.connect().await, site.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(ask).await.unwrap();
    }
    for _ in 0..3 {
        one_answer(&mut first).await;
        first.write_all(ask).await.unwrap();
    }
    drop(first);
    assert!(one_answer(&mut second).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn the_end_waits_for_answers_and_for_nobody_who_is_idle() {
    let limits = Limits { request_timeout: Duration::from_millis(500), ..Limits::default() };
    let site = Site::start(Connections::default(), limits).await;
    let mut idle = site.connect().await;
    idle.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    one_answer(&mut idle).await;
    let mut busy = site.connect().await;
    let (token, body) = (site.world.token("operator"), "{\"name\":\"slow\"}");
    let ask = format!(
        "POST /_admin/rebuild HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    busy.write_all(ask.as_bytes()).await.unwrap();
    // Asked for the body: the request is under way.
    let mut part = [0; 25];
    busy.read_exact(&mut part).await.unwrap();
    assert_eq!(&part, b"HTTP/1.1 100 Continue\r\n\r\n");
    busy.write_all(body.as_bytes()).await.unwrap();
    site.closing.cancel();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("TIMEOUT"), "{answer}");
    assert_eq!(rest(&mut idle).await, "");
    tokio::time::timeout(PATIENCE, site.served).await.expect("it ends").unwrap();
}
