//! Who listens at the relay: the tap, and what it hears. Nothing here ever holds a token.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A shard: its number and how many there are.
pub type Shard = (u32, u32);

/// One dispatch of Discord's gateway, exactly as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The shard it came on.
    pub shard: Shard,
    /// Discord's sequence number in the session. A dispatch without one carries the last one known.
    pub sequence: i64,
    /// `t`: `GUILD_MEMBER_UPDATE` and so on.
    pub kind: String,
    /// `d`.
    pub data: Value,
}

/// What is needed to continue a session, in another process too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Discord's name of the session.
    pub session_id: String,
    /// The last sequence number whose event was dealt with.
    pub sequence: i64,
    /// Where Discord wants the session to be resumed; empty if it did not say.
    pub resume_url: String,
    /// `d` of the session's READY.
    pub ready: Value,
}

/// Hears everything that passes. All calls for one shard come in order, from inside the relay's loop, and must
/// not block: a channel belongs behind them. The two futures may take their time.
pub trait Tap: Send + Sync + 'static {
    /// A dispatch came from Discord. Each comes once, in Discord's order, also if serenity cannot read it; the
    /// READY that the relay itself makes for serenity never comes here.
    fn dispatch(&self, event: Dispatch);

    /// A frame could not be understood and was not passed on, or an address was refused. `what` quotes nothing.
    fn odd_frame(&self, shard: Shard, what: String);

    /// The session to resume for this shard, if one is kept. Asked when serenity identifies and the relay itself
    /// knows of no session. A session keeps the intents it was identified with: offer none that had others.
    fn saved(&self, shard: Shard) -> BoxFuture<'_, Option<Saved>>;

    /// A session began: READY came. Called before the READY's own `dispatch`.
    fn began(&self, shard: Shard, saved: Saved);

    /// A session is about to be resumed: until `resumed`, or the session's end, what comes is what was missed, and
    /// older than what Discord would answer if it were asked.
    fn resuming(&self, shard: Shard);

    /// A session was resumed: RESUMED came, all that was missed before it.
    fn resumed(&self, shard: Shard);

    /// The session is over and cannot be resumed; forget what is kept.
    fn ended(&self, shard: Shard);

    /// Asked before each IDENTIFY that goes to Discord. After `Err(reason)` none goes: the relay closes both
    /// connections, and asks again when serenity comes again, some 5 s later. Answer within seconds: a connection
    /// to Discord stands open meanwhile, and falls if nothing is said on it.
    fn may_identify(&self, shard: Shard) -> BoxFuture<'_, Result<(), String>>;

    /// The connection to Discord is gone: with Discord's close code, or `None` if it fell without one, stopped
    /// answering heartbeats, or Discord asked for a new one. Not called when the relay is stopped, and not for a
    /// refused session, which `ended` tells. After 4010, 4011 and 4012 this shard is never identified again by this
    /// relay, and `Client::start` does not return: stop it.
    fn closed(&self, shard: Shard, code: Option<u16>);
}
