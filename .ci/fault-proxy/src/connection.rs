//! One connection through the proxy: two pumps, each under the fault of its direction. Nothing here listens.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

use crate::{Fault, Faults, Open, Upstream, reset};

/// Bytes that are passed on as one piece.
const PIECE_BYTES: usize = 16 * 1024;

/// Serves a program until one side ends, the fault ends connections, or the proxy goes.
pub(crate) async fn run(
    mut program: TcpStream,
    upstream: Upstream,
    mut faults: watch::Receiver<Faults>,
    _open: Open,
) {
    // Small pieces go at once: what is measured through the proxy is not its own waiting.
    let _ = program.set_nodelay(true);
    let served = async {
        let silent = faults.clone().borrow_and_update().is(Fault::HalfOpen);
        // Whoever connects to a peer that is gone connects, as far as he can see.
        if silent {
            return swallow(&mut program).await;
        }
        match &upstream {
            Upstream::Tcp(address) => {
                let Ok(mut server) = TcpStream::connect(address).await else { return };
                let _ = server.set_nodelay(true);
                let (from_server, to_server) = server.split();
                both(&mut program, from_server, to_server, &faults).await;
            }
            Upstream::Unix(path) => {
                let Ok(mut server) = UnixStream::connect(path).await else { return };
                let (from_server, to_server) = server.split();
                both(&mut program, from_server, to_server, &faults).await;
            }
        }
    };
    let mut ends = faults.clone();
    tokio::select! {
        () = served => {}
        // An error means that the proxy is gone.
        _ = ends.wait_for(|faults| faults.end_connections()) => {}
    }
    if faults.borrow_and_update().is(Fault::Reset) {
        reset(&program);
    }
}

/// Pumps in both directions until either ends.
async fn both(
    program: &mut TcpStream,
    from_server: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    faults: &watch::Receiver<Faults>,
) {
    let (from_program, to_program) = program.split();
    tokio::select! {
        _ = pump(from_program, to_server, faults.clone(), |faults| faults.to_server) => {}
        _ = pump(from_server, to_program, faults.clone(), |faults| faults.to_program) => {}
    }
}

/// Passes bytes on in one direction, as its fault has it.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Faults>,
    of: fn(Faults) -> Fault,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    // Bytes that a stream lacks in its middle would make it another one, not a broken one.
    let mut lost = false;
    loop {
        if of(*faults.borrow_and_update()) == Fault::Stall {
            faults.changed().await.map_err(io::Error::other)?;
            continue;
        }
        let count = tokio::select! {
            changed = faults.changed() => {
                changed.map_err(io::Error::other)?;
                continue;
            }
            count = from.read(&mut piece) => count,
        };
        // Bytes that were sent after a fault began may have been read before this task was told of it.
        let fault =
            of(*faults.wait_for(|faults| of(*faults) != Fault::Stall).await.map_err(io::Error::other)?);
        if lost || fault == Fault::HalfOpen {
            lost = true;
            if !matches!(count, Ok(1..)) {
                // The end of one side is not heard of at the other.
                return std::future::pending().await;
            }
            continue;
        }
        let count = count?;
        if count == 0 {
            return Ok(());
        }
        if let Fault::Delay(late) = fault {
            tokio::time::sleep(late).await;
        }
        to.write_all(&piece[..count]).await?;
    }
}

/// Takes what comes and says nothing.
async fn swallow(program: &mut TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    while matches!(program.read(&mut piece).await, Ok(1..)) {}
}
