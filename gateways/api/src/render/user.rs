//! Users as answers show them.

use domain::platform::PlatformRole;
use domain::user::User;
use serde::Serialize;
use utoipa::ToSchema;

use super::instant::Instant;
use crate::openapi::types as doc;
use crate::recipe::Removed;

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
    /// What he is on the whole platform.
    #[schema(value_type = Option<doc::PlatformRole>)]
    pub(crate) platform_role: Option<PlatformRole>,
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
        platform_role: Option<PlatformRole>,
        snowflake: String,
        username: Option<String>,
        email: Option<String>,
    ) -> Self {
        Self {
            id: snowflake.clone(),
            discord_id: snowflake,
            username,
            email,
            // It counts for nothing as long as he is banned or erased.
            platform_role: platform_role.filter(|_| !user.banned && !user.erased),
            banned: user.banned,
            erased: user.erased,
            created_at: user.created_at.into(),
            updated_at: user.updated_at.into(),
        }
    }
}

/// What came of an erasure.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Erased)]
pub(crate) struct ErasedBody {
    /// The user as he is shown from now on; in a dry run, as he is.
    pub(crate) user: UserBody,
    pub(crate) removed: Removed,
    pub(crate) dry_run: bool,
}
