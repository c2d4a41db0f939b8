//! Every example of the document is sent, to a world in which it makes sense, and answered as the document says: with
//! its status, and with a body that its schema describes to the last member.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use axum::http::Method;
use commands::{GenerateOrder, LeaseOrder, SessionOrder};
use domain::credential::{self, ApiKeyId, ApiKeyKind};
use domain::guild::{Action, RuleId, RuleSource, StaffRole};
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym, RoleId, SessionId};
use domain::key::{self, KeyVersion, Prefix};
use domain::private::Person;
use domain::session::{Surface, token};
use domain::time::Span;
use futures::StreamExt as _;
use projections::HeldRemoval;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::conform::faults;
use crate::openapi::document;
use crate::world::{Ask, Config, Reply, World};

const GUILD: GuildId = GuildId(80_351_110_224_678_912);
const ROLE: RoleId = RoleId(41_771_983_423_143_936);
const OWNER: &str = "80351110224678900";
const ADA: &str = "80351110224678902";
const BOB: &str = "80351110224678903";
/// Ada's, with a device.
const LICENSE: &str = "8f14e45f-ceea-467f-9b2b-7c2f1a2f3c4d";
/// Nobody's.
const UNOWNED: &str = "c9f0f895-fb98-4b91-9d3f-1c1a7f4b2e61";
/// Ada's, of a type with an end, offered to Bob.
const OFFERED: &str = "45c48cce-2e2d-4fbd-8a1a-0f3e5c7d9b12";
const RULE: Uuid = Uuid::from_u128(0x6512bd43_d9ca_46e6_a2f8_5d1e3b7c9a04);
const BATCH: Uuid = Uuid::from_u128(0xc20ad4d7_6fe9_4759_8a27_a0c99bff6710);
const LEASE: Uuid = Uuid::from_u128(0xd3d94468_02a4_4259_b55d_38e6d163e820);
const SESSION: SessionId = SessionId(Uuid::from_u128(0xc51ce410_c124_410e_8b2f_3d4e5f6a7b8c));
const DOCUMENT: &str = "/openapi.json";
/// Worlds at once.
const ATONCE: usize = 4;

/// What is not sent here, and why. Where it is sent instead stands beside it.
pub(crate) const APART: [(&str, &str); 6] = [
    ("auth_begin", "needs Discord: `sign_in` of the end-to-end tests"),
    ("auth_begin_browser", "needs Discord: `sign_in` of the end-to-end tests"),
    ("auth_return", "needs Discord: `sign_in` of the end-to-end tests"),
    ("auth_return_browser", "needs Discord: `sign_in` of the end-to-end tests"),
    (
        "auth_logout",
        "ends the session of its token, which only a sign-in gives: `sign_in` of the end-to-end tests",
    ),
    ("discord_interact", "needs Discord's signature: `interactions` of the end-to-end tests"),
];

/// One operation of the document with its example.
pub(crate) struct Operation {
    pub(crate) path: String,
    pub(crate) method: String,
    pub(crate) value: Value,
}

impl Operation {
    pub(crate) fn id(&self) -> &str {
        self.value["operationId"].as_str().unwrap()
    }

    /// The address with the examples of its parameters.
    pub(crate) fn address(&self) -> String {
        let mut address = self.path.clone();
        let mut query = Vec::new();
        for parameter in self.value["parameters"].as_array().unwrap() {
            let (name, example) = (parameter["name"].as_str().unwrap_or_default(), &parameter["example"]);
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str() {
                Some("path") => {
                    assert!(
                        !example.is_null(),
                        "{}: the member `{name}` of the path has no example",
                        self.id()
                    );
                    address = address.replace(&format!("{{{name}}}"), &text);
                }
                Some("query") if !example.is_null() => query.push(format!("{name}={text}")),
                _ => {}
            }
        }
        if query.is_empty() { address } else { format!("{address}?{}", query.join("&")) }
    }

    /// The media type of the request and the example of its body.
    pub(crate) fn request(&self) -> Option<(&str, &Value)> {
        let (kind, media) = self.value["requestBody"]["content"].as_object()?.iter().next()?;
        Some((kind, &media["examples"]["usual"]["value"]))
    }

    /// The statuses of success that the document gives.
    fn successes(&self) -> BTreeMap<u16, &Value> {
        let answers = self.value["responses"].as_object().unwrap().iter();
        answers.map(|(status, answer)| (status.parse().unwrap(), answer)).filter(|(s, _)| *s < 400).collect()
    }
}

pub(crate) fn operations() -> Vec<Operation> {
    let document = document();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, value) in item.as_object().unwrap() {
            found.push(Operation { path: path.clone(), method: method.to_uppercase(), value: value.clone() });
        }
    }
    found
}

#[track_caller]
fn check(of: &str, schema: &Value, instance: &Value) {
    let found = faults(schema, instance);
    assert!(found.is_empty(), "{of}:\n{}\n{instance:#}", found.join("\n"));
}

/// A world in which every example makes sense.
pub(crate) async fn world(operation: &str) -> World {
    let world = World::bare(Config { seeded: true, ..Config::default() }).await;
    let context = || world.context();
    let (ada, bob): (DiscordId, DiscordId) = (ADA.parse().unwrap(), BOB.parse().unwrap());
    let owner = OWNER.parse().unwrap();
    let commands = &world.commands;
    commands.register_guild(&context(), GUILD, "The workshop".to_owned(), owner, [].into()).await.unwrap();
    let act = async |action: Action| commands.guild(&context(), GUILD, action).await.unwrap();
    for (slug, name, terms) in [
        ("pro", "Pro", json!({ "maxDevices": 3, "entitlements": ["export"] })),
        ("team", "Team", json!({ "duration": "P365D", "expiryGrace": "P14D", "transferable": true })),
    ] {
        let terms = serde_json::from_value(terms).unwrap();
        act(Action::DefineType { slug: slug.to_owned(), name: name.to_owned(), terms }).await;
    }
    let source = RuleSource::Role { role_id: ROLE };
    act(Action::SetRule { id: RuleId(RULE), source, license_type: "team".to_owned() }).await;
    let person = Person::new(commands.ring().as_ref(), bob);
    commands.ensure_user(&context(), bob).await.unwrap();
    act(Action::ChangeStaff { person, role: Some(StaffRole::Auditor), granted_by: StaffRole::Owner }).await;
    let id = ApiKeyId::new(GUILD, [0, 0, 0, 1]);
    let name = Some("Web shop".to_owned());
    let (kind, version) = (ApiKeyKind::Secret, None);
    act(Action::IssueApiKey { id, kind, scopes: None, name, expires_at: None, version }).await;
    for (license, of, owner) in
        [(LICENSE, "pro", Some(ada)), (UNOWNED, "pro", None), (OFFERED, "team", Some(ada))]
    {
        let order = GenerateOrder {
            guild: GUILD,
            license_type: of.to_owned(),
            ids: vec![license.parse().unwrap()],
            assign_to: owner,
            starts_at: None,
            metadata: Some(r#"{"order":1207}"#.to_owned()),
            private_metadata: None,
        };
        commands.generate(&context(), order).await.unwrap();
    }
    sessions_and_devices(&world, ada).await;
    of_operation(&world, operation, ada, bob).await;
    world.settled().await;
    world
}

async fn sessions_and_devices(world: &World, ada: DiscordId) {
    let until = world.now().after(Span::days(30));
    world.queries.refreshes().begin(SESSION, world.now()).await.unwrap();
    let client = Some("workshop-cli/2.1".to_owned());
    let order = SessionOrder { id: SESSION, user: ada, surface: Surface::Client, client, until };
    world.commands.start_session(&world.context(), order).await.unwrap();
    let device =
        json!({ "key": license_key(world, LICENSE), "deviceId": "laptop-1", "deviceName": "Ada's laptop" });
    world.post("/licenses/activate").token("operator").json(&device).await.ok(201);
}

/// What one example needs and others do not.
async fn of_operation(world: &World, operation: &str, ada: DiscordId, bob: DiscordId) {
    let observe = json!({ "guildId": GUILD.to_string(), "userId": ADA, "roles": [ROLE.to_string()] });
    let license = |action: &str| format!("/licenses/{LICENSE}/{action}");
    match operation {
        "licenses_accept" => {
            let offered: LicenseId = OFFERED.parse().unwrap();
            world.commands.offer_transfer(&world.context(), offered, bob).await.unwrap();
        }
        "certificates_issue_with_key" | "certificates_issue" | "certificates_release" => {
            let terms = json!({ "terms": { "offlineLeaseMax": "P30D" } });
            world.post(&license("terms")).token("operator").json(&terms).await.ok(200);
            let order = LeaseOrder {
                id: LEASE,
                device_id: "laptop-1".to_owned(),
                components: Vec::new(),
                ttl: Some(Span::days(1)),
            };
            let license = LICENSE.parse().unwrap();
            world.commands.issue_lease(&world.context(), license, order).await.unwrap();
        }
        "licenses_resume" => drop(world.post(&license("suspend")).token("operator").empty().await.ok(200)),
        "users_unban" => {
            drop(world.post(&format!("/admin/users/{ADA}/ban")).token("operator").empty().await.ok(200));
        }
        "members_list" | "members_block" => {
            world.post("/_demo/members/observe").token("operator").json(&observe).await.ok(200);
        }
        "members_unblock" => {
            world.post("/_demo/members/observe").token("operator").json(&observe).await.ok(200);
            world.settled().await;
            let members =
                world.get(&format!("/guilds/{GUILD}/members")).token("operator").empty().await.ok(200);
            let slot = members["data"][0]["slots"][0]["licenseId"].as_str().unwrap().to_owned();
            world.post(&format!("/licenses/{slot}/revoke")).token("operator").empty().await.ok(200);
        }
        "held_removals_list" | "held_removals_confirm" => {
            world.post("/_demo/members/observe").token("operator").json(&observe).await.ok(200);
            let held = HeldRemoval {
                guild: GUILD,
                rule: RuleId(RULE),
                user: Pseudonym::of(world.commands.ring().as_ref(), ada),
                batch: BATCH,
                since: world.now(),
                confirmed: false,
                confirmed_by: None,
            };
            world.queries.held_removals().hold(&[held]).await.unwrap();
        }
        _ => {}
    }
}

fn license_key(world: &World, license: &str) -> String {
    let version = KeyVersion::default();
    key::render(world.commands.ring().as_ref(), &Prefix::default(), license.parse().unwrap(), version)
        .unwrap()
}

fn refresh_token(world: &World) -> String {
    token::render(world.commands.ring().as_ref(), SESSION, 0)
}

/// With a credential that may.
pub(crate) fn credited<'w>(world: &'w World, operation: &Operation, ask: Ask<'w>) -> Ask<'w> {
    match operation.id() {
        "licenses_validate"
        | "licenses_heartbeat"
        | "licenses_deactivate"
        | "certificates_issue_with_key" => {
            let id = ApiKeyId::new(GUILD, [0, 0, 0, 1]);
            ask.key(&credential::render(world.commands.ring().as_ref(), ApiKeyKind::Secret, id))
        }
        "licenses_redeem" | "licenses_accept" => ask.token(BOB),
        "auth_me" | "sessions_list" | "sessions_end" => ask.token(ADA),
        _ if operation.value["security"]
            .as_array()
            .is_some_and(|named| named.is_empty() || named.len() == 2 && named[1] == json!({})) =>
        {
            ask
        }
        _ => ask.token("operator"),
    }
}

async fn sent(world: &World, operation: &Operation) -> Reply {
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let ask = credited(world, operation, world.ask(method, &operation.address()));
    match operation.request() {
        None => ask.empty().await,
        Some((kind, value)) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            ask.header("content-type", kind).raw(text).await
        }
    }
}

/// What is wrong with an example; its answer, if the document has none for it yet.
async fn tried(operation: &Operation) -> Result<Option<Value>, String> {
    let world = world(operation.id()).await;
    let reply = sent(&world, operation).await;
    let of = format!("{} {}", operation.method, operation.address());
    let (status, body) = (reply.status.as_u16(), reply.body.clone());
    let successes = operation.successes();
    let Some(answer) = successes.get(&status) else {
        return Err(format!("{of} is answered {status}, which is no success of the document:\n{body:#}"));
    };
    let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let Some(content) = answer["content"].as_object() else {
        return if body.is_null() {
            Ok(None)
        } else {
            Err(format!("{of} has a body that the document has not"))
        };
    };
    let Some(media) = content.get(kind) else { return Err(format!("{of} is answered as `{kind}`")) };
    let found = faults(&media["schema"], &body);
    if !found.is_empty() {
        return Err(format!("{of}:\n{}\n{body:#}", found.join("\n")));
    }
    headers(operation, answer, &reply)?;
    let example = &media["examples"]["usual"]["value"];
    // The document itself needs no example.
    let is_example =
        (!example.is_null() && faults(&media["schema"], example).is_empty()) || operation.path == DOCUMENT;
    Ok((!is_example && body.is_object()).then_some(body))
}

/// Versions and positions are there exactly where the document has them; a limit may be off.
fn headers(operation: &Operation, answer: &Value, reply: &Reply) -> Result<(), String> {
    for name in ["ETag", "DCA-Position", "RateLimit", "X-Request-Id"] {
        let (said, has) = (answer["headers"].get(name).is_some(), reply.header(name).is_some());
        if said != has && (has || name != "RateLimit") {
            return Err(format!("{}: `{name}` is documented: {said}, and there: {has}", operation.id()));
        }
    }
    Ok(())
}

/// With `DCA_UPDATE=1` answers that are missing, and keys and tokens of requests, are written to the examples; the
/// document has them with the next build.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "whoever runs it sees what is not sent")]
async fn every_example_is_answered_as_the_document_says() {
    let is_update = std::env::var_os("DCA_UPDATE").is_some_and(|value| value == "1");
    if is_update {
        with_keys().await;
    }
    let apart: BTreeSet<&str> = APART.iter().map(|(id, _)| *id).collect();
    assert_eq!(apart.len(), 6, "whoever leaves out another example says so here");
    for (id, why) in APART {
        println!("{id} is not sent: it {why}");
    }
    let operations: Vec<Operation> =
        operations().into_iter().filter(|operation| !apart.contains(operation.id())).collect();
    let results: Vec<(&Operation, Result<Option<Value>, String>)> = futures::stream::iter(&operations)
        .map(|operation| async move { (operation, tried(operation).await) })
        .buffered(ATONCE)
        .collect()
        .await;
    let mut wrong = Vec::new();
    let mut missing = BTreeMap::new();
    for (operation, result) in results {
        match result {
            Ok(None) => {}
            Ok(Some(answer)) => drop(missing.insert(operation.id().to_owned(), answer)),
            Err(error) => wrong.push(error),
        }
    }
    if is_update {
        write(&missing);
        missing.clear();
    }
    let lacking: Vec<&String> = missing.keys().collect();
    assert!(wrong.is_empty(), "{} examples are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(
        lacking.is_empty(),
        "run `cargo xtask openapi`: there is no good answer in the examples of {lacking:?}"
    );
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openapi/examples.json")
}

fn read() -> Value {
    serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap()
}

fn save(examples: &Value) {
    std::fs::write(file(), serde_json::to_string_pretty(examples).unwrap() + "\n").unwrap();
}

fn write(answers: &BTreeMap<String, Value>) {
    let mut examples = read();
    for (id, answer) in answers {
        examples[id]["answer"] = answer.clone();
    }
    save(&examples);
}

/// Keys and tokens of the seeded world, into requests that have none of it yet.
async fn with_keys() {
    let world = world("").await;
    let mut text = read().to_string();
    text = text.replace("<key of the license>", &license_key(&world, LICENSE));
    text = text.replace("<key of the unowned license>", &license_key(&world, UNOWNED));
    text = text.replace("<refresh token>", &refresh_token(&world));
    save(&serde_json::from_str(&text).unwrap());
}

/// Whatever a caller leaves out, and whatever is not sent here, the examples themselves are of their schemas.
#[test]
fn every_example_of_the_document_is_of_its_schema() {
    for operation in operations() {
        let of = operation.id();
        if let Some((_, media)) =
            operation.value["requestBody"]["content"].as_object().and_then(|kinds| kinds.iter().next())
        {
            assert!(
                !media["examples"].is_null(),
                "{of}: give an example of its request in openapi/examples.json"
            );
            check(of, &media["schema"], &media["examples"]["usual"]["value"]);
        }
        let answers = operation.successes();
        let with_body = answers.values().filter_map(|answer| answer["content"].get("application/json"));
        let mut has_example = false;
        for media in with_body.clone() {
            let example = &media["examples"]["usual"]["value"];
            if !example.is_null() {
                has_example = true;
                check(of, &media["schema"], example);
            }
        }
        assert!(
            has_example || with_body.count() == 0 || operation.path == DOCUMENT,
            "{of}: it has no example of its answer; run `cargo xtask openapi`"
        );
        for parameter in operation.value["parameters"].as_array().unwrap() {
            if !parameter["example"].is_null() {
                check(of, &parameter["schema"], &parameter["example"]);
            }
        }
    }
}
