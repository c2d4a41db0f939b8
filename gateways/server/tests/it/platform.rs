//! The platform's people end to end: the printed sign-in link makes one owner, a role that is taken is gone everywhere, and an
//! erased person is gone from every store and begins anew by signing in.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::discord::until;
use crate::on_every_engine_and_two_instances;
use crate::sign_in::{Site, text};
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    the_printed_link_makes_one_owner,
    a_role_that_is_taken_is_gone_everywhere,
    an_erased_person_is_gone_and_begins_anew,
    what_is_sealed_after_an_erasure_goes_with_the_next,
);

/// The claim in the last link that a server printed.
fn printed_claim(world: &World) -> Option<String> {
    let printed = world.printed();
    let last = printed.rsplit("DCA-Auth ").next().unwrap().to_owned();
    let (_, rest) = last.split_once("/auth/discord?claim=")?;
    Some(rest.split_whitespace().next().unwrap().to_owned())
}

/// Begins a sign-in with a claim: where to agree, and the login token.
async fn begin(site: &Site, claim: &str) -> (String, String) {
    let begun = site.post("/auth/discord", json!({ "claim": claim })).await.expect(200);
    (text(&begun["authorizationUrl"]), text(&begun["loginToken"]))
}

async fn the_printed_link_makes_one_owner(engine: Engine) {
    let mut site = Site::start(engine, &[]).await;
    let claim = printed_claim(&site.world).expect("the banner prints a link");
    let again = site.world.cli(&["admin", "sign-in-link"]).await;
    assert!(text(&again["url"]).ends_with(&format!("/auth/discord?claim={claim}")), "{again}");
    let altered = claim.replace(&claim[..1], if claim.starts_with('A') { "B" } else { "A" });
    for bad in [altered.as_str(), "x"] {
        let refused = site.post("/auth/discord", json!({ "claim": bad })).await;
        assert_eq!((refused.status, refused.code()), (409, "CLAIM_VOID"), "{bad}");
    }
    // A sign-in that was begun without a claim cannot get one on the way.
    let plain = site.post("/auth/discord", json!({})).await.expect(200);
    let returned = site.agree(&text(&plain["authorizationUrl"]), &site.ada).await;
    let smuggled = site.finish(&returned, &format!("{}.{claim}", text(&plain["loginToken"]))).await;
    assert_eq!((smuggled.status, smuggled.code()), (400, "STATE_MISMATCH"));
    // Two at the same moment, and a third that was begun in time and comes back late.
    let ((one_url, one), (two_url, two)) = tokio::join!(begin(&site, &claim), begin(&site, &claim));
    let (late_url, late) = begin(&site, &claim).await;
    assert!(!one_url.contains(&claim), "Discord does not see it");
    let ada = site.agree(&one_url, &site.ada).await;
    let bob = site.agree(&two_url, &site.bob).await;
    let (ada, bob) = tokio::join!(site.finish(&ada, &one), site.finish(&bob, &two));
    let mut both = [ada, bob];
    both.sort_by_key(|answer| answer.status);
    let statuses = both.each_ref().map(|answer| answer.status);
    assert_eq!(statuses, [200, 409], "{both:?}");
    assert_eq!(both[1].code(), "CLAIM_VOID");
    let owner = text(&both[0].body["accessToken"]);
    let me = site.me(&owner).await.expect(200);
    assert_eq!(me["user"]["platformRole"], "owner", "{me:#}");
    let third = site.agree(&late_url, &site.bob).await;
    let third = site.finish(&third, &late).await;
    assert_eq!((third.status, third.code()), (409, "CLAIM_VOID"), "{:#}", third.body);
    let used = site.post("/auth/discord", json!({ "claim": claim })).await;
    assert_eq!((used.status, used.code()), (409, "CLAIM_VOID"));
    let none = site.world.run(&["admin", "sign-in-link"]).await;
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("has an owner"));
    // Who signs in without it is nobody in particular.
    let trail = "/admin/audit-log?type=platform.ownership_claimed";
    let listed = site.with_token(&owner, "GET", trail).await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "it is recorded once");
    // The log knows it after a restart, and another owner is another link.
    site.world.crash().await;
    assert_eq!(printed_claim(&site.world), None);
    let id = text(&me["user"]["id"]);
    let lost = site.world.cli(&["admin", "revoke", &id, "--reason", "left"]).await;
    assert_eq!(lost["platformRole"], Value::Null);
    let next = text(&site.world.cli(&["admin", "sign-in-link"]).await["url"]);
    assert!(!next.contains(&claim), "the old link stays void");
    let (dump, log) = (site.world.dump().await, site.world.log());
    assert!(!dump.contains(&claim) && !log.contains(&claim), "no claim is kept");
    site.world.verify().await;
}

/// Waits until every process refuses; within the published bound.
async fn refused_everywhere(site: &Site, token: &str, path: &str) {
    let begin = Instant::now();
    for _ in 0..2 {
        while site.with_token(token, "GET", path).await.status != 403 {
            assert!(begin.elapsed() < Duration::from_secs(2), "a role that was taken goes on");
        }
    }
}

/// A role that was given on the command line, whose answer names no position, is heard of within the bound by each instance.
async fn heard_everywhere(site: &Site, token: &str, path: &str) {
    let begin = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 2 {
        in_a_row = if site.with_token(token, "GET", path).await.status == 200 { in_a_row + 1 } else { 0 };
        assert!(begin.elapsed() < Duration::from_secs(2), "a role that was given is not heard of");
    }
}

async fn a_role_that_is_taken_is_gone_everywhere(engine: Engine) {
    let mut site = Site::start(engine, &[]).await;
    let (ada, _) = site.sign_in().await;
    let users = "/admin/users";
    assert_eq!(site.with_token(&ada, "GET", users).await.code(), "FORBIDDEN");
    let id = site.ada.clone();
    let granted = site.world.cli(&["admin", "grant", &id, "admin"]).await;
    assert_eq!(granted["platformRole"], "admin");
    heard_everywhere(&site, &ada, users).await;
    // Taken: gone at the next request to the process that did it, and within the bound everywhere.
    let role = format!("/admin/users/{id}/role");
    site.world.turn_of_the_first();
    site.world.owner("PUT", &role, json!({ "role": null })).await.expect(200);
    site.world.turn_of_the_first();
    assert_eq!(site.with_token(&ada, "GET", users).await.code(), "FORBIDDEN");
    refused_everywhere(&site, &ada, users).await;
    site.world.owner("PUT", &role, json!({ "role": "owner" })).await.expect(200);
    // Whoever names the position of the grant has the role at once, wherever he asks.
    for _ in 0..2 {
        site.with_token(&ada, "GET", users).await.expect(200);
    }
    let bearer = format!("Bearer {ada}");
    let headers = [("Authorization", bearer.as_str())];
    let last = site.world.ask("PUT", &role, &headers, json!({ "role": null })).await;
    assert_eq!((last.status, last.code()), (409, "LAST_OWNER"), "{:#}", last.body);
    // A ban takes the role as well.
    site.world.owner("POST", &format!("/admin/users/{id}/ban"), json!({})).await.expect(200);
    refused_everywhere(&site, &ada, users).await;
    let shown = site.world.owner("GET", &format!("/admin/users/{id}"), Value::Null).await.expect(200);
    assert_eq!((&shown["banned"], &shown["platformRole"]), (&json!(true), &Value::Null));
    site.world.crash().await;
    assert_eq!(site.with_token(&ada, "GET", users).await.code(), "FORBIDDEN", "no restart brings it back");
    site.world.verify().await;
}

/// Staff give an erased person a license, and erase him again: the read models hear of it.
async fn what_is_sealed_after_an_erasure_goes_with_the_next(engine: Engine) {
    let mut world = World::demo(engine).await;
    let (license, _) = world.generate("pro", 1).await.remove(0);
    let (path, ada) = (format!("/licenses/{license}"), world.facts.ada.clone());
    let erase = format!("/admin/users/{ada}/erase");
    world.owner("POST", &erase, json!({})).await.expect(200);
    world.owner("POST", &format!("{path}/assign"), json!({ "userId": ada })).await.expect(200);
    assert_eq!(world.owner("GET", &path, Value::Null).await.expect(200)["userId"], json!(ada));
    world.verify().await;
    world.owner("POST", &erase, json!({})).await.expect(200);
    assert_eq!(world.owner("GET", &path, Value::Null).await.expect(200)["userId"], "erased");
    world.verify().await;
}

async fn an_erased_person_is_gone_and_begins_anew(engine: Engine) {
    let mut site = Site::start(engine, &[]).await;
    let (first, _) = site.sign_in().await;
    let before = site.me(&first).await.expect(200);
    assert_eq!(before["user"]["email"], "ada@example.com");
    let path = format!("/admin/users/{}/erase", site.ada);
    let planned = site.world.owner("POST", &path, json!({ "dryRun": true })).await.expect(200);
    assert_eq!(planned["removed"]["sessions"], 1, "{planned:#}");
    let erased = site.world.owner("POST", &path, json!({})).await.expect(200);
    assert_eq!((&erased["user"]["erased"], &erased["removed"]["sessions"]), (&json!(true), &json!(1)));
    site.refused_everywhere(&first).await;
    let id = site.ada.clone();
    until("no store holds a trace", || async {
        let dump = site.world.dump().await;
        let traces = ["ada@example.com", id.as_str()].iter().any(|text| dump.contains(text));
        (!traces).then_some(())
    })
    .await;
    site.world.verify().await;
    // She signs in again.
    let (second, _) = site.sign_in().await;
    let me = site.me(&second).await.expect(200);
    assert_eq!((&me["user"]["id"], &me["user"]["email"]), (&json!(id), &json!("ada@example.com")), "{me:#}");
    assert_eq!(me["user"]["erased"], false);
    let shown = site.world.owner("GET", &format!("/admin/users/{id}"), Value::Null).await.expect(200);
    assert_eq!(shown["username"], "ada");
    site.world.crash().await;
    assert_eq!(site.me(&second).await.status, 200);
    site.world.verify().await;
}
