//! The connection to serenity. Only a client that knows the secret path gets one.
//!
//! It never lets a close frame without a code reach serenity, which would spin on the dead connection.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// How long a handshake, or one write, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Discord takes 4 KiB at most; this leaves room for what it would refuse itself.
const FRAME_MAX_BYTES: usize = 1 << 20;

/// Serenity's side.
pub(super) struct Downstream {
    socket: WebSocketStream<TcpStream>,
}

impl Downstream {
    /// Shakes hands with whoever knows the path; anybody else gets a 404.
    pub(super) async fn accept(stream: TcpStream, path: &str) -> Option<Self> {
        let mut settings = WebSocketConfig::default();
        settings.max_message_size = Some(FRAME_MAX_BYTES);
        settings.max_frame_size = Some(FRAME_MAX_BYTES);
        // The library's own signature asks for an error of this size.
        #[allow(clippy::result_large_err)]
        let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            if request.uri().path() == path {
                return Ok(response);
            }
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            Err(refusal)
        };
        let _ = stream.set_nodelay(true);
        let shaken = accept_hdr_async_with_config(stream, check, Some(settings));
        let socket = tokio::time::timeout(PATIENCE, shaken).await.ok()?.ok()?;
        Some(Self { socket })
    }

    /// The next data frame, `None` when serenity has gone; safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            match self.socket.next().await?.ok()? {
                message @ (Message::Text(_) | Message::Binary(_)) => return Some(message),
                Message::Close(_) => {
                    // Sends the answer that closing asks for.
                    let _ = self.socket.close(None).await;
                    return None;
                }
                _ => {}
            }
        }
    }

    /// Sends; `false` when serenity has gone.
    pub(super) async fn send(&mut self, message: Message) -> bool {
        matches!(tokio::time::timeout(PATIENCE, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// Closes with a code, and waits a moment for the answer so that the code arrives.
    pub(super) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        let farewell = async {
            self.socket.close(Some(frame)).await.ok()?;
            while self.next().await.is_some() {}
            Some(())
        };
        // If it cannot be told, it notices by the connection's end.
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
    }
}
