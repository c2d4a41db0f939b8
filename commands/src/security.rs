//! Facts about security: which key was shown to whom, which requests were refused. They are no aggregate's decisions, so
//! nothing is loaded to write one: each process has streams of its own, one a guild and a day, and knows where they end.

use std::collections::HashMap;

use domain::event::DomainEvent;
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::License;
use domain::rbac::Permission;
use domain::security::Event;
use tokio::sync::Mutex;

use crate::execute::{Stamp, program_fault};
use crate::rights::{About, Guarded as _, Need};
use crate::seal::Keys;
use crate::store::{Append, NewEvent};
use crate::{CommandError, Commands, Context};

/// Where the streams of this process end.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Written>);

#[derive(Default)]
struct Written {
    /// This process, as its streams name it; empty before the first event.
    process: String,
    last: HashMap<StreamId, u64>,
}

/// Streams of earlier days are forgotten when there are more than this.
const STREAMS_MAX: usize = 10_000;

/// A license whose key may be shown, because it is recorded that it was.
#[derive(Debug, Clone)]
pub struct Revealed {
    /// As the log has it.
    pub license: License,
    /// Position of the record.
    pub position: i64,
}

impl Written {
    /// Gives the process a new name, and with it new streams: at first, and when nobody knows where the old ones end.
    fn rename(&mut self, context: &Context) {
        self.process = context.command_id.simple().to_string();
        self.last.clear();
    }

    fn next(&mut self, stream: &StreamId) -> u64 {
        let last = self.last.entry(stream.clone()).or_default();
        *last += 1;
        *last
    }
}

impl Commands {
    /// Records that somebody is shown the key of a license. Nobody may see it unless this succeeds. `owner` is whoever may
    /// see it only because it is his.
    ///
    /// # Errors
    /// [`CommandError::NotFound`], also for a license of another guild than the context's, or of another owner;
    /// [`CommandError::Unavailable`].
    pub async fn reveal_key(
        &self,
        context: &Context,
        id: LicenseId,
        owner: Option<&Pseudonym>,
    ) -> Result<Revealed, CommandError> {
        let license: License = self.loaded(context, &StreamId::license(id)).await?;
        let Some(guild) = license.guild else { return Err(CommandError::NotFound("license")) };
        if owner.is_some_and(|owner| license.owner.as_ref().is_none_or(|person| person.id != *owner)) {
            return Err(CommandError::NotFound("license"));
        }
        let key_version = license.key.version;
        let need = Need::Any(&[Permission::RevealOne]);
        context.rights.check(&need, About { guild: Some(guild), owner: license.owner() })?;
        let event = Event::KeyRevealed { license_id: id, key_version, at: context.now };
        let position = self.record_security(context, vec![(Some(guild), event)]).await?;
        Ok(Revealed { license, position })
    }

    /// Records facts about security, each of a guild or of the platform, all or none; the position of the last one.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`]; then it is not known whether they were written.
    pub async fn record_security(
        &self,
        context: &Context,
        facts: Vec<(Option<GuildId>, Event)>,
    ) -> Result<i64, CommandError> {
        let mut written = self.inner.security.0.lock().await;
        if written.process.is_empty() || written.last.len() > STREAMS_MAX {
            written.rename(context);
        }
        let recorded = self.append_security(context, facts, &mut written).await;
        if recorded.is_err() {
            written.rename(context);
        }
        recorded
    }

    async fn append_security(
        &self,
        context: &Context,
        facts: Vec<(Option<GuildId>, Event)>,
        written: &mut Written,
    ) -> Result<i64, CommandError> {
        let keys = Keys::default();
        let mut stamp = Stamp::new(context, &keys, self.inner.parts.simulated);
        let (mut events, mut streams) = (Vec::with_capacity(facts.len()), Vec::with_capacity(facts.len()));
        for (guild, event) in facts {
            let stream = StreamId::security(guild, context.now, &written.process);
            let sequence = written.next(&stream);
            let event = DomainEvent::from(event);
            let (event_type, event_version) = event.wire();
            events.push(NewEvent {
                stream: stream.clone(),
                sequence,
                event_type,
                event_version,
                payload: event.payload().map_err(program_fault)?,
                metadata: stamp.metadata(&stream, sequence, None)?,
                guild,
            });
            streams.push(stream);
        }
        let append = Append { events, ..Append::default() };
        match self.store().append(append).await? {
            Some(appended) => {
                self.raise(&appended, &streams);
                Ok(appended.last)
            }
            None => Err(program_fault("an empty record")),
        }
    }
}
