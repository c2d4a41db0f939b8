//! Every route against everybody who may come: nobody, strangers, another tenant's staff and keys, each rank, each kind of key,
//! the owner of a license, people with a platform role, the operator; for licenses in every state. What another tenant has is not there. A route
//! that is not in the table fails the test.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::guild::{Action, StaffRole};
use domain::id::GuildId;
use domain::platform::PlatformRole;
use domain::private::Person;
use serde_json::{Value, json};

use crate::world::{ADA, GUILD, OTHER_GUILD, Reply, World};

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody, with or without a credential.
    Public,
    /// Whoever proves something else than a credential of ours: a signature, a sign-in that is under way, a refresh token.
    Proof,
    /// Anybody with a credential, each his own.
    Any,
    /// Signed-in people.
    People,
    /// The operator.
    Operator,
    /// People with this platform role or a higher one, and the operator.
    Platform(PlatformRole),
    /// Auditors of the platform and keys with the scope.
    AuditorOrKey,
    /// API keys.
    Keys,
    /// Secret API keys.
    SecretKeys,
    /// API keys, and the owner of the license with its key.
    KeysOrOwner,
    /// Staff from this rank on, and secret keys.
    Staff(StaffRole),
    /// The same, and the owner of the license.
    StaffOrOwner(StaffRole),
    /// Staff from this rank on, and no key.
    StaffOnly(StaffRole),
}

use StaffRole::{Admin, Auditor, Moderator};
use Who::{
    Any, AuditorOrKey, Keys, KeysOrOwner, Operator, People, Platform, Proof, Public, SecretKeys, Staff,
    StaffOnly, StaffOrOwner,
};

/// Method, address as the router has it, who.
const TABLE: &[(&str, &str, Who)] = &[
    ("GET", "/", Public),
    ("GET", "/live", Public),
    ("GET", "/ready", Public),
    ("GET", "/health", Public),
    ("GET", "/.well-known/dca-log.json", Public),
    ("GET", "/.well-known/jwks.json", Public),
    ("GET", "/.well-known/dca-keys.json", Public),
    ("GET", "/openapi.json", Public),
    ("GET", "/docs", Public),
    ("GET", "/docs/errors", Public),
    ("GET", "/docs/{asset}", Public),
    ("GET", "/_demo/clock", Public),
    ("GET", "/auth/discord", Proof),
    ("POST", "/auth/discord", Proof),
    ("GET", "/auth/discord/callback", Proof),
    ("POST", "/auth/callback", Proof),
    ("POST", "/auth/refresh", Proof),
    ("POST", "/discord/interactions", Proof),
    // It ends the session of its token, and those of this test have none (`sign_in` in the end-to-end tests).
    ("POST", "/auth/logout", Proof),
    ("GET", "/auth/me", People),
    ("GET", "/auth/sessions", People),
    ("DELETE", "/auth/sessions/{id}", People),
    ("POST", "/licenses/redeem", People),
    ("POST", "/licenses/transfers/{id}/accept", People),
    ("GET", "/_admin/status", Operator),
    ("POST", "/_admin/verify", Operator),
    ("POST", "/_admin/rebuild", Operator),
    ("POST", "/_admin/jobs/{name}/run", Operator),
    ("POST", "/_admin/discord/resume", Operator),
    ("GET", "/_admin/keys", Operator),
    ("POST", "/_admin/keys", Operator),
    ("POST", "/_admin/keys/rotate", Operator),
    ("POST", "/_admin/keys/{id}/activate", Operator),
    ("POST", "/_admin/keys/{id}/retire", Operator),
    ("POST", "/_demo/clock", Operator),
    ("POST", "/_demo/members/observe", Operator),
    ("GET", "/_admin/sign-in-link", Operator),
    ("GET", "/admin/users", Platform(PlatformRole::Auditor)),
    ("GET", "/admin/users/{id}", Platform(PlatformRole::Auditor)),
    ("POST", "/admin/users/{id}/ban", Platform(PlatformRole::Admin)),
    ("POST", "/admin/users/{id}/unban", Platform(PlatformRole::Admin)),
    ("POST", "/admin/users/{id}/erase", Platform(PlatformRole::Admin)),
    ("PUT", "/admin/users/{id}/role", Platform(PlatformRole::Owner)),
    ("GET", "/admin/audit-log/checkpoint", AuditorOrKey),
    ("GET", "/admin/audit-log/proof", Platform(PlatformRole::Auditor)),
    ("GET", "/admin/audit-log/consistency", Platform(PlatformRole::Auditor)),
    ("POST", "/licenses/validate", Keys),
    ("POST", "/licenses/heartbeat", Keys),
    ("POST", "/licenses/deactivate", Keys),
    ("POST", "/licenses/activate", KeysOrOwner),
    ("POST", "/licenses/certificate", SecretKeys),
    ("GET", "/licenses", Any),
    ("GET", "/licenses/{id}", StaffOrOwner(Auditor)),
    ("GET", "/licenses/{id}/key", StaffOrOwner(Admin)),
    ("GET", "/licenses/{id}/history", StaffOrOwner(Auditor)),
    ("GET", "/licenses/{id}/diff", StaffOrOwner(Auditor)),
    ("GET", "/licenses/{id}/replay", StaffOrOwner(Auditor)),
    ("GET", "/licenses/{id}/devices", StaffOrOwner(Auditor)),
    ("PATCH", "/licenses/{id}/devices/{deviceId}", StaffOrOwner(Moderator)),
    ("DELETE", "/licenses/{id}/deactivate", StaffOrOwner(Moderator)),
    ("POST", "/licenses/{id}/certificate", StaffOrOwner(Moderator)),
    ("POST", "/licenses/{id}/certificate/release", StaffOrOwner(Moderator)),
    ("POST", "/licenses/{id}/suspend", Staff(Moderator)),
    ("POST", "/licenses/{id}/resume", Staff(Moderator)),
    ("POST", "/licenses/{id}/assign", Staff(Admin)),
    ("POST", "/licenses/{id}/renew", Staff(Admin)),
    ("POST", "/licenses/{id}/rekey", Staff(Admin)),
    ("POST", "/licenses/{id}/terms", Staff(Admin)),
    ("POST", "/licenses/{id}/metadata", Staff(Admin)),
    ("POST", "/licenses/{id}/transfer", StaffOrOwner(Admin)),
    ("POST", "/licenses/{id}/revoke", Staff(Admin)),
    ("POST", "/admin/licenses/generate", Staff(Admin)),
    ("POST", "/admin/licenses/revoke", Staff(Admin)),
    ("POST", "/admin/licenses/import", Staff(Admin)),
    ("GET", "/admin/licenses/export", Staff(Auditor)),
    ("GET", "/admin/analytics", Staff(Auditor)),
    ("GET", "/admin/audit-log", Staff(Auditor)),
    ("GET", "/guilds/{guild}", Staff(Auditor)),
    ("GET", "/guilds/{guild}/diff", Staff(Auditor)),
    ("GET", "/guilds/{guild}/history", Staff(Auditor)),
    ("GET", "/guilds/{guild}/events", Staff(Auditor)),
    ("GET", "/guilds/{guild}/audit-log/export", Staff(Auditor)),
    ("GET", "/guilds/{guild}/held-removals", Staff(Auditor)),
    ("GET", "/guilds/{guild}/license-types", Staff(Auditor)),
    ("GET", "/guilds/{guild}/roles", Staff(Auditor)),
    ("GET", "/guilds/{guild}/role-rules", Staff(Auditor)),
    ("GET", "/guilds/{guild}/members", Staff(Auditor)),
    ("GET", "/guilds/{guild}/staff", Staff(Auditor)),
    ("PATCH", "/guilds/{guild}/settings", Staff(Admin)),
    ("POST", "/guilds/{guild}/held-removals/{batch}/confirm", Staff(Admin)),
    ("POST", "/guilds/{guild}/license-types", Staff(Admin)),
    ("PATCH", "/guilds/{guild}/license-types/{slug}", Staff(Admin)),
    ("DELETE", "/guilds/{guild}/license-types/{slug}", Staff(Admin)),
    ("POST", "/guilds/{guild}/license-types/{slug}/apply", Staff(Admin)),
    ("POST", "/guilds/{guild}/role-rules", Staff(Admin)),
    ("POST", "/guilds/{guild}/role-rules/preview", Staff(Admin)),
    ("PUT", "/guilds/{guild}/role-rules/{id}", Staff(Admin)),
    ("DELETE", "/guilds/{guild}/role-rules/{id}", Staff(Admin)),
    ("POST", "/guilds/{guild}/members/{user}/block", Staff(Admin)),
    ("POST", "/guilds/{guild}/members/{user}/unblock", Staff(Admin)),
    ("GET", "/guilds/{guild}/api-keys", StaffOnly(Admin)),
    ("POST", "/guilds/{guild}/api-keys", StaffOnly(Admin)),
    ("DELETE", "/guilds/{guild}/api-keys/{id}", StaffOnly(Admin)),
    ("PUT", "/guilds/{guild}/staff/{user}", StaffOnly(Admin)),
    ("DELETE", "/guilds/{guild}/staff/{user}", StaffOnly(Admin)),
];

/// Somebody who comes. Those who may least come first, so that whoever may change something changes it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Nobody,
    Stranger,
    OtherAdmin,
    OtherKey,
    Publishable,
    Owner,
    Rank(StaffRole),
    Secret,
    /// Somebody with a platform role, who has no rank in any guild.
    OfPlatform(PlatformRole),
    Operator,
}

const CALLERS: [Caller; 14] = [
    Caller::Nobody,
    Caller::Stranger,
    Caller::OtherAdmin,
    Caller::OtherKey,
    Caller::Publishable,
    Caller::Owner,
    Caller::Rank(Auditor),
    Caller::OfPlatform(PlatformRole::Auditor),
    Caller::Rank(Moderator),
    Caller::Rank(Admin),
    Caller::Secret,
    Caller::OfPlatform(PlatformRole::Admin),
    Caller::OfPlatform(PlatformRole::Owner),
    Caller::Operator,
];

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is done, or refused by a rule of the domain, or lacks a member of the request.
    Let,
    Unknown,
    Forbidden,
    Absent,
}

fn expected(path: &str, who: Who, caller: Caller) -> Outcome {
    use Caller::{Nobody, OfPlatform, OtherAdmin, OtherKey, Owner, Publishable, Rank, Secret, Stranger};
    use Outcome::{Absent, Forbidden, Let, Unknown};
    let of_license = path.starts_with("/licenses/{id}");
    match (who, caller) {
        (Public | Proof, _) => Let,
        (_, Nobody) => Unknown,
        (Any, Publishable) => Forbidden,
        (Any, _) => Let,
        (People, Stranger | OtherAdmin | Owner | Rank(_) | OfPlatform(_)) => Let,
        (People, _) => Forbidden,
        (_, Caller::Operator) if !matches!(who, Keys | SecretKeys) => Let,
        (Operator, _) => Forbidden,
        (Platform(least), OfPlatform(role)) if role >= least => Let,
        (Platform(_), _) => Forbidden,
        (AuditorOrKey, Secret | OtherKey | OfPlatform(_)) => Let,
        (AuditorOrKey, _) => Forbidden,
        (Keys, Publishable | Secret) => Let,
        // Another tenant's license key is unknown: a verdict of a validation, an error elsewhere.
        (Keys, OtherKey) if path == "/licenses/validate" => Let,
        (Keys, OtherKey) => Absent,
        (Keys, _) => Forbidden,
        (SecretKeys, Secret) => Let,
        (SecretKeys, OtherKey) => Absent,
        (SecretKeys, _) => Forbidden,
        (KeysOrOwner, Publishable | Secret | Owner) => Let,
        (KeysOrOwner, _) => Absent,
        (Staff(_) | StaffOrOwner(_) | StaffOnly(_), OtherAdmin | OtherKey | Stranger) => Absent,
        (Staff(_) | StaffOrOwner(_), Secret) => Let,
        (StaffOnly(_), Secret | Publishable) => Forbidden,
        (Staff(_) | StaffOrOwner(_), Publishable) => Forbidden,
        (StaffOrOwner(_), Owner) => Let,
        (Staff(_) | StaffOnly(_), Owner) => {
            if of_license {
                Forbidden
            } else {
                Absent
            }
        }
        (Staff(needed) | StaffOrOwner(needed) | StaffOnly(needed), Rank(rank)) => {
            if rank >= needed {
                Let
            } else {
                Forbidden
            }
        }
        (Staff(needed) | StaffOrOwner(needed) | StaffOnly(needed), OfPlatform(role)) => {
            if role.rank() >= needed { Let } else { Forbidden }
        }
        (StaffOnly(_) | Staff(_) | StaffOrOwner(_), Caller::Operator) => Let,
    }
}

/// The routes that the code has, method and address: those of the document, and those that it says nothing of.
pub(crate) fn routes() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&api::document()).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        found.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    found.extend(undocumented());
    found
}

/// The routes between this server and our own command line, which stand in the router alone.
fn undocumented() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/lib.rs");
    let mut found = BTreeSet::new();
    for rest in source.split(".route(").skip(1) {
        let mut depth = 1;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            })
            .unwrap()
            .0;
        let (place, methods) = rest[..end].split_once(',').unwrap();
        let path = place.trim().trim_matches('"');
        assert!(
            path.starts_with("/_"),
            "`{path}` is for everybody: give it `#[utoipa::path]` and `.routes(routes!(…))`"
        );
        for method in ["get", "post", "put", "patch", "delete"] {
            if methods.contains(&format!("{method}(")) {
                found.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_route_stands_in_the_table() {
    let table: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    let routes = routes();
    assert!(routes.len() > 70, "the routes were not found: {routes:?}");
    let missing: Vec<_> = routes.difference(&table).collect();
    assert!(missing.is_empty(), "say in the table who may use {missing:?}");
    let gone: Vec<_> = table.difference(&routes).collect();
    assert!(gone.is_empty(), "there is no route for {gone:?}");
    assert_eq!(table.len(), TABLE.len(), "a row stands twice");
}

/// Credentials, and a license in some state.
struct Stage {
    world: World,
    other_key: String,
    publishable: String,
    secret: String,
    license: String,
    key: String,
}

const OTHER_ADMIN: &str = "598";
const STRANGER: &str = "599";

fn platform_account(role: PlatformRole) -> &'static str {
    match role {
        PlatformRole::Auditor => "611",
        PlatformRole::Admin => "612",
        PlatformRole::Owner => "613",
    }
}

fn account(rank: StaffRole) -> &'static str {
    match rank {
        Auditor => "601",
        Moderator => "602",
        Admin | StaffRole::Owner => "603",
    }
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let staff = [(GUILD, account(Auditor), Auditor), (GUILD, account(Moderator), Moderator)];
        let admins = [(GUILD, account(Admin), Admin), (OTHER_GUILD, OTHER_ADMIN, Admin)];
        for (guild, user, role) in staff.into_iter().chain(admins) {
            promote(&world, guild, user, role).await;
        }
        for role in PlatformRole::ALL {
            let account = platform_account(role).parse().unwrap();
            world.commands.change_platform_role(&world.context(), account, Some(role)).await.unwrap();
        }
        let all = json!({ "kind": "secret", "scopes": [
            "validate", "activate", "heartbeat", "deactivate", "certificate", "licenses:read", "licenses:write", "licenses:revoke",
            "licenses:reveal", "audit:read", "events:read",
        ] });
        let other_key = world.api_key(OTHER_GUILD, all.clone()).await;
        let secret = world.api_key(GUILD, all).await;
        let publishable = world.publishable().await;
        Self { world, other_key, publishable, secret, license: String::new(), key: String::new() }
    }

    /// A fresh license of Ada's in this state.
    async fn license_in(&mut self, state: &str) {
        let (id, key) = match state {
            "generated" => self.world.license("team").await,
            _ => self.world.license_of("team", ADA).await,
        };
        if ["suspended", "revoked"].contains(&state) {
            let what = if state == "revoked" { "revoke" } else { "suspend" };
            self.world.post(&format!("/licenses/{id}/{what}")).token("operator").empty().await.ok(200);
        }
        (self.license, self.key) = (id, key);
    }

    fn address(&self, method: &str, path: &str) -> String {
        let nil = uuid::Uuid::nil().to_string();
        let id = if path.starts_with("/licenses/{id}") { &self.license } else { &nil };
        let filled = path
            .replace("{guild}", &GUILD.to_string())
            .replace("{id}", if path.starts_with("/admin/users") { "700" } else { id })
            .replace("{user}", "700")
            .replace("{slug}", "pro")
            .replace("{batch}", &nil)
            .replace("{deviceId}", "laptop")
            .replace("{asset}", "start.js")
            .replace("{name}", "expiry");
        match path {
            "/licenses/{id}/diff" | "/guilds/{guild}/diff" => filled + "?from=version:1",
            "/licenses/{id}/deactivate" => filled + "?all=true",
            "/admin/licenses/import" | "/admin/licenses/export" | "/admin/audit-log" | "/admin/analytics" => {
                format!("{filled}?guildId={GUILD}")
            }
            "/guilds/{guild}/role-rules/{id}" if method == "DELETE" => filled + "?existing=keep",
            _ => filled,
        }
    }

    fn body(&self, method: &str, path: &str) -> Value {
        let (guild, key) = (GUILD.to_string(), &self.key);
        match (method, path) {
            ("GET" | "DELETE", _) => Value::Null,
            (_, "/licenses/{id}/assign") => json!({ "userId": ADA }),
            (_, "/licenses/{id}/transfer") => json!({ "toUserId": "700" }),
            (_, "/licenses/validate") => json!({ "key": key }),
            (_, "/licenses/redeem") => json!({ "key": key }),
            (_, "/licenses/{id}/certificate") => json!({ "deviceId": "laptop" }),
            (_, "/licenses/{id}/certificate/release") => json!({ "leaseId": uuid::Uuid::nil() }),
            (_, path) if path.starts_with("/licenses/") && !path.contains('{') => {
                json!({ "key": key, "deviceId": "laptop" })
            }
            (_, "/admin/licenses/revoke") => {
                json!({ "filter": { "guildId": guild }, "mode": "each", "reason": "x", "dryRun": true })
            }
            (_, "/admin/licenses/generate") => json!({ "guildId": guild, "type": "pro", "count": 1 }),
            (_, "/guilds/{guild}/license-types") => json!({ "slug": "x", "name": "X" }),
            (_, "/guilds/{guild}/role-rules" | "/guilds/{guild}/role-rules/preview") => {
                json!({ "roleId": "9", "type": "pro" })
            }
            ("PUT", "/guilds/{guild}/role-rules/{id}") => json!({ "type": "pro" }),
            (_, "/admin/users/{id}/role") => json!({ "role": "auditor" }),
            (_, "/guilds/{guild}/staff/{user}") => json!({ "role": "auditor" }),
            (_, "/guilds/{guild}/api-keys") => json!({ "kind": "publishable" }),
            (_, "/guilds/{guild}/members/{user}/block" | "/guilds/{guild}/members/{user}/unblock") => {
                json!({ "type": "pro" })
            }
            (_, "/licenses/{id}/devices/{deviceId}") => json!({ "deviceName": "x" }),
            (_, "/_demo/clock") => json!({ "advance": "PT1S" }),
            (_, "/_demo/members/observe") => json!({ "guildId": guild, "userId": "700", "roles": [] }),
            (_, "/_admin/rebuild") => json!({ "name": "license_view" }),
            (_, "/_admin/keys" | "/_admin/keys/rotate") => json!({ "kind": "license" }),
            _ => json!({}),
        }
    }

    async fn ask(&self, method: &str, path: &str, caller: Caller) -> Reply {
        let method_name = Method::from_bytes(method.as_bytes()).unwrap();
        let ask = self.world.ask(method_name, &self.address(method, path));
        let ask = match caller {
            Caller::Nobody => ask,
            Caller::Stranger => ask.token(STRANGER),
            Caller::OtherAdmin => ask.token(OTHER_ADMIN),
            Caller::OtherKey => ask.key(&self.other_key),
            Caller::Publishable => ask.key(&self.publishable),
            Caller::Owner => ask.token(ADA),
            Caller::Rank(rank) => ask.token(account(rank)),
            Caller::Secret => ask.key(&self.secret),
            Caller::OfPlatform(role) => ask.token(platform_account(role)),
            Caller::Operator => ask.token("operator"),
        };
        match self.body(method, path) {
            _ if path == "/admin/licenses/import" => {
                ask.header("content-type", "text/csv").raw("type\n").await
            }
            Value::Null => ask.empty().await,
            body => ask.json(&body).await,
        }
    }
}

async fn promote(world: &World, guild: GuildId, user: &str, role: StaffRole) {
    let person = Person::new(world.commands.ring().as_ref(), user.parse().unwrap());
    let action = Action::ChangeStaff { person, role: Some(role), granted_by: StaffRole::Owner };
    world.commands.guild(&world.context(), guild, action).await.unwrap();
}

/// What came of a request. Where the thing itself is not there (`NOT_FOUND` for whoever may), only the table can tell.
fn outcome(reply: &Reply) -> Outcome {
    match (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or_default()) {
        (401, _) => Outcome::Unknown,
        (403, "RANK_TOO_LOW") => Outcome::Let,
        (403, _) => Outcome::Forbidden,
        (404, "NOT_FOUND") => Outcome::Absent,
        _ => Outcome::Let,
    }
}

/// Addresses with an id of something that is not there for anybody.
const OF_NOTHING: [&str; 12] = [
    "/auth/me",
    "/auth/sessions/{id}",
    "/licenses/transfers/{id}/accept",
    "/guilds/{guild}/held-removals/{batch}/confirm",
    "/guilds/{guild}/role-rules/{id}",
    "/guilds/{guild}/api-keys/{id}",
    "/guilds/{guild}/members/{user}/block",
    "/guilds/{guild}/members/{user}/unblock",
    "/admin/users/{id}",
    "/admin/users/{id}/erase",
    "/admin/users/{id}/unban",
    "/licenses/{id}/devices/{deviceId}",
];

async fn every_caller(stage: &mut Stage, rows: &[(&str, &str, Who)], state: &str) {
    for (method, path, who) in rows {
        stage.license_in(state).await;
        // An unowned license has no owner who might.
        for caller in CALLERS {
            let wanted = match (caller, state) {
                (Caller::Owner, "generated") => expected(path, *who, Caller::Stranger),
                _ => expected(path, *who, caller),
            };
            let reply = stage.ask(method, path, caller).await;
            let came = outcome(&reply);
            let is_nothing = wanted == Outcome::Let && came == Outcome::Absent && OF_NOTHING.contains(path);
            let proves = *who == Proof;
            assert!(
                came == wanted || is_nothing || proves,
                "{method} {path} by {caller:?} ({state}): {came:?} and not {wanted:?}: {reply:?}"
            );
            let status = reply.status.as_u16();
            let is_fault = status >= 500 && !(path.starts_with("/_admin") || proves);
            assert!(!is_fault, "{method} {path} by {caller:?} ({state}): {reply:?}");
            if wanted == Outcome::Absent {
                let mut shown = reply.body.clone();
                // Its digits may be those of the guild by chance.
                shown.as_object_mut().map(|body| body.remove("requestId"));
                let shown = shown.to_string();
                assert!(!shown.contains(&stage.license) && !shown.contains(&GUILD.to_string()), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn everybody_may_what_the_table_says_and_nothing_else() {
    let mut stage = Stage::new().await;
    let rows: Vec<_> = TABLE.iter().filter(|(_, path, _)| !path.starts_with("/licenses")).copied().collect();
    every_caller(&mut stage, &rows, "assigned").await;
}

#[tokio::test]
async fn the_state_of_a_license_changes_nobodys_rights() {
    let rows: Vec<_> = TABLE.iter().filter(|(_, path, _)| path.starts_with("/licenses")).copied().collect();
    for state in ["generated", "assigned", "suspended", "expired", "revoked"] {
        let mut stage = Stage::new().await;
        if state == "expired" {
            // Types of 30 days with 3 of grace: what is made now has ended when it is asked for.
            every_caller_later(&mut stage, &rows).await;
        } else {
            every_caller(&mut stage, &rows, state).await;
        }
    }
}

/// The same with a license whose time has passed.
async fn every_caller_later(stage: &mut Stage, rows: &[(&str, &str, Who)]) {
    for row in rows {
        stage.license_in("assigned").await;
        stage.world.advance(domain::time::Span::seconds(40 * 86_400));
        let (license, key) = (stage.license.clone(), stage.key.clone());
        for caller in CALLERS {
            (stage.license, stage.key) = (license.clone(), key.clone());
            let (method, path, who) = *row;
            let reply = stage.ask(method, path, caller).await;
            let (came, wanted) = (outcome(&reply), expected(path, who, caller));
            let is_nothing = wanted == Outcome::Let && came == Outcome::Absent && OF_NOTHING.contains(&path);
            assert!(
                came == wanted || is_nothing,
                "{method} {path} by {caller:?} (expired): {came:?}: {reply:?}"
            );
        }
    }
}
