//! Users as answers show them.

use domain::user::User;
use serde::Serialize;

use super::instant::Instant;

/// A user. Its id in the API is the snowflake of the Discord account.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBody {
    pub(crate) id: String,
    pub(crate) discord_id: String,
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) banned: bool,
    pub(crate) erased: bool,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
}

impl UserBody {
    /// A user with his opened fields. `snowflake` is `erased` if it was destroyed.
    pub(crate) fn new(
        user: &User,
        snowflake: String,
        username: Option<String>,
        email: Option<String>,
    ) -> Self {
        Self {
            id: snowflake.clone(),
            discord_id: snowflake,
            username,
            email,
            banned: user.banned,
            erased: user.erased,
            created_at: user.created_at.into(),
            updated_at: user.updated_at.into(),
        }
    }
}
