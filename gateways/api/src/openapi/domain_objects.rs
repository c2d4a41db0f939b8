//! The schemas of settings and terms, which the domain reads and writes itself. In a change an absent member keeps what
//! is there, and `null` clears it.

use domain::sharing;
use domain::terms::{ACTIVATIONS_MAX, DEVICES_MAX, ENTITLEMENTS_MAX};
use serde_json::{Map, Value, json};

/// What a member of the terms or the settings may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    /// It may be `null`, which is none.
    Yes,
    No,
}

struct Member {
    name: &'static str,
    null: Null,
    schema: Value,
    description: &'static str,
}

fn member(name: &'static str, null: Null, schema: Value, description: &'static str) -> Member {
    Member { name, null, schema, description }
}

/// Every schema of this file by its name.
pub(super) fn all() -> Map<String, Value> {
    let (terms, settings) = (terms(), settings());
    [
        ("Terms", whole("The terms of licenses. `null` is none: no limit, no end, no grace.", &terms)),
        (
            "TermsChange",
            change("Changes to terms: an absent member keeps what is there, `null` clears it.", &terms),
        ),
        ("Settings", whole("Settings of a guild.", &settings)),
        (
            "SettingsChange",
            change("Changes to settings: an absent member keeps what is there, `null` clears it.", &settings),
        ),
        ("Sharing", sharing()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

fn terms() -> Vec<Member> {
    use Null::{No, Yes};
    let span = || json!({ "$ref": "#/components/schemas/Duration" });
    let flag = || json!({ "type": "boolean" });
    let one_of = |words: &[&str]| json!({ "type": "string", "enum": words });
    let devices = json!({ "type": "integer", "minimum": 1, "maximum": DEVICES_MAX });
    let activations = json!({ "type": "integer", "minimum": 1, "maximum": ACTIVATIONS_MAX });
    let count = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let names = json!({
        "type": "array", "maxItems": ENTITLEMENTS_MAX, "items": { "$ref": "#/components/schemas/Entitlement" },
    });
    let role = json!({ "$ref": "#/components/schemas/Snowflake" });
    vec![
        member("maxDevices", Yes, devices, "Devices at once."),
        member("duration", Yes, span(), "How long a license lasts."),
        member("expiryBasis", No, one_of(&["creation", "first_activation"]), "When that time begins."),
        member(
            "expiryGrace",
            Yes,
            span(),
            "How long it stays valid after its end, with the code `IN_GRACE`.",
        ),
        member("requireDevice", No, flag(), "Whether a validation must name an active device."),
        member(
            "deviceMatch",
            No,
            one_of(&["id", "any", "two", "most", "all"]),
            "How many components of a registered device a request must repeat to be that device.",
        ),
        member("requireOwner", No, flag(), "Whether a license is worth nothing without an owner."),
        member("entitlements", No, names, "What a license entitles to."),
        member(
            "onRoleLoss",
            No,
            one_of(&["revoke", "suspend", "keep"]),
            "What the loss of the last role does.",
        ),
        member("roleLossGrace", Yes, span(), "How long after the loss of the last role that happens."),
        member("deviceResetCooldown", Yes, span(), "Least time between two deactivations by the owner."),
        member("deviceResetBudget", Yes, count, "Deactivations by the owner in one `deviceResetWindow`."),
        member(
            "activationBudget",
            Yes,
            activations,
            "New activations by the owner or with the key in one `deviceResetWindow`.",
        ),
        member("deviceResetWindow", No, span(), "The sliding window of both budgets."),
        member("inactiveDeviceAfter", Yes, span(), "A device unseen for so long is deactivated."),
        member("offlineLeaseMax", Yes, span(), "Longest offline license; none is issued without it."),
        member("transferable", No, flag(), "Whether the owner may hand a license on."),
        member(
            "grantsRoleId",
            Yes,
            role,
            "The role that the owner has while the license is assigned and active.",
        ),
    ]
}

fn settings() -> Vec<Member> {
    use Null::{No, Yes};
    let one_of = |words: &[&str]| json!({ "type": "string", "enum": words });
    let prefix = json!({ "$ref": "#/components/schemas/Prefix" });
    vec![
        member("keyPrefix", No, prefix, "What new keys begin with."),
        member("delivery", No, one_of(&["dm", "panel", "both"]), "How keys reach members."),
        member(
            "logChannelId",
            Yes,
            json!({ "$ref": "#/components/schemas/Snowflake" }),
            "The channel in which the bot reports.",
        ),
        member("locale", No, one_of(&["en", "de"]), "Language of messages without a recipient of their own."),
        member(
            "signAnswers",
            No,
            json!({ "type": "boolean" }),
            "Whether every answer to an API key of the guild is signed.",
        ),
        member(
            "expiringAhead",
            Yes,
            json!({ "$ref": "#/components/schemas/Duration" }),
            "How long before its end a license is announced to expire.",
        ),
        member("sharing", No, json!({ "$ref": "#/components/schemas/Sharing" }), "Watching for shared keys."),
    ]
}

fn sharing() -> Value {
    let limit = |description: &str, default: u32| {
        json!({
            "oneOf": [{ "type": "null" }, { "type": "integer", "minimum": 1, "maximum": sharing::LIMIT_MAX }],
            "description": format!("{description} {default} unless said."),
        })
    };
    json!({
        "type": "object",
        "description": "What happens when a key seems to be shared. A switch that is left out is off; of a limit that is \
            left out, or `null`, the default holds. A license for many devices has higher limits (docs/SHARING.md).",
        "additionalProperties": false,
        "properties": {
            "detect": { "type": "boolean", "description": "Whether rules watch for it." },
            "autoSuspend": { "type": "boolean", "description": "Whether a suspicion suspends the license." },
            "devices": limit("Different devices that are nothing unusual in a window.", sharing::DEVICES),
            "networks": limit("Networks that different devices may come from in a window.", sharing::NETWORKS),
            "churn": limit("Activations and deactivations that are nothing unusual in a window.", sharing::CHURN),
            "window": {
                "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Duration" }],
                "description": format!("How far a judgement looks back, from PT1H to P30D. {} unless said.", sharing::WINDOW),
            },
        },
    })
}

/// As an answer has it: every member.
fn whole(description: &str, members: &[Member]) -> Value {
    let names: Vec<&str> = members.iter().map(|member| member.name).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|member| (member.name.to_owned(), described(member, nullable(&member.schema, member.null))))
        .collect();
    json!({ "type": "object", "description": description, "required": names, "properties": properties })
}

/// As a request has it: members that may all be left out, where `null` clears what may be none. Of one that may not,
/// `null` is the same as leaving it out.
fn change(description: &str, members: &[Member]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .map(|member| (member.name.to_owned(), described(member, nullable(&member.schema, Null::Yes))))
        .collect();
    json!({
        "type": "object", "description": description, "additionalProperties": false, "properties": properties,
    })
}

fn nullable(schema: &Value, null: Null) -> Value {
    match null {
        Null::Yes => json!({ "oneOf": [{ "type": "null" }, schema] }),
        Null::No => schema.clone(),
    }
}

fn described(member: &Member, mut schema: Value) -> Value {
    schema["description"] = Value::from(member.description);
    schema
}
