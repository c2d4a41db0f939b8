//! The proxy before a server that echoes: what each fault does to connections that are open, and to new ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fault_proxy::{Direction, Fault, FaultProxy, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::timeout;

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(150);

/// A proxy before an echo.
async fn proxy() -> FaultProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::Tcp(listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    FaultProxy::before(upstream).await.unwrap()
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(proxy.address())).await.unwrap().unwrap()
}

async fn says(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

async fn hears(socket: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(PATIENCE, socket.read_exact(&mut heard)).await.expect("an answer").unwrap();
    assert_eq!(heard, text.as_bytes());
}

async fn hears_nothing(socket: &mut TcpStream) {
    let heard = timeout(SILENCE, socket.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// How the connection ended.
async fn end(socket: &mut TcpStream) -> Result<usize, ErrorKind> {
    let mut byte = [0];
    timeout(PATIENCE, socket.read(&mut byte)).await.expect("it ends").map_err(|error| error.kind())
}

#[tokio::test]
async fn everything_passes_until_a_fault_is_set() {
    let proxy = proxy().await;
    let (mut one, mut two) = (connect(&proxy).await, connect(&proxy).await);
    for text in ["once", "again"] {
        for socket in [&mut one, &mut two] {
            says(socket, text).await;
            hears(socket, text).await;
        }
    }
    assert_eq!(proxy.connections(), 2);
    drop(one);
    let begin = Instant::now();
    while proxy.connections() > 1 {
        assert!(begin.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

/// The proxy is one thread here, and it is busy while the fault is set and the bytes are sent: it learns of both at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fault_holds_for_all_that_is_sent_after_it() {
    for fault in [Fault::HalfOpen, Fault::Stall] {
        let proxy = proxy().await;
        let mut sockets = Vec::new();
        // More than the runtime serves before it looks at its sockets again.
        for _ in 0..200 {
            let mut socket = connect(&proxy).await;
            says(&mut socket, "before").await;
            hears(&mut socket, "before").await;
            sockets.push(socket);
        }
        let (busy, is_busy) = tokio::sync::oneshot::channel();
        let (sent, are_sent) = std::sync::mpsc::channel();
        tokio::spawn(async move {
            busy.send(()).unwrap();
            are_sent.recv().unwrap();
        });
        is_busy.await.unwrap();
        proxy.set_one_way(Direction::ToServer, fault);
        for socket in &mut sockets {
            says(socket, "after").await;
        }
        sent.send(()).unwrap();
        tokio::time::sleep(SILENCE * 2).await;
        let heard = sockets.iter().filter(|socket| socket.try_read(&mut [0; 5]).is_ok()).count();
        assert_eq!(heard, 0, "bytes passed {fault:?} that were sent after it");
    }
}

#[tokio::test]
async fn a_delay_makes_late_and_loses_nothing() {
    let proxy = proxy().await;
    let mut socket = connect(&proxy).await;
    proxy.set(Fault::Delay(Duration::from_millis(60)));
    let begin = Instant::now();
    says(&mut socket, "slow").await;
    hears(&mut socket, "slow").await;
    assert!(begin.elapsed() >= Duration::from_millis(120), "both ways: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_stall_holds_bytes_back_and_gives_them_out_afterwards() {
    let proxy = proxy().await;
    let mut socket = connect(&proxy).await;
    proxy.set(Fault::Stall);
    says(&mut socket, "wait").await;
    hears_nothing(&mut socket).await;
    proxy.set(Fault::Pass);
    hears(&mut socket, "wait").await;
}

#[tokio::test]
async fn half_open_swallows_and_such_a_connection_stays_dead() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    says(&mut old, "a").await;
    hears(&mut old, "a").await;
    proxy.set(Fault::HalfOpen);
    says(&mut old, "lost").await;
    hears_nothing(&mut old).await;
    let mut new = connect(&proxy).await;
    says(&mut new, "lost").await;
    hears_nothing(&mut new).await;
    proxy.set(Fault::Pass);
    for socket in [&mut old, &mut new] {
        says(socket, "still").await;
        hears_nothing(socket).await;
    }
    let mut fresh = connect(&proxy).await;
    says(&mut fresh, "b").await;
    hears(&mut fresh, "b").await;
}

#[tokio::test]
async fn one_direction_alone_can_fail() {
    let proxy = proxy().await;
    let mut socket = connect(&proxy).await;
    proxy.set_one_way(Direction::ToProgram, Fault::Stall);
    says(&mut socket, "there").await;
    hears_nothing(&mut socket).await;
    // It arrived, and was answered: only the way back is closed.
    proxy.set_one_way(Direction::ToServer, Fault::HalfOpen);
    proxy.set_one_way(Direction::ToProgram, Fault::Pass);
    hears(&mut socket, "there").await;
    says(&mut socket, "lost").await;
    hears_nothing(&mut socket).await;
}

#[tokio::test]
async fn a_cut_closes_and_refuses_until_it_is_mended() {
    let proxy = proxy().await;
    let mut socket = connect(&proxy).await;
    says(&mut socket, "a").await;
    hears(&mut socket, "a").await;
    proxy.set(Fault::Cut);
    assert_eq!(end(&mut socket).await, Ok(0));
    let begin = Instant::now();
    let refused = loop {
        match TcpStream::connect(proxy.address()).await {
            // What was waiting to be accepted may still have been.
            Ok(_) => assert!(begin.elapsed() < PATIENCE, "it goes on listening"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.set(Fault::Pass);
    let mut socket = loop {
        if let Ok(socket) = TcpStream::connect(proxy.address()).await {
            break socket;
        }
        assert!(begin.elapsed() < PATIENCE, "it does not listen again");
        tokio::task::yield_now().await;
    };
    says(&mut socket, "b").await;
    hears(&mut socket, "b").await;
}

#[tokio::test]
async fn a_reset_is_one_for_old_and_new_connections() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    says(&mut old, "a").await;
    hears(&mut old, "a").await;
    proxy.set(Fault::Reset);
    assert_eq!(end(&mut old).await, Err(ErrorKind::ConnectionReset));
    let mut new = connect(&proxy).await;
    assert_eq!(end(&mut new).await, Err(ErrorKind::ConnectionReset));
    proxy.set(Fault::Pass);
    let mut fresh = connect(&proxy).await;
    says(&mut fresh, "b").await;
    hears(&mut fresh, "b").await;
}

#[tokio::test]
async fn a_socket_in_the_file_system_can_stand_behind_it() {
    let folder = std::env::temp_dir().join(format!("fault-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("echo");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = socket.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let proxy = FaultProxy::before(Upstream::Unix(path)).await.unwrap();
    let mut socket = connect(&proxy).await;
    says(&mut socket, "file").await;
    hears(&mut socket, "file").await;
    std::fs::remove_dir_all(folder).unwrap();
}
