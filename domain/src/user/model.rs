//! What a user is made of, what can be asked of one and what can have happened. The rules stand in `decide.rs`.

use serde::{Deserialize, Serialize};

use crate::aggregate::Refuse;
use crate::guild::Locale;
use crate::private::{Person, Private, PrivateFields};
use crate::time::Timestamp;

/// What Discord says about the account, as it was at the last sign-in or sight.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    /// The account's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Private>,
    /// Its e-mail address, if the account agreed to give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Private>,
}

/// What the user chose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Preferences {
    /// Language; `None` follows the guild.
    pub locale: Option<Locale>,
    /// Whether to send no direct messages.
    pub mute_messages: bool,
    /// Whether to send no e-mail.
    pub mute_email: bool,
}

/// A user: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// Events applied.
    pub version: u64,
    /// Who; `None` before the first event.
    pub person: Option<Person>,
    /// What Discord says.
    pub profile: Profile,
    /// What he chose.
    pub preferences: Preferences,
    /// Whether no license of his is valid.
    pub banned: bool,
    /// Whether his personal data was destroyed, and he did not come back since.
    pub erased: bool,
    /// When he was first seen.
    pub created_at: Timestamp,
    /// When he last changed.
    pub updated_at: Timestamp,
}

/// What is asked of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the account known; again is no change.
    Register {
        /// Who.
        person: Person,
    },
    /// Take what Discord says. Whoever asks has compared with the opened profile: this always writes.
    ChangeProfile {
        /// The account's name.
        username: Option<String>,
        /// Its e-mail address.
        email: Option<String>,
    },
    /// Take what the user chose.
    ChangePreferences(Preferences),
    /// Let no license of his be valid.
    Ban,
    /// Take that back.
    Unban,
    /// Record that his personal data was destroyed.
    Erase,
    /// Begin anew after that, because the person himself came back; of whoever was not erased it is no change.
    Return {
        /// Who.
        person: Person,
    },
}

/// A command to a user: what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// What is asked.
    pub action: Action,
}

/// What happened to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// A part of the system saw the account for the first time.
    #[serde(rename = "user.registered")]
    Registered {
        /// Who.
        person: Person,
        /// When.
        at: Timestamp,
    },
    /// Discord says this from now on.
    #[serde(rename = "user.profile_changed")]
    ProfileChanged {
        /// Sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<Private>,
        /// Sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email: Option<Private>,
        /// When.
        at: Timestamp,
    },
    /// He chose this from now on.
    #[serde(rename = "user.preferences_changed")]
    PreferencesChanged {
        /// All of it.
        preferences: Preferences,
        /// When.
        at: Timestamp,
    },
    /// No license of his is valid.
    #[serde(rename = "user.banned")]
    Banned {
        /// When.
        at: Timestamp,
    },
    /// That was taken back.
    #[serde(rename = "user.unbanned")]
    Unbanned {
        /// When.
        at: Timestamp,
    },
    /// His key was destroyed: nothing sealed under it can be read again.
    #[serde(rename = "user.erased")]
    Erased {
        /// When.
        at: Timestamp,
    },
    /// He came back by himself: what is sealed from now on is sealed under another key.
    #[serde(rename = "user.returned")]
    Returned {
        /// Who.
        person: Person,
        /// When.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    Registered => "user.registered", "1";
    ProfileChanged => "user.profile_changed", "1";
    PreferencesChanged => "user.preferences_changed", "1";
    Banned => "user.banned", "1";
    Unbanned => "user.unbanned", "1";
    Erased => "user.erased", "1";
    Returned => "user.returned", "1";
});

impl PrivateFields for Event {
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::Registered { person, .. } | Self::Returned { person, .. } => {
                visit("person.discordId", &mut person.discord_id);
            }
            Self::ProfileChanged { username, email, .. } => {
                if let Some(username) = username {
                    visit("username", username);
                }
                if let Some(email) = email {
                    visit("email", email);
                }
            }
            Self::PreferencesChanged { .. }
            | Self::Banned { .. }
            | Self::Unbanned { .. }
            | Self::Erased { .. } => {}
        }
    }
}

/// Why a user's command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No part of the system has seen the account.
    #[error("this user is not known")]
    NotFound,
    /// Already banned.
    #[error("this user is banned already")]
    AlreadyBanned,
    /// Not banned.
    #[error("this user is not banned")]
    NotBanned,
    /// Erased: there is nothing to change.
    #[error("this user was erased")]
    Erased,
}

impl Refusal {
    /// Every code, each once, in alphabetical order.
    pub const CODES: &'static [&'static str] = &["ALREADY_BANNED", "NOT_BANNED", "NOT_FOUND", "USER_ERASED"];
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyBanned => "ALREADY_BANNED",
            Self::NotBanned => "NOT_BANNED",
            Self::Erased => "USER_ERASED",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::NotFound => "Check the Discord user id; an account is known once it signs in, joins with a mapped role or owns a license.",
            Self::AlreadyBanned => "Nothing needs to be done; `unban` lifts it.",
            Self::NotBanned => "Nothing needs to be done.",
            Self::Erased => "Personal data of this account was destroyed on request; only the person can begin anew, by signing in.",
        }
        .to_owned()
    }
}
