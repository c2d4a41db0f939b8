//! Names of schemas that are written by hand: forms of text, and things of the domain, which knows nothing of this
//! document. Each name is a type that exists in annotations only (`#[schema(value_type = doc::Snowflake)]`); what it
//! stands for is in `openapi/named.rs`.

use std::borrow::Cow;

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

macro_rules! named {
    ($($name:ident),* $(,)?) => {
        $(
            #[doc = concat!("The schema `", stringify!($name), "`.")]
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Ref::from_schema_name(stringify!($name)).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )*
    };
}

named!(
    Actor,
    ActorFilter,
    After,
    AggregateKind,
    ApiKeyId,
    ApiKeyKind,
    ApiVersion,
    AppliedAnswer,
    AsOf,
    CommonInstant,
    ComponentName,
    ComponentValue,
    Count,
    Cursor,
    Day,
    DeviceId,
    DeviceName,
    Duration,
    Entitlement,
    Existing,
    Hash,
    Hold,
    KeySet,
    KeyText,
    LicenseId,
    LicenseKey,
    LicenseStatus,
    Limit,
    Metadata,
    Mode,
    Name,
    Number,
    Person,
    PlatformRole,
    Position,
    ProgramKeySet,
    Reason,
    RevokeCategory,
    RevokeMode,
    Scope,
    Search,
    Seconds,
    SessionId,
    Settings,
    SettingsChange,
    Signature,
    Slug,
    Snowflake,
    StaffRole,
    StatusCounts,
    Surface,
    Terms,
    TermsChange,
    Time,
    Token,
    VerdictCode,
    Wait,
    Word,
);

/// Which part of a list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct Paging {
    /// How many rows a page is to have; 50 unless it is said.
    limit: Option<Limit>,
    /// Where to go on: `nextCursor` of the page before.
    cursor: Option<Cursor>,
}

/// The filters of a list of licenses.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct LicenseFilters {
    /// Of this guild.
    guild_id: Option<Snowflake>,
    /// Of this person.
    user_id: Option<Snowflake>,
    /// In this state.
    status: Option<LicenseStatus>,
    /// Of the type with this slug.
    r#type: Option<String>,
    /// The id of a license, or the Discord user id of an owner.
    q: Option<Search>,
    /// Ending before this time.
    expires_before: Option<Time>,
}

/// The filters of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct AuditFilters {
    /// Of this guild.
    guild_id: Option<Snowflake>,
    /// The name of the event, such as `license.revoked`.
    r#type: Option<String>,
    /// Who caused it: as the list shows it, or a Discord user id with or without `user:`.
    actor: Option<ActorFilter>,
    /// Of this license.
    license_id: Option<LicenseId>,
    /// About this person: the account, the memberships, and the licenses that are that person's now.
    user_id: Option<Snowflake>,
    /// Recorded at this time or later.
    after: Option<Time>,
    /// Recorded before this time.
    before: Option<Time>,
    /// Of one request or run: the `X-Request-Id`.
    correlation_id: Option<String>,
}

/// Two instants.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct Between {
    /// The instant from which on changes are shown.
    from: AsOf,
    /// The instant up to which; now unless it is said.
    to: Option<AsOf>,
}

/// What Discord sends with a browser.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct FromDiscord {
    /// The authorization code.
    code: Option<String>,
    /// What went with the browser.
    state: Option<String>,
    /// Who answers (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
    /// The same in words; nothing here reads it.
    error_description: Option<String>,
}

/// Where the feed of a guild goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct OfFeed {
    /// After this position: `nextAfter` of the answer before; from the beginning unless it is said.
    after: Option<After>,
    /// How many events at most; 50 unless it is said.
    limit: Option<Limit>,
    /// Names of events with commas between them, or all of a kind, such as `license.*`.
    types: Option<String>,
    /// Seconds to wait for something new.
    wait: Option<Wait>,
}

/// Which people a list holds.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct UserFilters {
    /// The person with this Discord user id.
    discord_id: Option<Snowflake>,
    /// With this role on the platform.
    platform_role: Option<PlatformRole>,
    /// Whether they are banned.
    banned: Option<bool>,
}

/// What is counted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands in the document only")]
pub(crate) struct OfAnalytics {
    /// Of this guild.
    guild_id: Option<Snowflake>,
    /// The first day; 29 before `to` unless it is said, and at most 365.
    from: Option<Day>,
    /// The last day; today unless it is said.
    to: Option<Day>,
}
