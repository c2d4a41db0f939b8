//! A proxy for tests, between a program and its PostgreSQL, NATS or Redis: it makes the network fail as networks do, and
//! mend. It understands no protocol, keeps nothing, and listens on the loopback address only. (Toxiproxy, and noxious,
//! its likeness in Rust, do more; both are servers of their own, which no distribution that we run on has as a package.)

mod connection;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Between two tries to have the port again after a cut.
const AGAIN: Duration = Duration::from_millis(10);

/// Whom the proxy stands before.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// `host:port`.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They arrive.
    Pass,
    /// Each piece arrives so much later, one after the other.
    Delay(Duration),
    /// None is taken; those on the way arrive once the fault has gone. A server that is frozen looks like this.
    Stall,
    /// They are taken and thrown away, and connections stay open. A connection that lost bytes never passes any again. A
    /// firewall that forgot, or a machine that lost its power, looks like this.
    HalfOpen,
    /// Connections are closed, new ones refused.
    Cut,
    /// Connections end with a reset (RST), new ones at once.
    Reset,
}

/// Which bytes a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// All.
    Both,
    /// From the program to its server.
    ToServer,
    /// From the server to the program.
    ToProgram,
}

/// The faults of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Faults {
    to_server: Fault,
    to_program: Fault,
}

impl Faults {
    fn is(self, fault: Fault) -> bool {
        self.to_server == fault || self.to_program == fault
    }

    /// Whether no connection lives on.
    fn end_connections(self) -> bool {
        self.is(Fault::Cut) || self.is(Fault::Reset)
    }
}

/// The proxy. Dropping it closes every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    open: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy on a free port before `upstream`; everything passes. It connects for each connection that it takes, so
    /// `upstream` need not be there yet.
    ///
    /// # Errors
    /// If this machine gives no port.
    pub async fn before(upstream: Upstream) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let faults = watch::Sender::new(Faults { to_server: Fault::Pass, to_program: Fault::Pass });
        let open = Arc::default();
        let accepting =
            tokio::spawn(accept(listener, address, upstream, faults.subscribe(), Arc::clone(&open)));
        Ok(Self { address, faults, open, accepting })
    }

    /// Where programs connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens to all bytes, those of open connections too.
    pub fn set(&self, fault: Fault) {
        self.set_one_way(Direction::Both, fault);
    }

    /// From now on this happens to the bytes of one direction. A cut or a reset ends whole connections.
    pub fn set_one_way(&self, direction: Direction, fault: Fault) {
        self.faults.send_modify(|faults| {
            if direction != Direction::ToProgram {
                faults.to_server = fault;
            }
            if direction != Direction::ToServer {
                faults.to_program = fault;
            }
        });
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    upstream: Upstream,
    mut faults: watch::Receiver<Faults>,
    open: Arc<AtomicUsize>,
) {
    let mut listener = Some(listener);
    loop {
        if faults.borrow_and_update().is(Fault::Cut) {
            // A port that nobody listens on is what refuses.
            listener = None;
            if faults.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(listening) = &listener else {
            match listen(address) {
                Ok(again) => listener = Some(again),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
            continue;
        };
        tokio::select! {
            changed = faults.changed() => if changed.is_err() { return },
            taken = listening.accept() => if let Ok((program, _)) = taken {
                tokio::spawn(connection::run(program, upstream.clone(), faults.clone(), Open::count(&open)));
            }
        }
    }
}

/// The same port as before, although connections of it may still be closing.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Counts a connection for as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Makes the end of a socket a reset.
fn reset(socket: &TcpStream) {
    // A socket that does not take it is closed in form, which is a failure of the network as well.
    let _ = socket.set_zero_linger();
}
