//! Refused credentials and sign-ins, counted in memory and written into the log as one event a minute for each cause and
//! sender. Whoever needs no credential to be refused cannot make the log grow by more than that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use commands::{CommandError, Context};
use domain::credential::ApiKeyId;
use domain::id::GuildId;
use domain::security::{Cause, Event};
use domain::time::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::ApiError;
use crate::proxies::Address;
use crate::state::ApiState;

/// How often what was counted is written.
const EVERY: Duration = Duration::from_secs(60);
/// Events that one writing makes at most; one a cause is kept back for whoever comes when the others are taken.
const EVENTS_MAX: usize = 60;
const SENDERS_MAX: usize = EVENTS_MAX - Cause::ALL.len();
/// How long the last writing may hold up the end of the process.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Who was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sender {
    Key(ApiKeyId),
    Network(String),
    /// Too many to be told apart.
    Others,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    count: u64,
    since: Timestamp,
    at: Timestamp,
}

/// What was refused since the last writing.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<(Cause, Sender), Count>>);

/// What an error says about who sent the request; most say nothing.
fn cause(error: &ApiError) -> Option<Cause> {
    Some(match error.code() {
        "INVALID_CREDENTIAL" => Cause::CredentialInvalid,
        // An access token expires every five minutes, and nobody did anything wrong.
        "CREDENTIAL_EXPIRED" if error.api_key().is_some() => Cause::CredentialExpired,
        "SESSION_ENDED" => Cause::SessionEnded,
        "REFRESH_REUSED" => Cause::RefreshReused,
        "STATE_MISMATCH" | "SIGN_IN_REFUSED" | "CLAIM_VOID" => Cause::SignInRefused,
        "KEY_IN_URL" => Cause::KeyInUrl,
        _ => return None,
    })
}

/// The block of addresses around one; what nobody said is no block.
fn network(address: Address) -> Sender {
    address.block().map_or(Sender::Others, Sender::Network)
}

impl Refusals {
    /// Counts an error, if it is one of those.
    pub(crate) fn note(&self, error: &ApiError, address: Address, now: Timestamp) {
        let Some(cause) = cause(error) else { return };
        let sender = error.api_key().map_or_else(|| network(address), Sender::Key);
        let mut counts = self.lock();
        let is_full = counts.len() >= SENDERS_MAX && !counts.contains_key(&(cause, sender.clone()));
        let sender = if is_full { Sender::Others } else { sender };
        let count = counts.entry((cause, sender)).or_insert(Count { count: 0, since: now, at: now });
        count.count += 1;
        count.at = now;
    }

    /// Takes what was counted, as facts of a guild or of the platform.
    fn take(&self) -> Vec<(Option<GuildId>, Event)> {
        let counts = std::mem::take(&mut *self.lock());
        let fact = |((cause, sender), Count { count, since, at })| {
            let (api_key_id, network) = match sender {
                Sender::Key(id) => (Some(id), None),
                Sender::Network(block) => (None, Some(block)),
                Sender::Others => (None, None),
            };
            let guild = api_key_id.map(ApiKeyId::guild);
            (guild, Event::RequestsRefused { cause, api_key_id, network, count, since, at })
        };
        counts.into_iter().map(fact).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Cause, Sender), Count>> {
        // A map of counts is whole after every call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what was counted, once.
///
/// # Errors
/// If the store does not answer; what was counted is lost then, and the log of the process says so.
pub async fn write_refusals(state: &ApiState) -> Result<(), CommandError> {
    let facts = state.refusals().take();
    if facts.is_empty() {
        return Ok(());
    }
    let (kinds, id) = (facts.len(), Uuid::new_v4());
    let context = Context::job("refusals", id, state.now());
    let written = state.commands().record_security(&context, facts).await;
    written.map(drop).inspect_err(|error| {
        tracing::error!(%error, kinds, "refused requests were counted and could not be recorded");
    })
}

/// Writes every minute what was counted, and once more at the end.
pub async fn keep_refusals(state: ApiState, stopping: CancellationToken) {
    loop {
        let is_last = tokio::time::timeout(EVERY, stopping.cancelled()).await.is_ok();
        let within = if is_last { LAST_WITHIN } else { EVERY };
        // What went wrong is told where it is written.
        let _ = tokio::time::timeout(within, write_refusals(&state)).await;
        if is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    fn refused(code: Code) -> ApiError {
        ApiError::new(code, "no")
    }

    #[test]
    fn the_same_sender_is_one_fact_and_counted() {
        let refusals = Refusals::default();
        for last in 1..=9 {
            let address = Address::V4([203, 0, 113, last].into());
            let at = Timestamp(NOW.ms() + i64::from(last));
            refusals.note(&refused(Code::InvalidCredential), address, at);
        }
        refusals.note(&refused(Code::NotFound), Address::Unknown, NOW);
        refusals.note(&refused(Code::CredentialExpired), Address::Unknown, NOW);
        let facts = refusals.take();
        let (since, at) = (Timestamp(NOW.ms() + 1), Timestamp(NOW.ms() + 9));
        let network = Some("203.0.113.0/24".to_owned());
        let cause = Cause::CredentialInvalid;
        let one = Event::RequestsRefused { cause, api_key_id: None, network, count: 9, since, at };
        assert_eq!(facts, [(None, one)]);
        assert_eq!(refusals.take(), []);
    }

    #[test]
    fn a_flood_from_everywhere_is_sixty_facts_at_most_and_none_is_forgotten() {
        let refusals = Refusals::default();
        for block in 0..2_000_u32 {
            let address = Address::V4(std::net::Ipv4Addr::from_bits(block << 8));
            for code in [Code::InvalidCredential, Code::SessionEnded, Code::StateMismatch] {
                refusals.note(&refused(code), address, NOW);
            }
        }
        let facts = refusals.take();
        assert!(facts.len() <= EVENTS_MAX, "{}", facts.len());
        let count = |fact: &(Option<GuildId>, Event)| match &fact.1 {
            Event::RequestsRefused { count, .. } => *count,
            _ => 0,
        };
        assert_eq!(facts.iter().map(count).sum::<u64>(), 6_000);
    }

    #[test]
    fn an_address_of_ipv6_stands_for_its_block() {
        let address: std::net::IpAddr = "2001:db8:12:34::1".parse().unwrap();
        assert_eq!(network(address.into()), Sender::Network("2001:db8:12::/48".to_owned()));
    }
}
