//! The bus between processes: a short message over NATS (core, not JetStream) after each append, which makes the others
//! look at the log at once instead of at their next interval. A message that is lost costs one interval; one that is
//! forged costs a look. Positions in it are never believed.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures::StreamExt as _;
use tokio::sync::{Notify, watch};

use super::MemoryBus;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// A server that answers no ping for twice as long is gone.
const PING: Duration = Duration::from_secs(5);
/// Longest pause between two tries to reach a server.
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// Pause before a subscription is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No address of a NATS server. What it is is not repeated, because it may hold a password.
    #[error("no address of a NATS server: {0}")]
    Address(String),
}

/// A connection to NATS, for one log.
#[derive(Debug, Clone)]
pub struct NatsBus {
    local: MemoryBus,
    client: Client,
    epoch: Arc<str>,
    /// The highest position that this process appended.
    own: watch::Sender<i64>,
    call: Arc<Notify>,
}

impl NatsBus {
    pub(super) async fn connect(url: &str, epoch: &str) -> Result<Self, NatsError> {
        let options = ConnectOptions::new()
            .name("dca-auth")
            .retry_on_initial_connect()
            .no_echo()
            .connection_timeout(CONNECT)
            .ping_interval(PING)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(50).saturating_mul(1 << attempts.min(5)).min(RECONNECT_MAX)
            })
            .event_callback(|event| async move { note(&event) });
        let servers = url
            .split(',')
            .map(|one| one.trim().parse::<ServerAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| NatsError::Address(error.to_string()))?;
        let client =
            options.connect(servers).await.map_err(|error| NatsError::Address(error.kind().to_string()))?;
        Ok(Self {
            local: MemoryBus::new(),
            client,
            epoch: epoch.into(),
            own: watch::Sender::new(0),
            call: Arc::default(),
        })
    }

    pub(super) fn local(&self) -> &MemoryBus {
        &self.local
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn tell(&self, position: i64) {
        self.own.send_if_modified(|own| {
            let higher = position > *own;
            if higher {
                *own = position;
            }
            higher
        });
    }

    pub(super) async fn called(&self) {
        self.call.notified().await;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match self.client.connection_state() {
            State::Connected => None,
            State::Pending | State::Disconnected => {
                Some("NATS does not answer; the log is looked at every moment instead".to_owned())
            }
        }
    }

    /// Where processes call each other.
    fn subject(&self) -> String {
        format!("dca.{}.head", self.epoch)
    }

    pub(super) async fn run(&self) {
        tokio::join!(self.tell_others(), self.hear_others());
    }

    async fn tell_others(&self) {
        let mut own = self.own.subscribe();
        while own.changed().await.is_ok() {
            let position = *own.borrow_and_update();
            if self.client.connection_state() != State::Connected {
                // What waits for a connection would come late and say nothing new.
                continue;
            }
            if let Err(error) = self.client.publish(self.subject(), position.to_string().into()).await {
                tracing::debug!(%error, "other processes could not be told of new events");
            }
        }
    }

    async fn hear_others(&self) {
        loop {
            match self.client.subscribe(self.subject()).await {
                Ok(mut calls) => {
                    while calls.next().await.is_some() {
                        self.call.notify_one();
                    }
                }
                Err(error) => tracing::debug!(%error, "other processes cannot be heard"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn note(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => {
            tracing::warn!("the connection to NATS is gone; the log is looked at every moment instead");
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS refuses something"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}
