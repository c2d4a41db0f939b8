//! Platform roles and the people who have them: what they may, who gives them, and when they end; the list of users, and the
//! erasure of one.

use commands::SessionOrder;
use domain::id::{DiscordId, Pseudonym, SessionId};
use domain::platform::PlatformRole;
use domain::session::Surface;
use domain::time::Span;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{ADA, BOB, GRACE, GUILD, OTHER_GUILD, Reply, World};

/// The first owner of these tests.
const OLGA: &str = "901";
const ADAM: &str = "902";
const AUDE: &str = "903";

async fn grant(world: &World, by: &str, user: &str, role: Value) -> Reply {
    world.put(&format!("/admin/users/{user}/role")).token(by).json(&json!({ "role": role })).await
}

/// An owner, an admin and an auditor of the platform, who are nothing in any guild.
async fn furnished() -> World {
    let world = World::new().await;
    for (by, user, role) in [("operator", OLGA, "owner"), (OLGA, ADAM, "admin"), (OLGA, AUDE, "auditor")] {
        let body = grant(&world, by, user, json!(role)).await.ok(200);
        assert_eq!((&body["id"], &body["platformRole"]), (&json!(user), &json!(role)));
    }
    world
}

#[tokio::test]
async fn a_platform_role_acts_in_every_guild() {
    let world = furnished().await;
    let (license, _) = world.license_of("pro", ADA).await;
    world.settled().await;
    for guild in [GUILD, OTHER_GUILD] {
        for user in [AUDE, ADAM, OLGA] {
            world.get(&format!("/guilds/{guild}")).token(user).empty().await.ok(200);
            let members = world.get(&format!("/guilds/{guild}/members")).token(user).empty().await;
            assert_eq!(members.status, 200);
        }
    }
    for user in [AUDE, ADAM, OLGA] {
        let listed = world.get("/licenses").token(user).empty().await.ok(200);
        assert_eq!(listed["data"][0]["id"], license.as_str(), "everything is listed");
        assert!(listed["data"][0]["privateMetadata"].is_object() || listed["data"][0]["userId"] == ADA);
        world.get("/admin/audit-log").token(user).empty().await.ok(200);
        world.get("/admin/audit-log/checkpoint").token(user).empty().await.ok(200);
        world.get("/admin/audit-log/proof?position=1").token(user).empty().await.ok(200);
    }
    let suspend = format!("/licenses/{license}/suspend");
    assert_eq!(world.post(&suspend).token(AUDE).json(&json!({})).await.problem(403), "FORBIDDEN");
    world.post(&suspend).token(ADAM).json(&json!({})).await.ok(200);
    // What is the operator's stays his.
    for path in ["/_admin/status", "/_admin/keys"] {
        assert_eq!(world.get(path).token(OLGA).empty().await.problem(403), "FORBIDDEN");
    }
    let me = world.get("/auth/me").token(ADAM).empty().await.ok(200);
    assert_eq!((&me["user"]["platformRole"], &me["guilds"]), (&json!("admin"), &json!([])));
}

#[tokio::test]
async fn only_owners_give_roles_and_the_last_one_stays() {
    let world = furnished().await;
    for by in [ADAM, AUDE, ADA, GRACE] {
        for role in [json!("owner"), json!("auditor"), Value::Null] {
            assert_eq!(grant(&world, by, BOB, role).await.problem(403), "FORBIDDEN");
        }
    }
    assert_eq!(grant(&world, OLGA, OLGA, Value::Null).await.problem(409), "LAST_OWNER");
    assert_eq!(grant(&world, OLGA, OLGA, json!("admin")).await.problem(409), "LAST_OWNER");
    grant(&world, OLGA, ADAM, json!("owner")).await.ok(200);
    let gone = grant(&world, OLGA, OLGA, Value::Null).await.ok(200);
    assert_eq!(gone["platformRole"], Value::Null);
    assert_eq!(grant(&world, OLGA, AUDE, Value::Null).await.problem(403), "FORBIDDEN", "at the next request");
    // The operator is bound by no rank.
    grant(&world, "operator", ADAM, Value::Null).await.ok(200);
    for (body, status, code) in [
        (json!({}), 400, "INVALID_REQUEST"),
        (json!({ "role": "king" }), 400, "INVALID_REQUEST"),
        (json!({ "role": "admin", "x": 1 }), 400, "INVALID_REQUEST"),
    ] {
        let path = format!("/admin/users/{BOB}/role");
        assert_eq!(world.put(&path).token("operator").json(&body).await.problem(status), code);
    }
    assert_eq!(grant(&world, "operator", "999", Value::Null).await.problem(404), "NOT_FOUND");
    assert_eq!(grant(&world, "operator", "x", json!("admin")).await.problem(404), "NOT_FOUND");
}

#[tokio::test]
async fn the_reason_of_a_change_is_kept_and_a_repeat_changes_nothing() {
    let world = furnished().await;
    let path = format!("/admin/users/{BOB}/role");
    let ask = || world.put(&path).token(OLGA).header("idempotency-key", "one");
    let body = json!({ "role": "auditor", "reason": "she audits us" });
    let first = ask().json(&body).await;
    let again = ask().json(&body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.ok(200), again.ok(200));
    let stale = world.put(&path).token(OLGA).header("if-match", "\"77\"").json(&body).await;
    assert_eq!(stale.problem(412), "VERSION_MISMATCH");
    world.settled().await;
    let query = "/admin/audit-log?type=platform.role_changed&limit=1";
    let listed = world.get(query).token(AUDE).empty().await.ok(200);
    assert_eq!(listed["data"][0]["reason"], "she audits us");
    assert_eq!(listed["data"][0]["aggregateType"], "platform");
}

#[tokio::test]
async fn whoever_is_banned_loses_the_role_and_nobody_bans_above_himself() {
    let world = furnished().await;
    let ban = async |by: &str, user: &str| {
        world.post(&format!("/admin/users/{user}/ban")).token(by).json(&json!({})).await
    };
    assert_eq!(ban(AUDE, BOB).await.problem(403), "FORBIDDEN");
    assert_eq!(ban(ADAM, BOB).await.ok(200)["banned"], true);
    for user in [OLGA, AUDE] {
        assert_eq!(ban(ADAM, user).await.problem(403), "RANK_TOO_LOW");
    }
    assert_eq!(ban(OLGA, OLGA).await.problem(409), "LAST_OWNER");
    let banned = ban(OLGA, ADAM).await.ok(200);
    assert_eq!((&banned["banned"], &banned["platformRole"]), (&json!(true), &Value::Null));
    assert_eq!(world.get("/admin/users").token(ADAM).empty().await.problem(403), "FORBIDDEN");
    assert_eq!(grant(&world, OLGA, ADAM, json!("admin")).await.problem(409), "USER_BANNED");
    world.post(&format!("/admin/users/{ADAM}/unban")).token(OLGA).json(&json!({})).await.ok(200);
    let still = world.get("/admin/users").token(ADAM).empty().await;
    assert_eq!(still.problem(403), "FORBIDDEN", "a role that was taken does not come back");
}

#[tokio::test]
async fn users_are_listed_by_id_role_and_ban() {
    let world = furnished().await;
    world.license_of("pro", ADA).await;
    let at = world.post(&format!("/admin/users/{BOB}/ban")).token(ADAM).json(&json!({})).await;
    let position = at.header("dca-position").unwrap().to_owned();
    let list = async |query: &str| {
        let ask = world.get(&format!("/admin/users{query}")).token(AUDE);
        let body = ask.header("dca-min-position", &position).empty().await.ok(200);
        let ids = body["data"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(list("").await[..2], [BOB, ADA], "newest first");
    assert_eq!(list("?banned=true").await, [BOB]);
    assert!(!list("?banned=false").await.contains(&BOB.to_owned()));
    assert_eq!(list("?platformRole=admin").await, [ADAM]);
    assert_eq!(list(&format!("?discordId={ADA}")).await, [ADA]);
    assert_eq!(list(&format!("?discordId={ADA}&platformRole=admin")).await, Vec::<String>::new());
    assert_eq!(list("?discordId=12345").await, Vec::<String>::new());
    let first = world.get("/admin/users?limit=1").token(AUDE).empty().await.ok(200);
    let next = first["nextCursor"].as_str().unwrap();
    assert_eq!(list(&format!("?limit=1&cursor={next}")).await, [ADA]);
    for bad in ["?q=ada", "?platformRole=king", "?banned=perhaps", "?discordId=x"] {
        let refused = world.get(&format!("/admin/users{bad}")).token(AUDE).empty().await;
        assert_eq!(refused.problem(400), "INVALID_REQUEST", "{bad}");
    }
    let one = world.get(&format!("/admin/users/{ADAM}")).token(AUDE).empty().await;
    assert!(one.header("etag").is_some());
    assert_eq!(one.ok(200)["platformRole"], "admin");
    let absent = world.get("/admin/users/12345").token(AUDE).empty().await;
    assert_eq!(absent.problem(404), "NOT_FOUND");
}

/// A session of Ada's; its id.
async fn session(world: &World) -> SessionId {
    let id = SessionId(Uuid::new_v4());
    let user: DiscordId = ADA.parse().unwrap();
    let until = world.now().after(Span::days(1));
    let client = Some("her browser".to_owned());
    let order = SessionOrder { id, user, surface: Surface::Client, client, until };
    world.commands.start_session(&world.context(), order).await.unwrap();
    id
}

#[tokio::test]
async fn an_erased_person_is_gone_and_begins_anew_by_coming_back() {
    let world = furnished().await;
    let ada: DiscordId = ADA.parse().unwrap();
    let (license, key) = world.license_of("pro", ADA).await;
    let name = |name: &str| Some(name.to_owned());
    let mail = name("ada@example.com");
    world.commands.change_profile(&world.context(), ada, name("ada"), mail).await.unwrap();
    grant(&world, OLGA, ADA, json!("auditor")).await.ok(200);
    let session = session(&world).await;
    world.settled().await;
    let path = format!("/admin/users/{ADA}/erase");
    let ask = |by: &str| world.post(&path).token(by);
    assert_eq!(ask(AUDE).json(&json!({})).await.problem(403), "FORBIDDEN");
    assert_eq!(ask(ADAM).json(&json!({})).await.problem(403), "RANK_TOO_LOW", "she has a role of her own");
    let planned = ask(OLGA).json(&json!({ "dryRun": true })).await.ok(200);
    let removed = json!({ "sessions": 1, "licenses": 1, "memberships": 0 });
    assert_eq!((&planned["dryRun"], &planned["removed"]), (&json!(true), &removed));
    assert_eq!(planned["user"]["username"], "ada", "nothing happened");
    let erase = async || ask(OLGA).header("idempotency-key", "gone").json(&json!({})).await;
    let erased = erase().await.ok(200);
    assert_eq!((&erased["dryRun"], &erased["removed"]), (&json!(false), &removed));
    assert_eq!((&erased["user"]["erased"], &erased["user"]["username"]), (&json!(true), &Value::Null));
    assert_eq!((&erased["user"]["id"], &erased["user"]["platformRole"]), (&json!("erased"), &Value::Null));
    let again = erase().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(200), erased);
    assert!(world.queries.session(session).await.unwrap().unwrap().session.ended.is_some());
    // Nothing shows who it was; the license itself goes on.
    world.settled().await;
    let listed = world.get("/admin/users?limit=200").token(OLGA).empty().await.ok(200).to_string();
    let shown = world.get(&format!("/licenses/{license}")).token(OLGA).empty().await.ok(200);
    let history = world.get(&format!("/licenses/{license}/history")).token(OLGA).empty().await.ok(200);
    for text in [listed, shown.to_string(), history.to_string()] {
        assert!(!text.contains("ada@example.com") && !text.contains(&format!("\"{ADA}\"")), "{text}");
    }
    assert_eq!(shown["userId"], "erased");
    let client = world.publishable().await;
    let asked = json!({ "key": key, "deviceId": "x" });
    let valid = world.post("/licenses/validate").key(&client).json(&asked).await.ok(200);
    assert_eq!(valid["code"], "DEVICE_NOT_ACTIVATED", "it is as valid as before");
    // She comes back: a new profile, and the past stays past.
    let refused = world.commands.change_profile(&world.context(), ada, name("ada"), None).await;
    assert!(refused.unwrap_err().to_string().contains("USER_ERASED"), "nobody else brings her back");
    world.commands.welcome_back(&world.context(), ada).await.unwrap();
    world.commands.change_profile(&world.context(), ada, name("ada again"), None).await.unwrap();
    world.settled().await;
    let back = world.get(&format!("/admin/users/{ADA}")).token(OLGA).empty().await.ok(200);
    assert_eq!((&back["id"], &back["username"]), (&json!(ADA), &json!("ada again")));
    assert_eq!((&back["erased"], &back["platformRole"]), (&json!(false), &Value::Null));
    let shown = world.get(&format!("/licenses/{license}")).token(OLGA).empty().await.ok(200);
    assert_eq!(shown["userId"], "erased", "what was sealed before is not readable under the new key");
    let own = world.get("/licenses").token(ADA).empty().await.ok(200);
    assert_eq!(own["data"][0]["id"], license.as_str(), "it is hers all the same");
}

#[tokio::test]
async fn a_ban_outlives_erasure_and_unknown_people_are_not_there() {
    let world = furnished().await;
    world.post(&format!("/admin/users/{BOB}/ban")).token(OLGA).json(&json!({})).await.ok(200);
    let erased = world.post(&format!("/admin/users/{BOB}/erase")).token(ADAM).empty().await.ok(200);
    assert_eq!((&erased["user"]["banned"], &erased["user"]["erased"]), (&json!(true), &json!(true)));
    let absent = world.post("/admin/users/12345/erase").token(ADAM).empty().await;
    assert_eq!(absent.problem(404), "NOT_FOUND");
    assert_eq!(grant(&world, OLGA, BOB, json!("admin")).await.problem(409), "USER_BANNED");
    let olga = world.post(&format!("/admin/users/{OLGA}/erase")).token(OLGA).empty().await;
    assert_eq!(olga.problem(409), "LAST_OWNER");
    let id = Pseudonym::of(world.commands.ring().as_ref(), OLGA.parse().unwrap());
    let role = world.queries.platform_role(&id).await.unwrap();
    assert_eq!(role, Some(PlatformRole::Owner), "nothing was destroyed");
    let shown = world.get(&format!("/admin/users/{OLGA}")).token(OLGA).empty().await.ok(200);
    assert_eq!(shown["id"], OLGA);
}
