//! The schemas that are written by hand. Where the code has the values (codes, scopes), they are taken from there; what
//! is stated here beside it, tests compare with what is really read and written.

use domain::credential::Scope;
use domain::verdict::Code as Verdict;
use serde_json::{Map, Value, json};

use crate::version::Version;

/// A Discord id of at most 19 digits, as all are until 2090.
const SNOWFLAKE: &str = "^[1-9][0-9]{0,18}$";
const PERSON: &str = "^([1-9][0-9]{0,19}|erased|unreadable)$";
/// Years 1970 to 9999; `date-time` says the rest.
const TIME: &str = "^(19[7-9][0-9]|[2-9][0-9]{3})-";
/// `P[nD][T[nH][nM][nS]]`, with so few digits that no sum is longer than 36,500 days.
const DURATION: &str = "^P(?:[0-9]{1,4}D(?:T(?:[0-9]{1,5}H(?:[0-9]{1,7}M)?(?:[0-9]{1,9}S)?|[0-9]{1,7}M(?:[0-9]{1,9}S)?|\
[0-9]{1,9}S))?|T(?:[0-9]{1,5}H(?:[0-9]{1,7}M)?(?:[0-9]{1,9}S)?|[0-9]{1,7}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)|\
[12][0-9]{4}D|3[0-5][0-9]{3}D|36[0-4][0-9]{2}D|36500D)$";
const UUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// Every schema of this file by its name.
pub(super) fn all() -> Map<String, Value> {
    [forms(), words(), of_domain(), of_api(), key_sets()].into_iter().flatten().collect()
}

fn text(description: &str, pattern: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": pattern })
}

fn uuid(description: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": description, "pattern": UUID })
}

fn length(description: &str, least: usize, most: usize) -> Value {
    json!({ "type": "string", "description": description, "minLength": least, "maxLength": most })
}

fn one_of<'a>(description: &str, names: impl IntoIterator<Item = &'a str>) -> Value {
    let names: Vec<&str> = names.into_iter().collect();
    json!({ "type": "string", "description": description, "enum": names })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Texts of a form of their own.
fn forms() -> Map<String, Value> {
    object(json!({
        "Actor": text(
            "Who caused it: `operator`, `bot`, `user:u_…` (a pseudonym), `apikey:<id>` or `job:<name>`.",
            "^(operator|bot|user:u_[a-z2-7]{26}|apikey:[0-9a-f]{24}|job:.*)$",
        ),
        "ActorFilter": text(
            "An actor as the list shows it, or a Discord user id, with or without `user:`.",
            "^(operator|bot|user:u_[a-z2-7]{26}|apikey:[0-9a-f]{24}|job:[a-z_-]{1,64}|(user:)?[1-9][0-9]{0,18})$",
        ),
        "After": text(
            "A position of the log, or its number alone.",
            "^(?:[0-9a-f]{16}\\.)?[0-9]{1,18}$",
        ),
        "ApiKeyId": text("The id of an API key; it is no secret.", "^[0-9a-f]{24}$"),
        "AsOf": json!({
            "type": "string",
            "description": "An instant: an RFC 3339 time, `position:N` (after the N-th event of the log) or `version:N` (after \
                            the N-th event of the thing).",
            "anyOf": [{ "format": "date-time", "pattern": TIME }, { "pattern": "^(position|version):[0-9]{1,18}$" }],
        }),
        "CommonInstant": json!({
            "type": "string",
            "description": "An instant that means the same for many things: an RFC 3339 time or `position:N`.",
            "anyOf": [{ "format": "date-time", "pattern": TIME }, { "pattern": "^position:[0-9]{1,18}$" }],
        }),
        "Asset": one_of(
            "A file of the page.",
            ["favicon-32x32.png", "start.js", "swagger-ui-bundle.js", "swagger-ui.css"],
        ),
        "Uuid": json!({ "type": "string", "format": "uuid", "pattern": UUID }),
        "Cursor": text("Opaque; it belongs to one list.", "^[A-Za-z0-9_-]{1,200}$"),
        "Day": json!({
            "type": "string", "format": "date", "description": "A day in UTC.", "pattern": TIME,
        }),
        "Duration": text("ISO 8601, of days to seconds, up to `P36500D`.", DURATION),
        "Hash": text("SHA-256 in base64.", "^[A-Za-z0-9+/]{43}=$"),
        "LicenseId": uuid("The id of a license."),
        "Person": text(
            "The Discord user id of a person; `erased` once the person was erased, `unreadable` if it is damaged.",
            PERSON,
        ),
        "Position": text("A position of the log: its epoch, and how many events it had.", "^[0-9a-f]{16}\\.[0-9]{1,18}$"),
        "Prefix": text("What license keys begin with: capital letters without I, L and O.", "^[A-HJKMNP-Z]{2,8}$"),
        "Search": text(
            "A license id or a Discord user id; an empty text is no filter.",
            &format!("^\\s*({}|{})?\\s*$", UUID.trim_matches(['^', '$']), SNOWFLAKE.trim_matches(['^', '$'])),
        ),
        "Seconds": text("Seconds since 1970.", "^[0-9]{1,12}$"),
        "SessionId": uuid("The id of a session."),
        "Signature": text("Ed25519, in hexadecimal.", "^[0-9a-f]{128}$"),
        "Slug": json!({
            "type": "string", "description": "The stable name of a license type.", "minLength": 1, "maxLength": 32,
            "pattern": "^[a-z][a-z0-9-]{0,31}$",
        }),
        "Snowflake": text("An id of Discord's.", SNOWFLAKE),
        "Time": json!({
            "type": "string", "format": "date-time", "pattern": TIME, "description": "RFC 3339, from 1970 to 9999.",
        }),
    }))
}

/// Texts of a length, numbers, and words of a list.
fn words() -> Map<String, Value> {
    object(json!({
        "ComponentName": length("What is measured, such as `cpu`.", 1, 64),
        "ComponentValue": length("What was measured. It is kept as a keyed hash.", 1, 256),
        "Count": json!({ "type": "integer", "description": "How many.", "minimum": 1, "maximum": 100_000 }),
        "DeviceId": length("The client's own name for a machine.", 1, 128),
        "DeviceName": length("What people call a device.", 1, 64),
        "Entitlement": length("The name of an entitlement.", 1, 64),
        "KeyText": length("What may be a license key.", 1, 200),
        "LicenseKey": length("A license key.", 1, 200),
        "Limit": json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 }),
        "Metadata": json!({
            "type": "object", "description": "Free JSON of at most 8 KiB.", "additionalProperties": true,
        }),
        "Name": length("What people read.", 1, 100),
        "Number": json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        "Reason": length("Why, for the history.", 0, 500),
        "StatusCounts": json!({
            "type": "object", "description": "How many there are in each state.",
            "additionalProperties": { "type": "integer", "minimum": 0 },
            "propertyNames": { "$ref": "#/components/schemas/LicenseStatus" },
        }),
        "Wait": json!({ "type": "integer", "minimum": 0, "maximum": 20, "default": 0 }),
        "Token": length("Text that was given by this server or by Discord.", 1, 512),
        "Word": length("A short text.", 1, 128),
    }))
}

/// Words that the domain knows.
fn of_domain() -> Map<String, Value> {
    let mut all = object(json!({
        "AggregateKind": one_of("What the event is about.", domain::id::Kind::ALL.map(domain::id::Kind::as_str)),
        "ApiKeyKind": one_of(
            "Publishable keys may be shipped inside a program; secret keys belong on a server.",
            ["publishable", "secret"],
        ),
        "Existing": one_of("What becomes of the licenses that a rule gave.", ["keep", "lose"]),
        "Hold": one_of("Why a license is held.", ["admin", "policy"]),
        "LicenseStatus": one_of(
            "What a license is at an instant.",
            ["generated", "assigned", "activated", "active", "renewed", "suspended", "expired", "revoked"],
        ),
        "PlatformRole": one_of("A role on the whole platform; higher ones include lower ones.", ["auditor", "admin", "owner"]),
        "RevokeCategory": one_of(
            "Why a license is ended; `manual` unless it is said.",
            ["manual", "refund", "chargeback", "fraud", "abuse", "leaked"],
        ),
        "RevokeMode": one_of("Whether one that cannot be revoked keeps the others.", ["all_or_nothing", "each"]),
        "Scope": one_of("What an API key may do.", Scope::ALL.map(Scope::as_str)),
        "StaffRole": one_of("A rank; higher ones include lower ones.", ["auditor", "moderator", "admin", "owner"]),
        "Surface": one_of("Where the tokens of a session are kept.", ["browser", "client"]),
        "VerdictCode": one_of("Why a license may be used, or may not.", Verdict::ALL.map(Verdict::as_str)),
    }));
    all.extend(super::domain_objects::all());
    all
}

/// Things of the API that no struct of ours stands for.
fn of_api() -> Map<String, Value> {
    object(json!({
        "ApiVersion": one_of("A version of this API, by its day.", Version::ALL.map(Version::as_str)),
        "AppliedItem": {
            "type": "object",
            "description": "What became of a license.",
            "required": ["id", "status"],
            "additionalProperties": false,
            "properties": {
                "id": { "$ref": "#/components/schemas/LicenseId" },
                "status": { "enum": ["changed", "unchanged", "refused", "not_found"] },
                "code": { "type": "string", "description": "Of a refusal." },
            },
        },
        "AppliedAnswer": {
            "type": "object",
            "description": "What became of each license whose terms were others.",
            "required": ["data", "nextCursor"],
            "additionalProperties": false,
            "properties": {
                "data": { "type": "array", "items": { "$ref": "#/components/schemas/AppliedItem" } },
                "nextCursor": { "type": ["string", "null"], "description": "Where the next order begins." },
                "dryRun": { "const": true, "description": "Nothing was done." },
            },
        },
        "Mode": one_of("Whether it runs against a simulated Discord.", ["demo", "live"]),
        "Problem": {
            "type": "object",
            "description": "Problem details (RFC 9457).",
            "required": ["type", "title", "status", "detail", "code", "requestId"],
            "properties": {
                "type": { "type": "string", "format": "uri-reference" },
                "title": { "type": "string" },
                "status": { "type": "integer", "minimum": 400, "maximum": 599 },
                "detail": { "type": "string", "description": "What happened, and what helps." },
                "code": { "type": "string", "description": "What programs compare.", "pattern": "^[A-Z][A-Z_]*$" },
                "requestId": { "type": "string", "description": "Stands in the server's log." },
                "errors": { "type": "array", "minItems": 1, "items": { "$ref": "#/components/schemas/FieldError" } },
            },
        },
        "FieldError": {
            "type": "object",
            "description": "What is wrong with one member of a request.",
            "required": ["pointer", "code", "detail"],
            "properties": {
                "pointer": {
                    "type": "string",
                    "description": "JSON pointer into the body (RFC 6901; empty for the whole body), `?name` for a member of the \
                                    query, or the name of a header.",
                },
                "code": { "type": "string", "pattern": "^[A-Z][A-Z_]*$" },
                "detail": { "type": "string" },
            },
        },
    }))
}

/// Public keys, as others check with them.
fn key_sets() -> Map<String, Value> {
    object(json!({
        "KeySet": {
            "type": "object",
            "description": "Public keys (RFC 7517; Ed25519 as in RFC 8037).",
            "required": ["keys"],
            "properties": { "keys": { "type": "array", "items": {
                "type": "object",
                "required": ["kty", "crv", "alg", "use", "kid", "x"],
                "properties": {
                    "kty": { "const": "OKP" }, "crv": { "const": "Ed25519" }, "alg": { "const": "EdDSA" },
                    "use": { "const": "sig" }, "kid": { "type": "string" }, "x": { "type": "string" },
                },
            } } },
        },
        "ProgramKeySet": {
            "type": "object",
            "description": "Public keys that programs check with (RFC 7517; Ed25519 as in RFC 8037).",
            "required": ["keys"],
            "properties": { "keys": { "type": "array", "items": {
                "type": "object",
                "required": ["kty", "crv", "alg", "use", "kid", "x", "purpose"],
                "properties": {
                    "kty": { "const": "OKP" }, "crv": { "const": "Ed25519" }, "alg": { "const": "EdDSA" },
                    "use": { "const": "sig" }, "kid": { "type": "string" }, "x": { "type": "string" },
                    "purpose": { "enum": ["certificate", "answer"], "description": "What it signs." },
                },
            } } },
        },
    }))
}
