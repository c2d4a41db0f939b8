//! Copies the log into a JetStream stream, for programs outside that want to hear of events. One process does it at a
//! time, by a lease; that no event is doubled, left out or out of order is kept by the stream itself, which takes a message
//! only after the one that its sender saw last. The log is the truth: a stream that was wiped is filled again from it, and
//! nothing inside depends on it.

mod message;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{self, Context};
use domain::event::StoredEvent;
use futures::future::join_all;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, NatsBus};
use crate::error::QueryError;
use crate::operational::{Lease, Leases};
use crate::{Core, Queries};

/// The definition of the streams, as the server's own interface has it.
const STREAMS: &str = include_str!("../../nats/streams.json");
/// The name of the lease.
const NAME: &str = "relay";
/// How long the lease lasts without being renewed, and when it is.
const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_millis(1_500);
/// Pause before the lease, or a server that did not answer, is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Events sent at once.
const BATCH: u32 = 500;
/// How long the server may take to say that it has a message.
const ACK: Duration = Duration::from_secs(5);
/// Room in a message for its subject and headers.
const HEADERS_BYTES: usize = 4_096;
/// Oldest server with what is used here.
const SERVER_MIN: (u64, u64) = (2, 9);

/// The copying of one log.
pub struct Relay {
    core: Arc<Core>,
    nats: NatsBus,
    holder: String,
    leases: Leases,
}

/// Why copying stopped; it begins again by itself.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Log(#[from] QueryError),
    /// Somebody else copies.
    #[error("another process copied events into the stream")]
    Forestalled,
    #[error("{0}")]
    Nats(String),
}

/// Where the stream ends.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Position of its last event.
    position: i64,
    /// Its own number of that message.
    sequence: u64,
}

#[derive(Deserialize)]
struct Streams {
    events: Config,
}

impl Relay {
    /// The relay of `queries`, in the name of `holder`, which no other process has; `None` without NATS.
    pub fn new(queries: &Queries, holder: &str) -> Option<Self> {
        match &queries.core.bus {
            Bus::Memory(_) => None,
            Bus::Nats(nats) => Some(Self {
                core: queries.core.clone(),
                nats: nats.clone(),
                holder: holder.to_owned(),
                leases: queries.leases(),
            }),
        }
    }

    /// Copies until `shutdown`, whenever nobody else does. Nothing ends this but `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut held: Option<Lease> = None;
        let work = async {
            let mut told = String::new();
            loop {
                match self.leases.acquire(NAME, &self.holder, LEASE).await {
                    Ok(Some(lease)) => {
                        held = Some(lease);
                        if let Err(why) = self.copy().await {
                            // The same trouble is told once.
                            let why = why.to_string();
                            if why != told {
                                tracing::warn!(why, "events are not copied to NATS; tried again and again");
                                told = why;
                            }
                        }
                    }
                    Ok(None) => held = None,
                    Err(error) => tracing::debug!(%error, "who copies the log could not be asked"),
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
        if let Some(lease) = held
            && let Err(error) = self.leases.release(&lease).await
        {
            tracing::debug!(%error, "the lease of the relay could not be let go; it ends by itself");
        }
    }

    /// Copies for as long as the lease is ours.
    async fn copy(&self) -> Result<(), Stopped> {
        let mut renewed = Instant::now();
        let context = self.context()?;
        let mut end = self.end(&context).await?;
        let mut head = self.core.bus.subscribe();
        tracing::info!(position = end.position, "events are copied to NATS from here on");
        loop {
            if renewed.elapsed() >= RENEW {
                if self.leases.acquire(NAME, &self.holder, LEASE).await?.is_none() {
                    return Ok(());
                }
                renewed = Instant::now();
            }
            let events = self.core.log.read(end.position, BATCH).await?;
            if events.is_empty() {
                let position = end.position;
                let more = head.wait_for(|head| *head > position);
                let _ = tokio::time::timeout(self.core.config.poll, more).await;
                continue;
            }
            end = self.send(&context, end, &events).await?;
        }
    }

    fn context(&self) -> Result<Context, Stopped> {
        let version = self.nats.client().server_info().version;
        let mut parts = version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version.is_empty() {
            return Err(Stopped::Nats("NATS does not answer".to_owned()));
        }
        if found < SERVER_MIN {
            return Err(Stopped::Nats(format!(
                "nats-server {version} is too old; {}.{} or newer is needed",
                SERVER_MIN.0, SERVER_MIN.1
            )));
        }
        let mut context = jetstream::new(self.nats.client().clone());
        context.set_timeout(ACK);
        Ok(context)
    }

    /// The stream as it is defined, and where it ends.
    async fn end(&self, context: &Context) -> Result<End, Stopped> {
        let config = stream_config(&self.core.epoch)?;
        let longest = config.max_messages;
        let stream = ensure(context, config).await?;
        let info = stream.get_info().await.map_err(|error| Stopped::Nats(error.to_string()))?;
        let sequence = info.state.last_sequence;
        if info.state.messages == 0 {
            let head = self.core.log.head().await?;
            let position = if longest > 0 { (head - longest).max(0) } else { 0 };
            return Ok(End { position, sequence });
        }
        // A stranger's message in the middle of a batch makes the stream refuse one event and take the next. Nothing is
        // written behind that, so it stands among the last ones.
        let first = sequence.saturating_sub(u64::from(BATCH)).max(info.state.first_sequence);
        let mut position: Option<i64> = None;
        for last in join_all((first..=sequence).map(|at| stream.get_raw_message(at))).await {
            let last = last.map_err(|error| Stopped::Nats(format!("the stream's last messages: {error}")))?;
            let header = last.headers.get(message::POSITION).and_then(|value| value.as_str().parse().ok());
            let follows = header.filter(|at| position.is_none_or(|before| *at == before + 1));
            position = Some(follows.ok_or_else(|| stranger(&info.config.name))?);
        }
        let position = position.ok_or_else(|| stranger(&info.config.name))?;
        Ok(End { position, sequence })
    }

    /// Sends events that follow `end`; the stream takes each only right after the one before.
    async fn send(&self, context: &Context, end: End, events: &[StoredEvent]) -> Result<End, Stopped> {
        let max_bytes = self.nats.client().max_payload().saturating_sub(HEADERS_BYTES);
        let (mut sequence, mut taken) = (end.sequence, Vec::with_capacity(events.len()));
        for event in events {
            let body = message::body(&self.core.epoch, event, max_bytes)
                .map_err(|error| QueryError::Damaged(format!("event {}: {error}", event.position)))?;
            let message = PublishMessage::build()
                .payload(body.into())
                .message_id(format!("{}-{}", self.core.epoch, event.position))
                .header(message::POSITION, event.position.to_string())
                .expected_last_sequence(sequence);
            let subject = message::subject(&self.core.epoch, event);
            taken.push(context.send_publish(subject, message).await.map_err(|error| refused(&error))?);
            sequence += 1;
        }
        for (answer, expected) in
            join_all(taken.into_iter().map(IntoFuture::into_future)).await.into_iter().zip(end.sequence + 1..)
        {
            let answer = answer.map_err(|error| refused(&error))?;
            if answer.sequence != expected {
                return Err(Stopped::Forestalled);
            }
        }
        let position = events.last().map_or(end.position, |event| event.position);
        Ok(End { position, sequence })
    }
}

fn stranger(stream: &str) -> Stopped {
    Stopped::Nats(format!(
        "somebody else wrote into the stream {stream}; let nobody but this program publish below `dca.`, and delete the \
         stream: it is filled again from the log"
    ))
}

fn refused(error: &PublishError) -> Stopped {
    match error.kind() {
        PublishErrorKind::WrongLastSequence => Stopped::Forestalled,
        _ => Stopped::Nats(error.to_string()),
    }
}

fn stream_config(epoch: &str) -> Result<Config, Stopped> {
    let text = STREAMS.replace("{epoch}", epoch);
    let streams: Streams =
        serde_json::from_str(&text).map_err(|error| Stopped::Nats(format!("nats/streams.json: {error}")))?;
    Ok(streams.events)
}

/// Makes the stream, or brings its limits to what is defined.
async fn ensure(context: &Context, config: Config) -> Result<Stream, Stopped> {
    let failed =
        |error: &dyn std::fmt::Display| Stopped::Nats(format!("the stream {}: {error}", config.name));
    let stream = context.get_or_create_stream(config.clone()).await.map_err(|error| failed(&error))?;
    if stream.cached_info().config.max_messages != config.max_messages {
        context.update_stream(config.clone()).await.map_err(|error| failed(&error))?;
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_stream_can_be_read() {
        let config = stream_config("abc").unwrap();
        assert_eq!((&*config.name, &*config.subjects[0]), ("DCA_EVENTS_abc", "dca.abc.event.>"));
        assert!(config.deny_delete && config.max_messages > 0);
    }
}
