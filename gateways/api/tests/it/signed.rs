//! Signed answers, checked as docs/SIGNED-ANSWERS.md says: the signature base is built here from what was sent and what came,
//! and nothing of the code that signs is used.

use axum::http::{HeaderMap, HeaderValue};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};
use sha2::{Digest as _, Sha256};

use crate::world::{ADA, Ask, Config, GUILD, Reply, World};

/// What a client knows of its request.
#[derive(Clone)]
struct Sent {
    method: &'static str,
    path: String,
    query: String,
    digest: Option<String>,
    nonce: Option<String>,
}

fn digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}

fn dictionary(headers: &HeaderMap, name: &str) -> Result<Dictionary, String> {
    let text = headers.get(name).ok_or(format!("there is no `{name}`"))?.to_str().unwrap();
    Parser::new(text).parse().map_err(|error| format!("`{name}` is no dictionary: {error}"))
}

fn text<'a>(list: &'a InnerList, name: &str) -> Option<&'a str> {
    list.params.get(name).and_then(|value| value.as_string()).map(|text| text.as_str())
}

/// The check of a client: `Ok` if the answer is one of this server to this request.
fn check(keys: &Value, sent: &Sent, reply: &Reply) -> Result<(), String> {
    let inputs = dictionary(&reply.headers, "signature-input")?;
    let Some((label, ListEntry::InnerList(list))) = inputs.iter().next() else {
        return Err("there is no input".to_owned());
    };
    let raw = reply.headers["signature-input"].to_str().unwrap();
    let parameters = raw.strip_prefix(&format!("{}=", label.as_str())).unwrap();
    let mut base = String::new();
    let mut covered = Vec::new();
    for item in &list.items {
        let name = item.bare_item.as_string().unwrap().as_str();
        let of_request = item.params.get("req").is_some();
        let value = match (name, of_request) {
            ("@status", false) => reply.status.as_str().to_owned(),
            ("@method", true) => sent.method.to_owned(),
            ("@path", true) => sent.path.clone(),
            ("@query", true) => format!("?{}", sent.query),
            ("content-digest", true) => sent.digest.clone().ok_or("no digest was sent")?,
            (name, false) => {
                reply.headers.get(name).ok_or("a header is missing")?.to_str().unwrap().to_owned()
            }
            other => return Err(format!("{other:?} is not known")),
        };
        let suffix = if of_request { ";req" } else { "" };
        base += &format!("\"{name}\"{suffix}: {value}\n");
        covered.push(format!("{name}{suffix}"));
    }
    base += &format!("\"@signature-params\": {parameters}");
    let mut needed =
        vec!["@status", "content-digest", "content-type", "@method;req", "@path;req", "@query;req"];
    needed.extend(sent.digest.as_ref().map(|_| "content-digest;req"));
    if covered != needed {
        return Err(format!("it covers {covered:?}"));
    }
    if text(list, "nonce") != sent.nonce.as_deref() || text(list, "tag") != Some("dca-auth") {
        return Err("another nonce or tag".to_owned());
    }
    if reply.headers["content-digest"] != digest(&reply.bytes) {
        return Err("another body".to_owned());
    }
    let fits = |key: &&Value| {
        Some(key["kid"].as_str().unwrap()) == text(list, "keyid") && key["purpose"] == "answer"
    };
    let key = keys["keys"].as_array().unwrap().iter().find(fits).ok_or("the key is not known")?;
    let key = BASE64URL_NOPAD.decode(key["x"].as_str().unwrap().as_bytes()).unwrap();
    let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();
    let signatures = dictionary(&reply.headers, "signature")?;
    let Some(ListEntry::Item(item)) = signatures.get(label.as_str()) else {
        return Err("no signature has the label of the input".to_owned());
    };
    let BareItem::ByteSequence(signature) = &item.bare_item else { return Err("no bytes".to_owned()) };
    let signature = Signature::from_slice(signature).map_err(|error| error.to_string())?;
    key.verify_strict(base.as_bytes(), &signature).map_err(|_| "the signature is wrong".to_owned())
}

async fn keys(world: &World) -> Value {
    world.get("/.well-known/dca-keys.json").empty().await.ok(200)
}

const ASKED: &str =
    r#"dca=("@status" "content-digest" "@path";req "content-digest";req);created;nonce="n-1";tag="dca-auth""#;

/// A request that asks for a signature as an SDK does.
async fn asked(ask: Ask<'_>, path: &str, body: &Value) -> (Sent, Reply) {
    let text = body.to_string();
    let digest = digest(text.as_bytes());
    let sent = Sent {
        method: "POST",
        path: path.to_owned(),
        query: String::new(),
        digest: Some(digest.clone()),
        nonce: Some("n-1".to_owned()),
    };
    let ask = ask.header("accept-signature", ASKED).header("content-digest", &digest);
    (sent, ask.header("content-type", "application/json").raw(text).await)
}

#[tokio::test]
async fn whoever_asks_gets_answers_that_prove_themselves() {
    let world = World::new().await;
    let keys = keys(&world).await;
    let (publishable, secret) = (world.publishable().await, world.secret().await);
    let (id, key) = world.license_of("pro", ADA).await;
    let terms = json!({ "terms": { "offlineLeaseMax": "P1D" } });
    world.post(&format!("/licenses/{id}/terms")).token("operator").json(&terms).await.ok(200);
    let body = json!({ "key": key, "deviceId": "a" });
    let validate = json!({ "key": key, "deviceId": "a", "nonce": "of the body" });
    for (path, api_key, body, status) in [
        ("/licenses/activate", &publishable, &body, 201),
        ("/licenses/validate", &publishable, &validate, 200),
        ("/licenses/heartbeat", &publishable, &body, 200),
        ("/licenses/certificate", &secret, &body, 201),
        ("/licenses/deactivate", &publishable, &body, 200),
        // Errors, too.
        ("/licenses/heartbeat", &publishable, &body, 409),
        ("/licenses/certificate", &publishable, &body, 403),
        ("/licenses/validate", &publishable, &json!({ "key": key, "typo": 1 }), 400),
        ("/licenses/validate", &"dca_sec_forged".to_owned(), &body, 401),
        ("/licenses/nowhere/at/all", &publishable, &body, 404),
    ] {
        let (sent, reply) = asked(world.post(path).key(api_key), path, body).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert_eq!(check(&keys, &sent, &reply), Ok(()), "{path} {status}: {reply:?}");
    }
    let (_, reply) =
        asked(world.post("/licenses/validate").key(&publishable), "/licenses/validate", &validate).await;
    assert_eq!(reply.body["nonce"], "of the body");
}

#[tokio::test]
async fn what_was_changed_on_the_way_is_found_out() {
    let world = World::new().await;
    let keys = keys(&world).await;
    let publishable = world.publishable().await;
    let (_, key) = world.license("team").await;
    let path = "/licenses/validate";
    let (sent, reply) = asked(world.post(path).key(&publishable), path, &json!({ "key": key })).await;
    assert_eq!(check(&keys, &sent, &reply), Ok(()));
    let copy = || Reply {
        status: reply.status,
        headers: reply.headers.clone(),
        body: reply.body.clone(),
        bytes: reply.bytes.clone(),
    };
    let replaced = |name: &'static str, from: &str, to: &str| {
        let mut other = copy();
        let text = other.headers[name].to_str().unwrap().replacen(from, to, 1);
        assert_ne!(text, reply.headers[name].to_str().unwrap());
        other.headers.insert(name, HeaderValue::try_from(text).unwrap());
        other
    };
    let mut body = copy();
    body.bytes = String::from_utf8(reply.bytes.to_vec()).unwrap().replace("true", "false").into();
    let mut with_digest = copy();
    with_digest.bytes = body.bytes.clone();
    with_digest.headers.insert("content-digest", HeaderValue::try_from(digest(&body.bytes)).unwrap());
    let mut status = copy();
    status.status = axum::http::StatusCode::ACCEPTED;
    for other in [
        body,
        with_digest,
        status,
        replaced("content-type", "json", "jose"),
        replaced("signature-input", "created=1", "created=2"),
        replaced("signature-input", "\"@status\" ", ""),
        replaced("signature", "=:", "=:AAAA"),
    ] {
        assert!(check(&keys, &sent, &other).is_err(), "{other:?}");
    }
    for other in [
        Sent { nonce: Some("n-2".to_owned()), ..sent.clone() },
        Sent { path: "/licenses/heartbeat".to_owned(), ..sent.clone() },
        Sent { query: "a".to_owned(), ..sent.clone() },
        Sent { method: "PUT", ..sent.clone() },
        Sent { digest: Some(digest(b"{}")), ..sent.clone() },
    ] {
        assert!(check(&keys, &other, &reply).is_err());
    }
    let another = self::keys(&World::new().await).await;
    assert_eq!(check(&another, &sent, &reply), Err("the key is not known".to_owned()));
}

/// Otherwise an answer to another body would carry the digest of this one.
#[tokio::test]
async fn a_body_that_is_not_the_one_of_its_digest_is_not_answered() {
    let world = World::new().await;
    let publishable = world.publishable().await;
    let (_, key) = world.license("team").await;
    let stated = digest(json!({ "key": "DCA-another" }).to_string().as_bytes());
    for path in ["/licenses/validate", "/licenses/heartbeat", "/licenses/activate", "/auth/callback"] {
        let ask = world.post(path).key(&publishable).header("accept-signature", "dca=()");
        let reply = ask.header("content-digest", &stated).json(&json!({ "key": key, "deviceId": "a" })).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", "Content-Digest"), "{path}");
        assert!(reply.header("signature").is_some());
    }
    // Who asks for no signature is bound to nothing.
    let ask = world.post("/licenses/validate").key(&publishable).header("content-digest", &stated);
    ask.json(&json!({ "key": key })).await.ok(200);
}

#[tokio::test]
async fn without_asking_there_is_no_signature() {
    let world = World::new().await;
    let publishable = world.publishable().await;
    let (_, key) = world.license("team").await;
    for body in [json!({ "key": key }), json!({})] {
        let reply = world.post("/licenses/validate").key(&publishable).json(&body).await;
        for name in ["signature", "signature-input", "content-digest"] {
            assert_eq!(reply.header(name), None, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_guild_signs_every_answer_to_its_keys() {
    let world = World::new().await;
    let keys = keys(&world).await;
    let (publishable, secret) = (world.publishable().await, world.secret().await);
    let (_, key) = world.license("team").await;
    let settings = format!("/guilds/{GUILD}/settings");
    world.patch(&settings).token("operator").json(&json!({ "signAnswers": true })).await.ok(200);
    let sent = |method, path: &str, query: &str| Sent {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        digest: None,
        nonce: None,
    };
    let path = "/licenses/validate";
    let valid = world.post(path).key(&publishable).json(&json!({ "key": key })).await;
    assert_eq!(check(&keys, &sent("POST", path, ""), &valid), Ok(()));
    let wrong = world.post(path).key(&publishable).json(&json!({ "key": 7 })).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(check(&keys, &sent("POST", path, ""), &wrong), Ok(()));
    let list = world.get("/licenses?limit=1&type=team").key(&secret).empty().await;
    assert_eq!(check(&keys, &sent("GET", "/licenses", "limit=1&type=team"), &list), Ok(()));
    // Who asks all the same is bound to more.
    let (bound, reply) = asked(world.post(path).key(&publishable), path, &json!({ "key": key })).await;
    assert_eq!(check(&keys, &bound, &reply), Ok(()));
    // People see no difference, and neither do keys once it is over.
    let person = world.get("/licenses").token(ADA).empty().await;
    assert_eq!(person.header("signature"), None);
    world.patch(&settings).token("operator").json(&json!({ "signAnswers": false })).await.ok(200);
    let unsigned = world.post(path).key(&publishable).json(&json!({ "key": key })).await;
    assert_eq!(unsigned.header("signature"), None);
}

#[tokio::test]
async fn a_wish_that_cannot_be_met_is_refused_by_name() {
    let world = World::new().await;
    let publishable = world.publishable().await;
    let (_, key) = world.license("team").await;
    let ask = async |wish: &str| {
        let ask = world.post("/licenses/validate").key(&publishable).header("accept-signature", wish);
        ask.json(&json!({ "key": key })).await
    };
    for good in [
        "dca=()",
        "sig-1=();created",
        r#"*a.b=("@status"  "@method";req );alg="ed25519";nonce="a \"b\" \\""#,
        r#"a=();keyid="00c0ffee""#,
    ] {
        let reply = ask(good).await;
        let label = good.split('=').next().unwrap();
        assert!(reply.header("signature").unwrap().starts_with(&format!("{label}=:")), "{good}: {reply:?}");
        reply.ok(200);
    }
    // An empty dictionary asks for nothing.
    let reply = ask("").await;
    assert_eq!(reply.header("signature"), None);
    reply.ok(200);
    for bad in [
        "dca",
        "dca=1",
        "dca=(",
        "Dca=()",
        "a=(), b=()",
        r#"a=("@authority";req)"#,
        r#"a=("@status";req)"#,
        r#"a=("@status" "@status")"#,
        r#"a=("content-digest";req)"#,
        r#"a=("content-digest";sf)"#,
        "a=(status)",
        "a=();expires",
        "a=();created=1",
        "a=();created=?0",
        r#"a=();alg="rsa-pss-sha512""#,
        r#"a=();tag="another""#,
        r#"a=();nonce="""#,
        "a=();nonce=abc",
    ] {
        let reply = ask(bad).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", "Accept-Signature"), "{bad}");
        assert_eq!(reply.header("signature"), None);
    }
    for bad in ["sha-256", "sha-256=:AAAA:", "sha-512=:AAAA:"] {
        let ask = world.post("/licenses/validate").key(&publishable).header("accept-signature", "a=()");
        let reply = ask.header("content-digest", bad).json(&json!({ "key": key })).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", "Content-Digest"), "{bad}");
    }
}

#[tokio::test]
async fn what_is_written_while_it_is_sent_is_not_signed() {
    let world = World::with(Config::default()).await;
    let path = format!("/guilds/{GUILD}/audit-log/export");
    let reply = world.get(&path).token("operator").header("accept-signature", "dca=()").empty().await;
    assert_eq!((reply.status.as_u16(), reply.header("signature")), (200, None));
    assert!(!reply.bytes.is_empty());
}
