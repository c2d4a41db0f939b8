//! Licenses and devices as answers show them.

use domain::id::{GuildId, LicenseId};
use domain::license::{Device, License, Personal, Status};
use domain::private::Unsealed;
use domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::instant::Instant;
use super::{Audience, RawJson};
use crate::openapi::types as doc;
use crate::recipe::PassedOver;

/// A license.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = License)]
pub(crate) struct LicenseBody<'a> {
    #[schema(value_type = doc::LicenseId)]
    id: LicenseId,
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
    /// The outer level is whether the audience sees it at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<doc::Person>)]
    user_id: Option<Option<&'a str>>,
    r#type: &'a str,
    #[schema(value_type = Option<doc::LicenseStatus>)]
    status: Option<Status>,
    is_active: bool,
    max_devices: Option<u32>,
    device_count: usize,
    #[schema(value_type = doc::Time)]
    created_at: Instant,
    #[schema(value_type = doc::Time)]
    updated_at: Instant,
    #[schema(value_type = Option<doc::Time>)]
    starts_at: Option<Instant>,
    #[schema(value_type = Option<doc::Time>)]
    expires_at: Option<Instant>,
    #[schema(value_type = Option<doc::Time>)]
    grace_ends_at: Option<Instant>,
    #[schema(value_type = Option<doc::Time>)]
    role_loss_ends_at: Option<Instant>,
    entitlements: &'a [String],
    #[schema(value_type = Option<doc::Metadata>)]
    metadata: RawJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<doc::Metadata>)]
    private_metadata: Option<RawJson<'a>>,
    key_version: u8,
    version: u64,
}

impl<'a> LicenseBody<'a> {
    /// The license as it is at `now`, as `audience` may see it.
    pub(crate) fn new(
        license: &'a License,
        personal: &'a Personal,
        audience: Audience,
        now: Timestamp,
    ) -> Self {
        let status = license.status(now);
        let user_id = || personal.user_id.as_ref().map(Unsealed::shown);
        let private = || RawJson(personal.private_metadata.as_ref());
        Self {
            id: license.id,
            guild_id: license.guild,
            user_id: (audience != Audience::Publishable).then(user_id),
            r#type: &license.license_type,
            status,
            is_active: !matches!(status, None | Some(Status::Suspended | Status::Expired | Status::Revoked)),
            max_devices: license.terms.max_devices,
            device_count: license.devices.len(),
            created_at: license.created_at.into(),
            updated_at: license.updated_at.into(),
            starts_at: license.starts_at.map(Instant),
            expires_at: license.expires_at.map(Instant),
            grace_ends_at: license.grace_ends_at().map(Instant),
            role_loss_ends_at: license.role_loss_ends_at.map(Instant),
            entitlements: &license.terms.entitlements,
            metadata: RawJson(personal.metadata.as_ref()),
            private_metadata: (audience == Audience::Staff).then(private),
            key_version: license.key.version,
            version: license.version,
        }
    }
}

impl LicenseBody<'_> {
    /// Leaves the metadata out of a state that was somebody else's.
    pub(crate) fn hide_metadata(&mut self) {
        self.metadata = RawJson(None);
    }
}

/// An active device.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Device)]
pub(crate) struct DeviceBody<'a> {
    id: Uuid,
    #[schema(value_type = doc::LicenseId)]
    license_id: LicenseId,
    device_id: &'a str,
    device_name: Option<&'a str>,
    #[schema(value_type = doc::Time)]
    activated_at: Instant,
    #[schema(value_type = Option<doc::Time>)]
    last_seen: Option<Instant>,
    #[schema(value_type = Option<doc::Time>)]
    lease_until: Option<Instant>,
}

impl<'a> DeviceBody<'a> {
    /// A device of a license.
    pub(crate) fn new(
        license: &'a License,
        personal: &'a Personal,
        device: &'a Device,
        last_seen: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let name = personal.device_names.iter().find(|(id, _)| *id == device.id);
        let leases = license.ledger.leases.iter().filter(|lease| lease.device_id == device.device_id);
        Self {
            id: device.id,
            license_id: license.id,
            device_id: &device.device_id,
            device_name: name.map(|(_, name)| name.shown()),
            activated_at: device.activated_at.into(),
            last_seen: last_seen.map(Instant),
            lease_until: leases.map(|lease| lease.until).max().filter(|until| now < *until).map(Instant),
        }
    }
}

/// A license and one of its devices.
#[derive(Serialize, ToSchema)]
pub(crate) struct LicenseAndDevice<'a> {
    pub(crate) license: LicenseBody<'a>,
    pub(crate) device: Option<DeviceBody<'a>>,
}

/// A new license with its key, which only the answer to its making shows unasked.
#[derive(Serialize, ToSchema)]
#[schema(as = LicenseWithKey)]
pub(crate) struct Keyed<'a> {
    #[serde(flatten)]
    pub(crate) license: LicenseBody<'a>,
    pub(crate) key: Option<String>,
}

/// What became of the rows of a file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Imported)]
pub(crate) struct ImportedBody {
    created: usize,
    existing: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Rows of a list of sales that have no key, or the key of an earlier row. With `layout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<usize>,
    /// Columns that nothing was read from. With `layout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_columns: Option<Vec<String>>,
}

impl ImportedBody {
    /// So many licenses, and what was passed over of another system's file.
    pub(crate) fn new(
        created: usize,
        existing: usize,
        dry_run: bool,
        passed_over: Option<&PassedOver>,
    ) -> Self {
        let skipped = passed_over.map(|passed| passed.skipped);
        let ignored_columns = passed_over.map(|passed| passed.ignored_columns.clone());
        Self { created, existing, dry_run, skipped, ignored_columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::license::{Lease, Stage};
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn license() -> (License, Personal) {
        let device = Device {
            id: Uuid::from_u128(7),
            device_id: "pc".to_owned(),
            name: None,
            components: Vec::new(),
            activated_at: NOW,
        };
        let mut license = License {
            guild: Some(GuildId(5)),
            license_type: "pro".to_owned(),
            stage: Stage::Active,
            devices: vec![device],
            version: 3,
            ..License::default()
        };
        license.terms.max_devices = Some(2);
        license.ledger.leases.push(Lease {
            id: Uuid::nil(),
            device_id: "pc".to_owned(),
            until: NOW.after(domain::time::Span::days(1)),
        });
        let clear = |text: &str| Some(Unsealed::Clear(text.to_owned()));
        let personal = Personal {
            user_id: clear("42"),
            metadata: clear(r#"{"a":1.50}"#),
            private_metadata: clear(r#"{"b":2}"#),
            device_names: vec![(Uuid::from_u128(7), Unsealed::Erased)],
        };
        (license, personal)
    }

    fn shown(audience: Audience) -> Value {
        let (license, personal) = license();
        serde_json::to_value(LicenseBody::new(&license, &personal, audience, NOW)).unwrap()
    }

    #[test]
    fn each_audience_sees_its_part() {
        let staff = shown(Audience::Staff);
        assert_eq!(staff["userId"], "42");
        assert_eq!(staff["metadata"], json!({ "a": 1.5 }));
        assert_eq!(staff["privateMetadata"], json!({ "b": 2 }));
        assert_eq!(staff["status"], "active");
        assert_eq!(staff["isActive"], true);
        assert_eq!((&staff["maxDevices"], &staff["deviceCount"]), (&json!(2), &json!(1)));
        assert_eq!(staff["expiresAt"], Value::Null);
        let owner = shown(Audience::Owner);
        assert_eq!(owner["userId"], "42");
        assert_eq!(owner.get("privateMetadata"), None);
        let publishable = shown(Audience::Publishable);
        assert_eq!(publishable.get("userId"), None);
        assert_eq!(publishable.get("privateMetadata"), None);
        assert_eq!(publishable["metadata"], json!({ "a": 1.5 }));
    }

    #[test]
    fn metadata_is_given_back_digit_for_digit() {
        let (license, personal) = license();
        let text =
            serde_json::to_string(&LicenseBody::new(&license, &personal, Audience::Staff, NOW)).unwrap();
        assert!(text.contains(r#""metadata":{"a":1.50}"#), "{text}");
    }

    #[test]
    fn erased_fields_say_so() {
        let (license, mut personal) = license();
        personal.user_id = Some(Unsealed::Erased);
        personal.metadata = Some(Unsealed::Erased);
        let body = serde_json::to_value(LicenseBody::new(&license, &personal, Audience::Staff, NOW)).unwrap();
        assert_eq!(body["userId"], "erased");
        assert_eq!(body["metadata"], Value::Null);
        let device = DeviceBody::new(&license, &personal, &license.devices[0], None, NOW);
        let device = serde_json::to_value(device).unwrap();
        assert_eq!(device["deviceName"], "erased");
        assert_eq!(device["leaseUntil"], NOW.after(domain::time::Span::days(1)).to_string());
    }
}
