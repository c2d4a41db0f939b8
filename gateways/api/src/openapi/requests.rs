//! What many requests have in common: headers, ids in the path.

use serde_json::{Map, Value, json};

/// What the members of a path are, by the beginning of the path and their name; the first that fits counts.
const IN_PATHS: &[(&str, &str, &str, &str)] = &[
    ("", "guild", "Snowflake", "The guild: the id of the Discord server."),
    ("", "user", "Snowflake", "The Discord user id of the person."),
    ("", "slug", "Slug", "The slug of the license type."),
    ("", "batch", "Uuid", "The batch of removals, as the list names it."),
    ("", "deviceId", "DeviceId", "The `id` of the device, or its `deviceId`."),
    ("/admin/users/", "id", "Snowflake", "The Discord user id of the person."),
    ("/auth/sessions/", "id", "SessionId", "The session."),
    ("/guilds/{guild}/api-keys/", "id", "ApiKeyId", "The API key, by its id."),
    ("/guilds/{guild}/role-rules/", "id", "Uuid", "The role rule."),
    ("/licenses/", "id", "LicenseId", "The license."),
    ("/docs/", "asset", "Asset", "A file of the pages."),
    ("", "id", "Word", "The thing, by its id."),
];

/// Writes that know nothing of `Idempotency-Key` and `If-Match`: a sign-in, a refresh token and an end work once by
/// themselves.
const BARE: &[&str] = &[
    "auth_begin",
    "auth_return",
    "auth_refresh",
    "discord_interact",
    "licenses_heartbeat",
    "licenses_validate",
    "held_removals_confirm",
];
/// Writes that do not look at `Idempotency-Key`: they may be repeated freely.
const UNKEYED: &[&str] = &["auth_logout", "sessions_end"];
/// Writes about many things, of which each has its own version.
const UNCONDITIONAL: &[&str] = &["licenses_generate", "licenses_import", "licenses_revoke_many"];
/// Addresses with a credential that take no `DCA-Min-Position`.
const WITHOUT_POSITION: &[&str] = &["licenses_heartbeat"];

/// The parameters that many operations have.
pub(super) fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    json!({
        "RequestId": header(
            "X-Request-Id",
            "Kept with the events and named in the log. Anything but 1 to 128 printable ASCII characters is replaced.",
            json!({ "type": "string" }),
        ),
        "Version": header(
            "DCA-Version",
            "The version to answer in. Without it that of the API key counts, else the newest. One that there is not is refused.",
            json!({ "$ref": "#/components/schemas/ApiVersion" }),
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "A repeat within 24 hours is answered as the first time, with `Idempotency-Replayed: true` and without effect.",
            text("^(?!\"\"$)(?:\"[ -~]{1,255}\"|[!-~](?:[ -~]{0,253}[!-~])?)$"),
        ),
        "IfMatch": header(
            "If-Match",
            "Do it only if the thing has this version: an `ETag` as an answer gave it, or `*`.",
            text("^(\"[0-9]{1,19}\"|\\*)$"),
        ),
        "MinPosition": header(
            "DCA-Min-Position",
            "Show at least this: `DCA-Position` of an earlier answer. One that the log has not reached is refused with 400 \
             `POSITION_UNKNOWN`.",
            text("^[0-9a-f]{16}\\.[0-9]{1,18}$"),
        ),
        "AcceptSignature": header(
            "Accept-Signature",
            "Sign the answer (RFC 9421): a label, `()`, a random `nonce`. It is bound to method, path, query and, with a \
             `Content-Digest` of the request, to the body.",
            text("^([a-z*][a-z0-9_.*-]{0,31}=\\(\\)(;created)?(;nonce=\"[A-Za-z0-9_-]{1,64}\")?(;tag=\"dca-auth\")?)?$"),
        ),
        "CsrfToken": header(
            "X-CSRF-Token",
            "The value of the cookie `__Host-dca_csrf`; needed with the cookie of a browser and nowhere else.",
            json!({ "type": "string" }),
        ),
    })
}

/// Adds to an operation what its address and its kind ask for.
pub(super) fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let has_credential = super::answers::has_credential(operation);
    let is_write = method != "get";
    let is_full = is_write && has_credential && !BARE.contains(&id.as_str());
    let mut added: Vec<Value> = in_path(path);
    let common = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    if is_full && !UNKEYED.contains(&id.as_str()) {
        added.push(common("IdempotencyKey"));
    }
    if is_full && !UNCONDITIONAL.contains(&id.as_str()) {
        added.push(common("IfMatch"));
    }
    if has_credential && !id.starts_with("auth_refresh") && !WITHOUT_POSITION.contains(&id.as_str()) {
        added.push(common("MinPosition"));
    }
    if is_write && takes_cookie(operation) {
        added.push(common("CsrfToken"));
    }
    added.extend([common("Version"), common("AcceptSignature"), common("RequestId")]);
    let own = operation.remove("parameters").and_then(|own| own.as_array().cloned()).unwrap_or_default();
    operation.insert("parameters".to_owned(), own.into_iter().chain(added).collect());
}

fn takes_cookie(operation: &Map<String, Value>) -> bool {
    let named = operation.get("security").and_then(Value::as_array);
    named.is_none_or(|named| {
        named.iter().any(|one| one.get("cookie").is_some() || one.get("refreshCookie").is_some())
    })
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    names
        .map(|name| {
            let fits =
                |row: &&(&str, &str, &str, &str)| path.starts_with(row.0) && row.1 == name.trim_start_matches('*');
            let (schema, description) =
                IN_PATHS.iter().find(fits).map_or(("Word", ""), |(_, _, schema, description)| (*schema, *description));
            json!({
                "name": name.trim_start_matches('*'), "in": "path", "required": true, "description": description,
                "schema": { "$ref": format!("#/components/schemas/{schema}") },
            })
        })
        .collect()
}
