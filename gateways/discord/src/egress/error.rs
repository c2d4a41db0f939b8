//! Why a REST call gave no answer that can be used. No variant ever carries the token or a webhook's token.

use std::time::{Duration, Instant};

/// What went wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Discord refused: a 4xx that is an answer.
    #[error("Discord refused with {status}, code {code}: {message}")]
    Discord {
        /// The HTTP status.
        status: u16,
        /// Discord's JSON error code; 0 if it gave none.
        code: u32,
        /// Discord's text.
        message: String,
    },
    /// Discord answered 401. Everything stops until [`Egress::resume`](super::Egress::resume).
    #[error("Discord does not accept the bot token; set a new one and resume")]
    Unauthorized,
    /// Too many invalid requests; nothing is sent until then, lest Discord ban the address.
    #[error("too many refused requests; nothing is sent to Discord for now")]
    Breaker {
        /// When the first request may go again.
        until: Instant,
    },
    /// A 5xx or no answer after all tries, or a lost answer to a request that may not be repeated.
    #[error("Discord is not available: {0}")]
    Unavailable(String),
    /// Still limited after the tries, or limited for longer than a call waits.
    #[error("Discord asks to wait for {} ms", retry_after.as_millis())]
    RateLimited {
        /// How long Discord asked to wait.
        retry_after: Duration,
    },
    /// As many calls as may wait are waiting.
    #[error("too many calls to Discord are waiting")]
    Full,
    /// The client was stopped.
    #[error("the Discord client is stopped")]
    Stopped,
    /// The request cannot be built or its answer cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}
