//! Registering application commands.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, code};

fn command(name: &str) -> Value {
    json!({"name": name, "description": "d", "options": []})
}

#[tokio::test]
async fn commands_are_overwritten_as_a_whole_and_keep_their_ids() {
    let world = World::start().await;
    let path = format!("/applications/{}/commands", world.fake.application_id());
    let (status, first) = world.api(Method::PUT, &path, json!([command("license"), command("device")])).await;
    assert_eq!(status, 200, "{first}");
    let (_, second) =
        world.api(Method::PUT, &path, json!([command("license"), {"name": "Licenses", "type": 2}])).await;
    assert_eq!(first[0]["id"], second[0]["id"]);
    let (_, listed) = world.get(&path).await;
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["license", "Licenses"]);
    let one = format!("{path}/{}", second[0]["id"].as_str().unwrap());
    let (_, edited) = world.api(Method::PATCH, &one, json!({"description": "other"})).await;
    assert_eq!((&edited["description"], &edited["id"]), (&json!("other"), &second[0]["id"]));
    assert_eq!(world.api(Method::POST, &path, command("license")).await.0, 200);
    assert_eq!(world.api(Method::POST, &path, command("sync")).await.0, 201);
    assert_eq!(world.api(Method::DELETE, &one, Value::Null).await.0, 204);
    assert_eq!(code(&world.get(&one).await), (404, 10_063));
    let guild = format!("/applications/{}/guilds/{}/commands", world.fake.application_id(), world.guild);
    assert_eq!(world.api(Method::PUT, &guild, json!([command("here")])).await.0, 200);
    assert_eq!(world.get(&guild).await.1.as_array().unwrap().len(), 1);
    assert_eq!(world.get(&path).await.1.as_array().unwrap().len(), 2);
    let elsewhere = format!("/applications/{}/guilds/5/commands", world.fake.application_id());
    assert_eq!(code(&world.get(&elsewhere).await), (403, 50_001));
    assert_eq!(code(&world.get("/applications/5/commands").await), (404, 10_002));
}

fn with(member: &str, value: Value) -> Value {
    let mut body = command("license");
    body[member] = value;
    body
}

fn sub_command() -> Value {
    json!({"type": 1, "name": "s", "description": "d"})
}

/// Commands that are wrong, and where.
fn wrong_commands() -> Vec<(&'static str, Value, &'static str)> {
    let option = |change: Value| {
        let mut option = json!({"type": 3, "name": "key", "description": "d"});
        for (name, value) in change.as_object().unwrap() {
            option[name] = value.clone();
        }
        option
    };
    let sub = sub_command();
    vec![
        ("capitals", with("name", json!("License")), "/0/name"),
        ("a space", with("name", json!("a b")), "/0/name"),
        ("a long name", with("name", json!("x".repeat(33))), "/0/name"),
        ("no description", with("description", json!("")), "/0/description"),
        ("a long description", with("description", json!("x".repeat(101))), "/0/description"),
        ("an unknown member", with("colour", json!(1)), "/0/colour"),
        ("a description in a menu", json!({"name": "M", "type": 2, "description": "d"}), "/0/description"),
        ("26 options", with("options", json!(vec![option(json!({})); 26])), "/0/options"),
        (
            "an option twice",
            with("options", json!([option(json!({})), option(json!({}))])),
            "/0/options/1/name",
        ),
        (
            "required after optional",
            with("options", json!([option(json!({})), option(json!({"name": "b", "required": true}))])),
            "/0/options/1",
        ),
        (
            "26 choices",
            with(
                "options",
                json!([option(json!({"choices": vec![json!({"name": "a", "value": "a"}); 26]}))]),
            ),
            "/0/options/0/choices",
        ),
        (
            "choices with autocomplete",
            with(
                "options",
                json!([option(json!({"autocomplete": true, "choices": [{"name": "a", "value": "a"}]}))]),
            ),
            "/0/options/0",
        ),
        (
            "an unknown language",
            with("name_localizations", json!({"xx": "name"})),
            "/0/name_localizations/xx",
        ),
        (
            "a capital in a language",
            with("name_localizations", json!({"de": "Lizenz"})),
            "/0/name_localizations/de",
        ),
        (
            "a sub-command in a sub-command",
            with("options", json!([{"type": 1, "name": "a", "description": "d", "options": [sub]}])),
            "/0/options/0/options/0",
        ),
    ]
}

#[tokio::test]
async fn shapes_of_commands_are_checked() {
    let world = World::start().await;
    let path = format!("/applications/{}/commands", world.fake.application_id());
    for (what, body, place) in wrong_commands() {
        let answer = world.api(Method::PUT, &path, json!([body])).await;
        assert_eq!(code(&answer), (400, 50_035), "{what}: {}", answer.1);
        assert!(answer.1["errors"].pointer(&format!("{place}/_errors")).is_some(), "{what}: {}", answer.1);
    }
    assert_eq!(
        code(&world.api(Method::PUT, &path, json!([command("a"), command("a")])).await),
        (400, 50_035)
    );
    let many: Vec<Value> = (0..101).map(|i| command(&format!("c{i}"))).collect();
    assert_eq!(code(&world.api(Method::PUT, &path, json!(many)).await), (400, 30_032));
    let sub = sub_command();
    let group = json!({"type": 2, "name": "license", "description": "d", "options": [sub]});
    let mut good = command("license");
    good["options"] = json!([group, sub]);
    assert_eq!(world.api(Method::PUT, &path, json!([good])).await.0, 200);
}
