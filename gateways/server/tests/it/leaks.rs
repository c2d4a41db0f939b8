//! What no store and no log may hold: license keys, API keys, tokens, secrets of the key ring. Each deployment of these tests
//! is searched for them when its test has ended, so every path of the suite is. Secrets are told by their form, and what could
//! be chance by its check symbols; whoever leaks one need not be known beforehand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::bytes::Regex;
use serde_json::Value;

use crate::world::{Engine, dump_postgres};

/// Folders and files beside the database that hold secrets because they are made for it: the key ring, and the simulated
/// Discord, which keeps the messages that people got.
const KEEPERS: [&str; 2] = ["keys", "discord.jsonl"];

/// One form of a secret.
struct Form {
    what: &'static str,
    pattern: Regex,
    is_one: fn(&str) -> bool,
}

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let form = |what, pattern: &str, is_one| Form { what, pattern: Regex::new(pattern).unwrap(), is_one };
    vec![
        form("an API key", "dca_(?:pub|sec)_[0-9A-Za-z]{40,}", |_| true),
        form("a refresh token", "dcar_[0-9A-Za-z_-]{60,}", |_| true),
        form("a JSON Web Token", r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{40,}", |_| true),
        form(
            "a license key",
            "(?i-u)[A-Z]{2,8}-?(?:[0-9A-HJKMNP-TV-Z]{5}-?){8}[0-9A-HJKMNP-TV-Z]{6}",
            domain::key::is_well_formed,
        ),
    ]
});

/// The first secret in these bytes, by its form or because it is one of `known`.
fn found(bytes: &[u8], known: &BTreeSet<String>) -> Option<String> {
    for form in FORMS.iter() {
        let texts = form.pattern.find_iter(bytes).filter_map(|one| std::str::from_utf8(one.as_bytes()).ok());
        if let Some(text) = texts.into_iter().find(|text| (form.is_one)(text)) {
            return Some(format!("{}: {text}", form.what));
        }
    }
    let text = String::from_utf8_lossy(bytes);
    known
        .iter()
        .find(|secret| text.contains(secret.as_str()))
        .map(|secret| format!("a secret of the key ring: {secret}"))
}

/// Every secret of the key rings below a data folder.
pub(crate) fn ring_secrets(data_dir: &Path) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for mode in ["demo", "live"] {
        let Ok(text) = std::fs::read_to_string(data_dir.join(mode).join("keys/ring.json")) else { continue };
        let Ok(ring) = serde_json::from_str::<Value>(&text) else { continue };
        secrets.extend(ring["root"].as_str().map(str::to_owned));
        for list in ring.as_object().into_iter().flat_map(|ring| ring.values()) {
            let entries = list["secrets"].as_array().into_iter().flatten();
            secrets.extend(entries.filter_map(|entry| entry["secret"].as_str().map(str::to_owned)));
        }
    }
    secrets
}

/// Searches what a deployment leaves behind; its processes have ended, its servers have not.
///
/// # Panics
/// If there is a secret anywhere.
pub(crate) fn search(root: &Path, data_dir: &Path, engine: &Engine) {
    let known = ring_secrets(data_dir);
    let check = |what: &str, bytes: &[u8]| {
        if let Some(secret) = found(bytes, &known) {
            panic!("{what} holds {secret}");
        }
    };
    check("the log", &std::fs::read(root.join("stderr.log")).unwrap_or_default());
    for file in files(data_dir) {
        check(&file.display().to_string(), &std::fs::read(&file).unwrap_or_default());
    }
    if let Some(url) = engine.database_url() {
        check("PostgreSQL", &rows(url));
    }
    if let Some(nats) = engine.nats() {
        check("NATS", &nats.files());
    }
    if let Some(redis) = engine.redis() {
        check("Redis", &redis.saved());
    }
}

/// Every row of a database. Some tests have a server of their own, and end it before their deployment.
fn rows(url: &str) -> Vec<u8> {
    let url = url.to_owned();
    // A test ends inside a runtime, in which nothing may be waited for.
    let read = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(dump_postgres(&url))
    });
    match read.join().expect("the database can be read") {
        Ok(text) => text.into_bytes(),
        Err(sqlx::Error::Io(_)) => Vec::new(),
        Err(error) => panic!("the database cannot be searched: {error}"),
    }
}

/// What stands below a folder, without what is made to hold secrets.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if KEEPERS.iter().any(|keeper| path.ends_with(keeper)) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// A search that finds nothing proves something only if it finds what is there.
#[test]
fn a_secret_of_each_form_is_found_and_what_only_looks_alike_is_not() {
    let ring = BTreeSet::from(["c2VjcmV0LW9mLXRoZS1yaW5n".to_owned()]);
    let keys =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/keys.json"));
    let keys: Value = serde_json::from_str(&keys.unwrap()).unwrap();
    let key = keys["good"][0]["key"].as_str().unwrap();
    let jwt = format!("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.{}", "x".repeat(86));
    for secret in [
        key.to_owned(),
        key.to_lowercase(),
        key.replace('-', ""),
        format!("dca_sec_{}", "a".repeat(44)),
        format!("dca_pub_{}", "Z9".repeat(22)),
        format!("dcar_{}", "a-_9".repeat(18)),
        jwt,
        "c2VjcmV0LW9mLXRoZS1yaW5n".to_owned(),
    ] {
        let inside = [b"\x00\xffkey=\"", secret.as_bytes(), b"\"\n\x80"].concat();
        assert!(found(&inside, &ring).is_some(), "{secret} is not found");
    }
    let mut wrong = key.to_owned();
    let last = wrong.pop().unwrap();
    wrong.push(if last == '7' { '8' } else { '7' });
    for harmless in [wrong.as_str(), "dca_sec_…", "dcar_short", "eyJ.eyJ.x", "c2VjcmV0"] {
        assert_eq!(found(harmless.as_bytes(), &ring), None);
    }
}
