//! What a user allows, and how it follows from its events. A ban outlives erasure; personal data does not.

use super::model::{Action, Command, Event, Preferences, Profile, Refusal, User};
use crate::aggregate::{Decide, aggregate};
use crate::id::Kind;
use crate::private::{Person, Private};
use crate::time::Timestamp;

aggregate!(User, Command, Event, Refusal, Kind::User);

/// What every function of `decide` answers: events, none if there is nothing to do.
type Decision = Result<Vec<Event>, Refusal>;

impl Decide for User {
    const KIND: Kind = Kind::User;

    fn version(&self) -> u64 {
        self.version
    }

    fn decide(&self, command: &Command) -> Decision {
        let at = command.now;
        let known = match (&self.person, &command.action) {
            (None, Action::Register { person }) => {
                return Ok(vec![Event::Registered { person: person.clone(), at }]);
            }
            (None, _) => return Err(Refusal::NotFound),
            (Some(known), _) => known,
        };
        match &command.action {
            Action::Register { .. } => Ok(Vec::new()),
            Action::ChangeProfile { username, email } => {
                self.not_erased()?;
                let sealed =
                    |text: &Option<String>| text.as_ref().map(|text| Private::of_user(&known.id, text));
                Ok(vec![Event::ProfileChanged { username: sealed(username), email: sealed(email), at }])
            }
            Action::ChangePreferences(preferences) => self.change_preferences(preferences, at),
            Action::Ban if self.banned => Err(Refusal::AlreadyBanned),
            Action::Ban => Ok(vec![Event::Banned { at }]),
            Action::Unban if !self.banned => Err(Refusal::NotBanned),
            Action::Unban => Ok(vec![Event::Unbanned { at }]),
            // Each time: what was sealed for him since the last time loses its key as well, and read models must hear of it.
            Action::Erase => Ok(vec![Event::Erased { at }]),
            Action::Return { .. } if !self.erased => Ok(Vec::new()),
            Action::Return { person } => Ok(vec![Event::Returned { person: person.clone(), at }]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        self.version += 1;
        self.updated_at = match event {
            Event::Registered { person, at } => self.begin(person, *at),
            Event::ProfileChanged { username, email, at } => {
                self.profile = Profile { username: username.clone(), email: email.clone() };
                *at
            }
            Event::PreferencesChanged { preferences, at } => {
                self.preferences.clone_from(preferences);
                *at
            }
            Event::Banned { at } => {
                self.banned = true;
                *at
            }
            Event::Unbanned { at } => {
                self.banned = false;
                *at
            }
            Event::Erased { at } => {
                self.erased = true;
                self.profile = Profile::default();
                self.preferences = Preferences::default();
                *at
            }
            Event::Returned { person, at } => {
                self.erased = false;
                self.person = Some(person.clone());
                *at
            }
        };
    }
}

impl User {
    fn begin(&mut self, person: &Person, at: Timestamp) -> Timestamp {
        self.person = Some(person.clone());
        self.created_at = at;
        at
    }

    fn not_erased(&self) -> Result<(), Refusal> {
        if self.erased { Err(Refusal::Erased) } else { Ok(()) }
    }

    fn change_preferences(&self, preferences: &Preferences, at: Timestamp) -> Decision {
        self.not_erased()?;
        let same = self.preferences == *preferences;
        let preferences = preferences.clone();
        Ok(if same { Vec::new() } else { vec![Event::PreferencesChanged { preferences, at }] })
    }
}
