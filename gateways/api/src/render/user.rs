//! Users as answers show them.

use domain::user::User;
use serde::Serialize;
use utoipa::ToSchema;

use super::instant::Instant;
use crate::openapi::types as doc;

/// A user. Its id in the API is the snowflake of the Discord account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(crate) struct UserBody {
    #[schema(value_type = doc::Person)]
    pub(crate) id: String,
    #[schema(value_type = doc::Person)]
    pub(crate) discord_id: String,
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) banned: bool,
    pub(crate) erased: bool,
    #[schema(value_type = doc::Time)]
    pub(crate) created_at: Instant,
    #[schema(value_type = doc::Time)]
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
