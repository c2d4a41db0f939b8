//! Messages: direct ones with nonce and closed doors, text channels, limits of shape, files.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, code};

#[tokio::test]
async fn an_enforced_nonce_sends_once() {
    let world = World::start().await;
    world.must(Method::PUT, "/limits", json!({"enabled": false})).await;
    let channel = world.dm(&world.ada).await;
    assert_eq!(world.dm(&world.ada).await, channel);
    let path = format!("/channels/{channel}/messages");
    let send = async |content: &str, nonce: Value, enforce: bool| {
        let body = json!({"content": content, "nonce": nonce, "enforce_nonce": enforce});
        let (status, message) = world.api(Method::POST, &path, body).await;
        assert_eq!(status, 200, "{message}");
        message
    };
    let first = send("a", json!("n-1"), true).await;
    assert_eq!(first["nonce"], "n-1");
    let second = send("b", json!("n-1"), true).await;
    assert_eq!((&second["id"], &second["content"]), (&first["id"], &json!("a")));
    assert_eq!(world.inbox(&world.ada).await.len(), 1);
    send("c", json!("n-2"), true).await;
    send("d", json!("n-1"), false).await;
    assert_eq!(world.inbox(&world.ada).await.len(), 3);
    // After a few minutes it is forgotten.
    world.must(Method::POST, "/clock", json!({"advanceS": 301})).await;
    let later = send("e", json!("n-1"), true).await;
    assert_eq!(later["content"], "e");
    assert_eq!(world.inbox(&world.ada).await.len(), 4);
}

#[tokio::test]
async fn doors_that_are_closed() {
    let world = World::start().await;
    let channel = world.dm(&world.ada).await;
    let path = format!("/channels/{channel}/messages");
    let send = async || code(&world.api(Method::POST, &path, json!({"content": "x"})).await);
    assert_eq!(send().await, (200, 0));
    let dms = format!("/users/{}/dms", world.ada);
    world.must(Method::PUT, &dms, json!({"closed": true})).await;
    assert_eq!(send().await, (403, 50_007));
    assert_eq!(world.dm(&world.ada).await, channel);
    world.must(Method::PUT, &dms, json!({"closed": false})).await;
    let member = format!("/guilds/{}/members/{}", world.guild, world.ada);
    world.must(Method::DELETE, &member, Value::Null).await;
    assert_eq!(send().await, (403, 50_278));
    assert_eq!(world.inbox(&world.ada).await.len(), 1);
    let open = async |id: Value| {
        code(&world.api(Method::POST, "/users/@me/channels", json!({"recipient_id": id})).await)
    };
    assert_eq!(open(json!("77")).await, (404, 10_013));
    assert_eq!(open(json!(world.fake.bot_id().to_string())).await, (400, 50_033));
    assert_eq!(open(json!("x")).await, (400, 50_035));
}

#[tokio::test]
async fn text_channels_have_permissions() {
    let world = World::start().await;
    let guild = &world.guild;
    let channel = world.make(&format!("/guilds/{guild}/channels"), json!({"name": "log"})).await;
    let path = format!("/channels/{channel}/messages");
    let control = format!("/guilds/{guild}/channels/{channel}");
    for (rights, expected) in [
        (json!({}), (200, 0)),
        (json!({"canSend": false}), (403, 50_013)),
        (json!({"canView": false}), (403, 50_001)),
        (json!({"canSend": true, "canView": true}), (200, 0)),
    ] {
        world.must(Method::PUT, &control, rights.clone()).await;
        let answer = world.api(Method::POST, &path, json!({"content": "x"})).await;
        assert_eq!(code(&answer), expected, "{rights}");
    }
    assert_eq!(code(&world.get("/channels/77").await), (404, 10_003));
    let shown = world.must(Method::GET, &format!("/channels/{channel}/messages"), Value::Null).await;
    assert_eq!(shown.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn shapes_are_checked_and_errors_say_where() {
    let world = World::start().await;
    world.must(Method::PUT, "/limits", json!({"enabled": false})).await;
    let channel = world.dm(&world.ada).await;
    let path = format!("/channels/{channel}/messages");
    let button = |id: &str| json!({"type": 2, "style": 1, "custom_id": id, "label": "b"});
    let row = |items: Value| json!({"type": 1, "components": items});
    let text = |n: usize| "x".repeat(n);
    let bad = [
        (json!({"content": text(2_001)}), "/content"),
        (json!({"content": "x", "nonce": text(26)}), "/nonce"),
        (json!({"content": "x", "unheard_of": 1}), "/unheard_of"),
        (json!({"content": 5}), "/content"),
        (json!({"embeds": vec![json!({"title": "t"}); 11]}), "/embeds"),
        (json!({"embeds": [{"title": text(257)}]}), "/embeds/0/title"),
        (json!({"embeds": [{"description": text(4_097)}]}), "/embeds/0/description"),
        (json!({"embeds": [{"fields": [{"name": "", "value": "v"}]}]}), "/embeds/0/fields/0/name"),
        (json!({"embeds": vec![json!({"description": text(3_001)}); 2]}), "/embeds"),
        (json!({"components": vec![row(json!([button("a")])); 6]}), "/components"),
        (json!({"components": [button("a")]}), "/components/0/type"),
        (
            json!({"components": [row(json!([button("a"), button("a")]))]}),
            "/components/0/components/1/custom_id",
        ),
        (
            json!({"components": [row(json!([{"type": 2, "style": 1, "label": "b"}]))]}),
            "/components/0/components/0/custom_id",
        ),
        (
            json!({"components": [row(json!([{"type": 2, "style": 5, "label": "b"}]))]}),
            "/components/0/components/0/url",
        ),
        (
            json!({"components": [row(json!([{"type": 4, "custom_id": "t"}]))]}),
            "/components/0/components/0/type",
        ),
        (json!({"content": "x", "components": [{"type": 10, "content": "x"}]}), "/components/0/type"),
        (json!({"flags": 1 << 15, "content": "x", "components": [{"type": 10, "content": "x"}]}), "/content"),
    ];
    for (body, place) in bad {
        let answer = world.api(Method::POST, &path, body.clone()).await;
        assert_eq!(code(&answer), (400, 50_035), "{body}");
        let errors = answer.1["errors"].pointer(&format!("{place}/_errors"));
        assert!(errors.is_some(), "{place} in {}", answer.1);
    }
    for empty in [json!({}), json!({"content": ""}), json!({"content": null, "embeds": []})] {
        assert_eq!(code(&world.api(Method::POST, &path, empty).await), (400, 50_006));
    }
    let sent_by_serenity = json!({
        "content": "x", "tts": false, "embeds": [], "sticker_ids": [], "attachments": [], "enforce_nonce": false,
    });
    let v2 = json!({"flags": 1 << 15, "components": [{"type": 17, "components": [{"type": 10, "content": "x"}, row(json!([button("a")]))]}]});
    for good in
        [sent_by_serenity, v2, json!({"components": [row(json!([button("a")]))], "content": text(2_000)})]
    {
        let answer = world.api(Method::POST, &path, good).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
    assert_eq!(world.inbox(&world.ada).await.len(), 3);
    let torn = world
        .bot(Method::POST, &path)
        .header("content-type", "application/json")
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(torn.status(), 400);
}

#[tokio::test]
async fn messages_are_read_changed_and_deleted() {
    let world = World::start().await;
    world.must(Method::PUT, "/limits", json!({"enabled": false})).await;
    let channel = world.dm(&world.ada).await;
    let path = format!("/channels/{channel}/messages");
    let mut ids = Vec::new();
    for i in 0..5 {
        let (_, message) = world.api(Method::POST, &path, json!({"content": i.to_string()})).await;
        ids.push(message["id"].as_str().unwrap().to_owned());
    }
    for (query, expected) in [
        ("limit=2".to_owned(), vec!["4", "3"]),
        (format!("limit=2&before={}", ids[3]), vec!["2", "1"]),
        (format!("limit=2&after={}", ids[1]), vec!["3", "2"]),
        (String::new(), vec!["4", "3", "2", "1", "0"]),
    ] {
        let (_, page) = world.get(&format!("{path}?{query}")).await;
        let contents: Vec<&str> =
            page.as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
        assert_eq!(contents, expected, "{query}");
    }
    let one = format!("{path}/{}", ids[0]);
    let (_, edited) = world.api(Method::PATCH, &one, json!({"content": "new"})).await;
    assert!(edited["edited_timestamp"].is_string());
    assert_eq!(world.get(&one).await.1["content"], "new");
    assert_eq!(world.api(Method::DELETE, &one, Value::Null).await.0, 204);
    assert_eq!(code(&world.get(&one).await), (404, 10_008));
    assert_eq!(world.inbox(&world.ada).await.len(), 4);
}

#[tokio::test]
async fn a_file_that_is_sent_can_be_fetched() {
    let world = World::start().await;
    let channel = world.dm(&world.ada).await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"content\":\"here\"}\r\n--b\r\n\
        Content-Disposition: form-data; name=\"files[0]\"; filename=\"keys.csv\"\r\nContent-Type: text/csv\r\n\r\n\
        a,b\r\n--b--\r\n";
    let request = world.bot(Method::POST, &format!("/channels/{channel}/messages"));
    let request = request.header("content-type", "multipart/form-data; boundary=b").body(body);
    let message: Value = request.send().await.unwrap().json().await.unwrap();
    let file = &message["attachments"][0];
    assert_eq!((&file["filename"], &file["size"]), (&json!("keys.csv"), &json!(3)));
    let fetched = world.http.get(file["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(fetched.headers()["content-disposition"], "attachment");
    assert_eq!(fetched.text().await.unwrap(), "a,b");
    // An edit keeps the files that it lists, and all of them if it lists none.
    let one = format!("/channels/{channel}/messages/{}", message["id"].as_str().unwrap());
    let (_, edited) = world.api(Method::PATCH, &one, json!({"content": "there"})).await;
    assert_eq!(edited["attachments"], message["attachments"]);
    let (_, edited) = world.api(Method::PATCH, &one, json!({"attachments": [{"id": file["id"]}]})).await;
    assert_eq!(edited["attachments"], message["attachments"]);
    let (_, edited) = world.api(Method::PATCH, &one, json!({"attachments": []})).await;
    assert_eq!(edited["attachments"], json!([]));
}
