//! What a session allows, and how it follows from its events. Nothing brings an ended session back.

use super::model::{Action, Command, Ended, Event, Refusal, Session};
use crate::aggregate::{Decide, aggregate};
use crate::id::Kind;
use crate::private::Private;

aggregate!(Session, Command, Event, Refusal, Kind::Session);

impl Decide for Session {
    const KIND: Kind = Kind::Session;

    fn version(&self) -> u64 {
        self.version
    }

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let at = command.now;
        match (&self.person, &command.action) {
            (None, Action::Start { id, person, surface, client, until }) => {
                let client = client.as_ref().map(|text| Private::of_user(&person.id, text));
                Ok(vec![Event::Started {
                    id: *id,
                    person: person.clone(),
                    surface: *surface,
                    client,
                    until: *until,
                    at,
                }])
            }
            (Some(_), Action::Start { .. }) => Err(Refusal::AlreadyStarted),
            (None, Action::End(_)) => Err(Refusal::NotFound),
            (Some(_), Action::End(_)) if !self.is_open(at) => Ok(Vec::new()),
            (Some(_), Action::End(how)) => Ok(vec![Event::Ended { how: *how, at }]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        self.version += 1;
        match event {
            Event::Started { id, person, surface, client, until, at } => {
                self.id = *id;
                self.person = Some(person.clone());
                self.surface = *surface;
                self.client.clone_from(client);
                self.until = *until;
                self.started_at = *at;
            }
            Event::Ended { how, at } => self.ended = Some(Ended { at: *at, how: *how }),
        }
    }
}
