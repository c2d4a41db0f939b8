//! The document of the API: as it is committed, as the router is, as real answers are.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::Method;
use serde_json::Value;

use crate::world::{Config, World};

pub(crate) fn document() -> Value {
    serde_json::from_str(&api::document()).unwrap()
}

/// With `DCA_UPDATE=1` it writes the file anew, which is what `cargo xtask openapi` does.
#[test]
fn the_committed_document_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let made = api::document();
    if std::env::var_os("DCA_UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&file, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == made,
        "docs/openapi.json is not what the code says: run `cargo xtask openapi` and commit it"
    );
}

#[tokio::test]
async fn the_document_is_served_and_kept_until_it_changes() {
    let world = World::bare(Config::default()).await;
    let reply = world.get("/openapi.json").empty().await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    let tag = reply.header("etag").unwrap().to_owned();
    assert_eq!(reply.ok(200), document());
    let again = world.get("/openapi.json").header("if-none-match", &tag).empty().await;
    assert_eq!((again.status.as_u16(), &again.body), (304, &Value::Null));
    world.get("/openapi.json?x=1").empty().await.problem(400);
}

/// What an address answers to a method that none has says which it has.
#[tokio::test]
async fn the_document_has_exactly_the_methods_of_each_address() {
    let world = World::bare(Config::default()).await;
    for (path, item) in document()["paths"].as_object().unwrap() {
        let mut wanted: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
        if wanted.contains("GET") {
            wanted.insert("HEAD".to_owned());
        }
        let address = path.replace(['{', '}'], "");
        let reply = world.ask(Method::TRACE, &address).empty().await;
        let allowed = reply.header("allow").unwrap_or_default();
        let allowed: BTreeSet<String> = allowed.split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!(allowed, wanted, "{path}");
    }
}

#[test]
fn every_operation_has_its_own_name_and_a_tag_that_is_explained() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} stands twice");
            assert!(name.contains('_') && name.chars().all(|c| c == '_' || c.is_ascii_lowercase()), "{name}");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path}");
        }
    }
}

/// The page loads its own files and nothing else, and may run no script that stands in it.
#[tokio::test]
async fn the_page_is_whole_and_has_a_policy_of_its_own() {
    let world = World::bare(Config::default()).await;
    let page = world.get("/docs").empty().await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let text = page.ok(200).as_str().unwrap().to_owned();
    assert!(!text.contains("://") && !text.contains("<script>") && !text.contains("style="), "{text}");
    let files = text.split(['"']).filter(|word| word.starts_with("/docs/"));
    let mut found = 0;
    for file in files {
        let reply = world.get(file).empty().await;
        assert!(reply.header("content-type").is_some_and(|kind| !kind.contains("octet-stream")), "{reply:?}");
        let tag = reply.header("etag").unwrap().to_owned();
        reply.ok(200);
        assert_eq!(world.get(file).header("if-none-match", &tag).empty().await.status, 304, "{file}");
        found += 1;
    }
    assert_eq!(found, 4, "{text}");
    world.get("/docs/oauth2-redirect.html").empty().await.problem(404);
}

/// What the `type` of a problem leads to: every code of the manual has its anchor on the page, letter for letter.
#[tokio::test]
async fn the_page_of_codes_has_an_anchor_for_each_and_runs_nothing() {
    let world = World::bare(Config::default()).await;
    let page = world.get("/docs/errors").empty().await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'; ") && !policy.contains("script"),
        "{policy}"
    );
    let tag = page.header("etag").unwrap().to_owned();
    let text = page.ok(200).as_str().unwrap().to_owned();
    assert_eq!(world.get("/docs/errors").header("if-none-match", &tag).empty().await.status, 304);
    assert!(!text.contains("://") && !text.contains("<script") && !text.contains("style="), "{text}");
    let manual = include_str!("../../../../docs/ERRORS.md");
    let codes: Vec<&str> = manual.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(codes.len() > 100, "{codes:?}");
    for code in &codes {
        assert_eq!(text.matches(&format!("<h2 id=\"{code}\">{code}</h2>")).count(), 1, "{code}");
        assert_eq!(text.matches(&format!("id=\"{code}\"")).count(), 1, "{code} leads to two places");
    }
    let refused = world.get("/nowhere").empty().await;
    assert_eq!(refused.problem(404), "NOT_FOUND");
    let (path, anchor) = refused.body["type"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(path, "/docs/errors");
    assert!(text.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    let style = world.get("/docs/errors.css").empty().await;
    assert!(text.contains("href=\"/docs/errors.css\"") && style.header("content-type") == Some("text/css"));
}

/// Two structs with one name would be one schema, and nobody would see which.
#[test]
fn every_schema_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for rest in text.split(", ToSchema)]").skip(1) {
                let head = rest.split(['{', ';']).next().unwrap();
                let given =
                    head.split_once("#[schema(as = ").map(|(_, rest)| rest.split(')').next().unwrap());
                let own = || head.split_once("struct ").or_else(|| head.split_once("enum ")).unwrap().1;
                let plain = |text: &str| text.split(['<', ' ']).next().unwrap().to_owned();
                let name = given.map_or_else(|| plain(own()), str::to_owned);
                assert!(
                    names.insert(name.clone()),
                    "{name} in {} is the name of another schema",
                    path.display()
                );
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
}
