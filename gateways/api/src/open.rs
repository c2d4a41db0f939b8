//! Opens the personal fields of aggregates that come from the log itself. Keys are loaded first, once for a whole
//! answer; nothing opened is kept.

use std::collections::BTreeSet;

use domain::guild::Guild;
use domain::id::{GuildId, StreamId};
use domain::license::{License, Personal};
use domain::ports::{Seal, Vault, VaultUnavailable};
use domain::private::{Person, Private, Subject, Unsealed};
use domain::user::User;

use crate::error::{ApiError, Code};
use crate::state::ApiState;

async fn keys(state: &ApiState, subjects: BTreeSet<Subject>) -> Result<Box<dyn Seal>, ApiError> {
    let subjects: Vec<Subject> = subjects.into_iter().collect();
    let vault: &dyn Vault = state.commands().vault().as_ref();
    vault.keys(&subjects).await.map_err(|error| match error {
        VaultUnavailable::Store(why) => {
            tracing::error!(why, "the keys of personal fields could not be loaded");
            ApiError::unavailable()
        }
        VaultUnavailable::Ring(why) => {
            tracing::error!(why, "a key of personal fields does not open under this key ring");
            ApiError::new(Code::Damaged, "Personal fields cannot be opened; the server's log says why.")
        }
    })
}

/// The personal parts of licenses, in their order.
pub(crate) async fn licenses(state: &ApiState, licenses: &[License]) -> Result<Vec<Personal>, ApiError> {
    let fields = licenses.iter().flat_map(|license| {
        let names = license.devices.iter().filter_map(|device| device.name.as_ref());
        let owner = license.owner.iter().map(|owner| &owner.discord_id);
        owner.chain(&license.metadata).chain(&license.private_metadata).chain(names)
    });
    let keys = keys(state, fields.filter_map(Private::subject).collect()).await?;
    Ok(licenses.iter().map(|license| license.personal(keys.as_ref())).collect())
}

/// The snowflake of a guild's owner.
pub(crate) async fn owner(state: &ApiState, id: GuildId, guild: &Guild) -> Result<Option<String>, ApiError> {
    let Some(owner) = &guild.owner else { return Ok(None) };
    account(state, &StreamId::guild(id), owner).await
}

/// The snowflake of a person who is named in `stream`.
pub(crate) async fn account(
    state: &ApiState,
    stream: &StreamId,
    person: &Person,
) -> Result<Option<String>, ApiError> {
    let opened = state.queries().unseal(stream, &[&person.discord_id]).await?;
    Ok(opened.first().map(|account| account.shown().to_owned()))
}

/// A user's snowflake, name and e-mail address.
pub(crate) struct OpenedUser {
    pub(crate) snowflake: Option<Unsealed>,
    pub(crate) username: Option<Unsealed>,
    pub(crate) email: Option<Unsealed>,
}

/// The personal part of a user.
pub(crate) async fn user(state: &ApiState, user: &User) -> Result<OpenedUser, ApiError> {
    let Some(person) = &user.person else {
        return Ok(OpenedUser { snowflake: None, username: None, email: None });
    };
    let fields = [Some(&person.discord_id), user.profile.username.as_ref(), user.profile.email.as_ref()];
    let given: Vec<&Private> = fields.into_iter().flatten().collect();
    let mut opened = state.queries().unseal(&StreamId::user(&person.id), &given).await?.into_iter();
    let [snowflake, username, email] = fields.map(|field| field.and_then(|_| opened.next()));
    Ok(OpenedUser { snowflake, username, email })
}
