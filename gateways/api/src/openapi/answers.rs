//! What many answers have in common: problems by their status, and headers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::error::Code;

/// The problems of the API: status, name, what they are. What has `Retry-After` says so.
const PROBLEMS: &[(u16, &str, &str, bool)] = &[
    (
        400,
        "BadRequest",
        "Not as documented: no JSON, an unknown, missing or wrong member, a bad query or header.",
        false,
    ),
    (401, "Unauthorized", "No credential, a bad one, or one that ended.", false),
    (403, "Forbidden", "The caller is known and may not.", false),
    (404, "NotFound", "No such thing, or another tenant's.", false),
    (408, "RequestTimeout", "The body did not arrive in time.", false),
    (409, "Conflict", "The present state does not allow it; the code of a refusal says why.", true),
    (412, "PreconditionFailed", "`If-Match` names another version.", false),
    (413, "ContentTooLarge", "The body is too long.", false),
    (415, "UnsupportedMediaType", "The body is of another type than the one that is asked for.", false),
    (421, "MisdirectedRequest", "The server is not known by this name (`Host`).", false),
    (422, "UnprocessableContent", "The right shape, and it cannot be meant.", false),
    (429, "TooManyRequests", "More requests than a limit allows.", true),
    (500, "InternalServerError", "A fault of the server. Its log has more under the request id.", false),
    (503, "ServiceUnavailable", "A part that is needed does not answer, or not in time.", true),
];

/// What comes beyond the rules of `statuses`, and what does not, by the id of the operation.
const APART: &[(&str, &[u16], &[u16])] = &[
    // Whoever has a token of the command line may have no account.
    ("auth_me", &[404], &[]),
    // A link that makes the first owner of the platform works once.
    ("auth_begin", &[409], &[]),
    ("auth_begin_browser", &[409], &[]),
    ("auth_logout", &[], &[404, 422]),
    // A token that was used twice ends the session, and somebody else may do so at the same moment.
    ("auth_refresh", &[409], &[]),
    ("sessions_end", &[], &[422]),
    ("documentation_asset", &[404], &[]),
    // Every verdict is an answer.
    ("licenses_validate", &[], &[404, 409]),
    // Nothing is decided, so nobody can have been faster, and it may be repeated freely.
    ("held_removals_confirm", &[], &[409, 422]),
    ("licenses_export", &[], &[422]),
    ("audit_log_checkpoint", &[], &[422]),
    ("audit_log_proof", &[], &[422]),
    ("audit_log_consistency", &[], &[404]),
];

/// Operations whose answers name the version of what they show.
const VERSIONED: &[&str] = &[
    "licenses_activate",
    "licenses_deactivate",
    "licenses_redeem",
    "licenses_get",
    "licenses_diff",
    "licenses_replay",
    "licenses_devices",
    "devices_rename",
    "devices_free",
    "certificates_issue_with_key",
    "certificates_issue",
    "certificates_release",
    "licenses_assign",
    "licenses_suspend",
    "licenses_resume",
    "licenses_renew",
    "licenses_revoke",
    "licenses_rekey",
    "licenses_terms",
    "licenses_metadata",
    "licenses_transfer",
    "licenses_accept",
    "licenses_key",
    "users_get",
    "users_change_role",
    "users_erase",
    "users_ban",
    "users_unban",
    "guilds_get",
    "guilds_diff",
    "guilds_change_settings",
    "license_types_list",
    "license_types_define",
    "license_types_change",
    "license_types_retire",
    "role_rules_list",
    "role_rules_set",
    "role_rules_change",
    "role_rules_remove",
    "members_block",
    "members_unblock",
    "guild_roles_list",
    "role_rules_preview",
    "staff_list",
    "staff_set",
    "staff_dismiss",
    "api_keys_list",
    "api_keys_issue",
    "api_keys_revoke",
    "documentation_get",
    "documentation_page",
    "documentation_errors",
    "documentation_asset",
];
/// Operations whose answers name a position and no version.
const POSITIONED: &[&str] = &[
    "licenses_generate",
    "licenses_revoke_many",
    "licenses_import",
    "analytics_get",
    "guilds_events",
    "license_types_apply",
    "auth_return_browser",
    "auth_return",
    "auth_logout",
    "sessions_end",
];

/// Answers that give cookies to a browser or take them away.
const COOKIES: &[(&str, &str)] = &[
    ("auth_begin_browser", "303"),
    ("auth_return_browser", "303"),
    ("auth_refresh", "204"),
    ("auth_logout", "204"),
    ("sessions_end", "204"),
];

/// What a signed answer has, whatever it answers.
const SIGNED: [(&str, &str); 3] =
    [("Content-Digest", "ContentDigest"), ("Signature-Input", "SignatureInput"), ("Signature", "Signature")];

/// Headers of answers.
pub(super) fn headers() -> Value {
    let header = |description: &str, pattern: &str| json!({ "description": description, "schema": { "type": "string", "pattern": pattern } });
    let free = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "RequestId": { "description": "The id of the request.", "required": true, "schema": { "type": "string" } },
        "Version": {
            "description": "The version that it is answered in.", "required": true,
            "schema": reference("schemas", "ApiVersion"),
        },
        "ETag": header("The version of what is shown.", "^\"[0-9a-zA-Z-]+\"$"),
        "Position": header("What is shown holds everything up to here.", "^[0-9a-f]{16}\\.[0-9]+$"),
        "Replayed": header("This answer was given before.", "^true$"),
        "RateLimit": free("How many requests are left, and in how many seconds there are more."),
        "RateLimitPolicy": free("How many requests are allowed, in how many seconds."),
        "RetryAfter": { "description": "Seconds after which to try again.", "schema": { "type": "integer", "minimum": 0 } },
        "Challenge": { "description": "What is asked for.", "required": true, "schema": { "type": "string" } },
        "Location": { "description": "Where to go.", "required": true, "schema": { "type": "string" } },
        "Cookies": free("The cookies of a session."),
        "ContentDigest": header("SHA-256 of the body, where the answer is signed.", "^sha-256=:[A-Za-z0-9+/]{43}=:$"),
        "SignatureInput": free("What is signed, and how, if it was asked for or the guild wishes so."),
        "Signature": free("The signature."),
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// One answer for each status of problems.
pub(super) fn problems() -> Value {
    let of = |(status, name, sentence, retries): &(u16, &str, &str, bool)| {
        let codes: Vec<String> = Code::ALL
            .into_iter()
            .filter(|code| code.status().as_u16() == *status)
            .map(|code| format!("`{}`", code.as_str()))
            .collect();
        let mut headers = json!({
            "X-Request-Id": reference("headers", "RequestId"),
            "DCA-Version": reference("headers", "Version"),
            "RateLimit": reference("headers", "RateLimit"),
            "RateLimit-Policy": reference("headers", "RateLimitPolicy"),
        });
        for (name, schema) in SIGNED {
            headers[name] = reference("headers", schema);
        }
        if *retries {
            headers["Retry-After"] = reference("headers", "RetryAfter");
        }
        match status {
            401 => headers["WWW-Authenticate"] = reference("headers", "Challenge"),
            409 | 422 => headers["Idempotency-Replayed"] = reference("headers", "Replayed"),
            _ => {}
        }
        let answer = json!({
            "description": format!("{sentence} Codes: {}.", codes.join(", ")),
            "headers": headers,
            "content": { "application/problem+json": { "schema": reference("schemas", "Problem") } },
        });
        ((*name).to_owned(), answer)
    };
    PROBLEMS.iter().map(of).collect::<Map<String, Value>>().into()
}

/// Whether somebody must be known.
pub(super) fn has_credential(operation: &Map<String, Value>) -> bool {
    let named = operation.get("security").and_then(Value::as_array);
    named.is_none_or(|named| !named.is_empty() && named.iter().all(|one| one != &json!({})))
}

/// The statuses of the problems that an operation can have, by what it takes.
fn statuses(path: &str, method: &str, operation: &Map<String, Value>) -> BTreeSet<u16> {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let has = |place: &str| {
        let own = operation.get("parameters").and_then(Value::as_array);
        own.is_some_and(|own| own.iter().any(|one| one["in"] == place))
    };
    let (is_write, is_known) = (method != "get", has_credential(operation));
    let is_sign_in = path.starts_with("/auth/");
    let mut found = BTreeSet::from([400, 421, 500, 503]);
    if is_known || is_sign_in || path == "/discord/interactions" {
        found.insert(429);
    }
    if is_known || ["auth_refresh", "discord_interact"].contains(&id) {
        found.insert(401);
    }
    if is_known || id == "auth_refresh" {
        found.insert(403);
    }
    if is_known && (is_write || has("path") || has("query")) {
        found.insert(404);
    }
    if is_write {
        found.extend([408, 413, 415]);
    }
    if is_write && (is_known || ["auth_return"].contains(&id)) || id == "auth_return_browser" {
        found.insert(409);
    }
    if is_write && is_known {
        found.insert(422);
    }
    if method == "get" && has("query") && is_known {
        found.insert(422);
    }
    let conditions = json!({ "$ref": "#/components/parameters/IfMatch" });
    if operation["parameters"].as_array().is_some_and(|own| own.contains(&conditions)) {
        found.insert(412);
    }
    for (apart, also, never) in APART {
        if *apart == id {
            found.extend(*also);
            found.retain(|status| !never.contains(status));
        }
    }
    found
}

/// Adds to an operation the problems that it can have, and the headers of its answers.
pub(super) fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let statuses = statuses(path, method, operation);
    let is_counted = statuses.contains(&429);
    let takes_key = operation["parameters"]
        .as_array()
        .is_some_and(|own| own.contains(&json!({ "$ref": "#/components/parameters/IdempotencyKey" })));
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, answer) in answers.iter_mut() {
        let headers = answer["headers"].take();
        let mut headers = headers.as_object().cloned().unwrap_or_default();
        let mut add =
            |name: &str, schema: &str| headers.insert(name.to_owned(), reference("headers", schema));
        add("X-Request-Id", "RequestId");
        add("DCA-Version", "Version");
        for (name, schema) in SIGNED {
            add(name, schema);
        }
        if is_counted {
            add("RateLimit", "RateLimit");
            add("RateLimit-Policy", "RateLimitPolicy");
        }
        if VERSIONED.contains(&id.as_str()) && status != "204" {
            add("ETag", "ETag");
        }
        if (VERSIONED.contains(&id.as_str()) || POSITIONED.contains(&id.as_str()))
            && !id.starts_with("documentation")
        {
            add("DCA-Position", "Position");
        }
        if takes_key {
            add("Idempotency-Replayed", "Replayed");
        }
        if status == "303" {
            add("Location", "Location");
        }
        if COOKIES.contains(&(id.as_str(), status.as_str())) {
            add("Set-Cookie", "Cookies");
        }
        answer["headers"] = Value::Object(headers);
        if answer["description"].as_str().is_none_or(str::is_empty) {
            answer["description"] = Value::from(described(status));
        }
    }
    for (status, name, ..) in PROBLEMS.iter().filter(|row| statuses.contains(&row.0)) {
        answers.insert(status.to_string(), reference("responses", name));
    }
}

fn described(status: &str) -> &'static str {
    match status {
        "201" => "It was made.",
        "204" => "It is done, and there is nothing to say.",
        "303" => "Go on elsewhere.",
        _ => "The answer.",
    }
}
