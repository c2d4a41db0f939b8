//! REST: guilds, members, roles, and what is no route.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{GUILDS, MEMBERS, TOKEN, World, code};

#[tokio::test]
async fn only_the_bots_token_opens_and_failures_are_counted() {
    let world = World::start().await;
    for header in [None, Some("Bot wrong"), Some("Bearer wrong"), Some(TOKEN)] {
        let mut request = world.http.get(format!("{}/api/v10/users/@me", world.fake.url()));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        assert_eq!(request.send().await.unwrap().status(), 401, "{header:?}");
    }
    assert_eq!(world.get("/users/@me").await.1["id"], world.fake.bot_id().to_string());
    let limits = world.must(Method::GET, "/limits", Value::Null).await;
    assert_eq!((&limits["invalidRequests"], &limits["requests"]), (&json!(4), &json!(1)));
    let old = world.http.get(format!("{}/api/v9/gateway", world.fake.url())).send().await.unwrap();
    assert_eq!(old.status(), 400);
}

#[tokio::test]
async fn an_unknown_route_is_404_and_marked_in_the_journal() {
    let world = World::start().await;
    assert_eq!(code(&world.get("/guilds/1/nonsense").await), (404, 0));
    let unknown: Vec<Value> =
        world.journal().await.into_iter().filter(|entry| entry["unknown"] == json!(true)).collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!((&unknown[0]["method"], &unknown[0]["path"]), (&json!("GET"), &json!("/guilds/1/nonsense")));
}

#[tokio::test]
async fn guilds_show_what_they_are() {
    let world = World::start().await;
    let guild = &world.guild;
    let (_, shape) = world.get(&format!("/guilds/{guild}?with_counts=true")).await;
    assert_eq!((&shape["name"], &shape["approximate_member_count"]), (&json!("Test"), &json!(3)));
    let (_, roles) = world.get(&format!("/guilds/{guild}/roles")).await;
    let names: Vec<&str> =
        roles.as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["@everyone", "DCA-Auth", "Pro"]);
    assert_eq!(roles[0]["id"], json!(guild));
    assert_eq!(roles[1]["tags"]["bot_id"], world.fake.bot_id().to_string());
    let (_, channels) = world.get(&format!("/guilds/{guild}/channels")).await;
    let names: Vec<&str> = channels.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["general", "license-log"]);
    let (_, own) = world.get("/users/@me/guilds").await;
    assert_eq!(own[0]["id"], json!(guild));
    assert_eq!(code(&world.get("/guilds/5").await), (404, 10_004));
}

#[tokio::test]
async fn lists_of_members_are_paged_by_id_and_end() {
    let world = World::start().await;
    let guild = &world.guild;
    let crowd = json!({"count": 24_997, "roles": [world.pro], "quiet": true});
    world.must(Method::POST, &format!("/guilds/{guild}/crowd"), crowd).await;
    world.must(Method::PUT, "/limits", json!({"enabled": false})).await;
    let (mut after, mut seen, mut pages) = (0_u64, 0, 0);
    loop {
        let (status, page) = world.get(&format!("/guilds/{guild}/members?limit=1000&after={after}")).await;
        assert_eq!(status, 200);
        let ids: Vec<u64> = page
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["user"]["id"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]) && ids.iter().all(|id| *id > after));
        pages += 1;
        seen += ids.len();
        match ids.last() {
            Some(last) => after = *last,
            None => break,
        }
    }
    // 25,000 with the bot, the owner and Ada: full pages, and an empty one that says it is over.
    assert_eq!((seen, pages), (25_000, 26));
    for (query, expected) in
        [("limit=0", 400), ("limit=1001", 400), ("limit=x", 400), ("after=x", 400), ("", 200)]
    {
        assert_eq!(world.get(&format!("/guilds/{guild}/members?{query}")).await.0, expected, "{query}");
    }
    world.put_settings(json!({"memberIntent": false})).await;
    assert_eq!(code(&world.get(&format!("/guilds/{guild}/members?limit=1")).await), (403, 50_001));
    assert_eq!(world.get(&format!("/guilds/{guild}/members/{}", world.ada)).await.0, 200);
    let (_, found) = world.get(&format!("/guilds/{guild}/members/search?query=aD&limit=10")).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["user"]["username"], "Ada");
}

#[tokio::test]
async fn a_member_that_left_is_told_from_one_that_never_was() {
    let world = World::start().await;
    let path = format!("/guilds/{}/members/{}", world.guild, world.ada);
    assert_eq!(world.get(&path).await.1["user"]["username"], "Ada");
    world.must(Method::DELETE, &path, Value::Null).await;
    assert_eq!(code(&world.get(&path).await), (404, 10_007));
    assert_eq!(code(&world.get(&format!("/guilds/{}/members/77", world.guild)).await), (404, 10_013));
    let state = world.must(Method::GET, "/state", Value::Null).await;
    let members = state["guilds"][0]["members"].as_array().unwrap();
    let ada = members.iter().find(|member| member["id"] == json!(world.ada)).unwrap();
    assert_eq!((&ada["present"], &ada["roles"]), (&json!(false), &json!([])));
}

#[tokio::test]
async fn roles_are_given_below_the_bots_own_only_and_come_back_as_events() {
    let world = World::start().await;
    world.must(Method::PUT, "/limits", json!({"enabled": false})).await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    let guild = world.guild.clone();
    let role = |body: Value| {
        let path = format!("/guilds/{guild}/roles");
        let world = &world;
        async move { world.make(&path, body).await }
    };
    let above = role(json!({"name": "Admin", "position": 200})).await;
    let level = role(json!({"name": "Level", "position": 100})).await;
    let managed = role(json!({"name": "Booster", "position": 2, "managed": true})).await;
    let (_, roles) = world.get(&format!("/guilds/{guild}/roles")).await;
    let own = roles.as_array().unwrap().iter().find(|r| r["name"] == "DCA-Auth").unwrap()["id"].clone();
    let path = |role: &str| format!("/guilds/{guild}/members/{}/roles/{role}", world.ada);
    for (role, expected) in [
        (world.pro.as_str(), (204, 0)),
        (&above, (403, 50_013)),
        // At the same position the older role, the bot's, is the higher.
        (&level, (204, 0)),
        (&managed, (403, 50_013)),
        (own.as_str().unwrap(), (403, 50_013)),
        (&guild, (403, 50_013)),
        ("77", (404, 10_011)),
    ] {
        for method in [Method::PUT, Method::DELETE, Method::PUT] {
            let answer = world.api(method.clone(), &path(role), Value::Null).await;
            assert_eq!(code(&answer), expected, "{method} {role}");
        }
    }
    let updates = socket.events().await;
    assert_eq!(updates.iter().filter(|name| *name == "GUILD_MEMBER_UPDATE").count(), 6);
    let again = world.api(Method::PUT, &path(&world.pro), Value::Null).await;
    assert_eq!((again.0, socket.events().await), (204, Vec::new()));
    // Moved below the role, or without the permission, the bot can do nothing.
    let own_path = format!("/guilds/{guild}/roles/{}", own.as_str().unwrap());
    world.must(Method::PUT, &own_path, json!({"position": 1})).await;
    assert_eq!(code(&world.api(Method::DELETE, &path(&level), Value::Null).await), (403, 50_013));
    world.must(Method::PUT, &own_path, json!({"position": 300, "permissions": "0"})).await;
    assert_eq!(code(&world.api(Method::DELETE, &path(&level), Value::Null).await), (403, 50_013));
}

#[tokio::test]
async fn the_reason_for_the_audit_log_is_in_the_journal() {
    let world = World::start().await;
    let path = format!("/guilds/{}/members/{}/roles/{}", world.guild, world.ada, world.pro);
    let request = world.bot(Method::PUT, &path).header("x-audit-log-reason", "grace%20over");
    assert_eq!(request.send().await.unwrap().status(), 204);
    let journal = world.journal().await;
    let entry = journal.iter().find(|entry| entry["path"] == json!(path)).unwrap();
    assert_eq!((&entry["reason"], &entry["status"]), (&json!("grace over"), &json!(204)));
}

#[tokio::test]
async fn linked_role_metadata_is_checked_and_kept() {
    let world = World::start().await;
    let path = format!("/applications/{}/role-connections/metadata", world.fake.application_id());
    let record = json!({"type": 7, "key": "active", "name": "Active", "description": "Has a license"});
    assert_eq!(world.api(Method::PUT, &path, json!([record])).await.0, 200);
    assert_eq!(world.get(&path).await.1, json!([record]));
    for bad in [
        json!([{"type": 9, "key": "a", "name": "A", "description": "d"}]),
        json!([{"key": "A B"}]),
        json!(vec![record; 6]),
    ] {
        assert_eq!(code(&world.api(Method::PUT, &path, bad).await), (400, 50_035));
    }
}

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    let settings =
        fake_discord::Settings { listen: "0.0.0.0:0".parse().unwrap(), ..fake_discord::Settings::local("t") };
    let error = fake_discord::FakeDiscord::start(settings).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}
