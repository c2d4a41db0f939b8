//! Time travel over HTTP and on the command line: a license, a guild and a person's licenses as they were, what changed
//! between two instants and who did it, and the read model against the log.

use serde_json::{Value, json};

use crate::discord::until;
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    a_license_is_read_as_it_was,
    a_difference_says_what_changed_and_who_did_it,
    a_persons_licenses_are_listed_as_they_were,
    a_guild_is_read_as_it_was,
    instants_that_cannot_be_are_refused_by_name,
    a_replay_finds_a_read_model_that_lies,
);

/// A license on its way from one owner to another, a minute between its changes.
struct Travelled {
    world: World,
    id: String,
    /// Who had it first, and who has it in the end; neither is staff.
    ada: String,
    linus: String,
    /// What each write answered.
    answers: Vec<Value>,
}

impl Travelled {
    async fn through(engine: Engine) -> Self {
        let mut world = World::demo(engine).await;
        let terms = json!({ "duration": "P10D", "expiryBasis": "creation", "maxDevices": 2 });
        let body = json!({ "slug": "trip", "name": "Trip", "terms": terms });
        let path = format!("/guilds/{}/license-types", world.facts.guild);
        world.owner("POST", &path, body).await.expect(201);
        let (id, _) = world.generate("trip", 1).await.remove(0);
        let path = format!("/licenses/{id}");
        let mut answers = vec![world.owner("GET", &path, Value::Null).await.expect(200)];
        let status = world.cli(&["status"]).await;
        let (ada, linus) = (world.facts.ada.clone(), word(&status["demo"]["members"]["linus"]).to_owned());
        for (what, body) in [
            ("assign", json!({ "userId": ada, "reason": "sold" })),
            ("metadata", json!({ "metadata": { "seat": 1 }, "privateMetadata": { "invoice": "A" } })),
            ("suspend", json!({ "reason": "a chargeback" })),
            ("resume", json!({})),
            ("transfer", json!({ "toUserId": linus, "reason": "sold on" })),
        ] {
            world.advance("PT1M").await;
            answers.push(world.owner("POST", &format!("{path}/{what}"), body).await.expect(200));
        }
        let list = format!("/licenses?userId={linus}&q={id}");
        let token = format!("Bearer {}", world.token().await);
        until("the lists show it", || async {
            let listed = world.ask("GET", &list, &[("Authorization", &token)], Value::Null).await.expect(200);
            listed["data"].as_array().unwrap().first().cloned()
        })
        .await;
        Self { world, id, ada, linus, answers }
    }

    async fn get(&mut self, query: &str) -> Value {
        let path = format!("/licenses/{}{query}", self.id);
        self.world.owner("GET", &path, Value::Null).await.expect(200)
    }

    /// The events, oldest first.
    async fn events(&mut self) -> Vec<Value> {
        self.get("/history?limit=200").await["data"].as_array().unwrap().clone()
    }

    /// What somebody of the demo is answered.
    async fn as_person(&self, user: &str, path: &str) -> crate::world::Answer {
        let token = self.world.cli(&["admin", "token", "--user", user]).await;
        let token = format!("Bearer {}", token["accessToken"].as_str().unwrap());
        self.world.ask("GET", path, &[("Authorization", &token)], Value::Null).await
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn a_license_is_read_as_it_was(engine: Engine) {
    let mut this = Travelled::through(engine).await;
    for answer in this.answers.clone() {
        let then = this.get(&format!("?asOf=version:{}", answer["version"])).await;
        assert_eq!(then, answer, "as it was answered then");
    }
    let events = this.events().await;
    for event in &events {
        let by_position = this.get(&format!("?asOf=position:{}", event["position"])).await;
        assert_eq!(by_position["version"], event["sequence"]);
        // Events of one append have one instant.
        let by_time = this.get(&format!("?asOf={}", word(&event["timestamp"]))).await;
        assert!(by_time["version"].as_u64() >= event["sequence"].as_u64());
    }
    // The clock decides as it did then: nothing happened to the license, and it ended.
    let last = events.last().unwrap()["timestamp"].clone();
    this.world.advance("P11D").await;
    this.get("").await;
    assert_eq!(this.get("").await["status"], "expired");
    let then = this.get(&format!("?asOf={}", word(&last))).await;
    assert_ne!(then["status"], "expired");
    let shown = this.world.cli(&["license", "show", &this.id, "--as-of", "version:2"]).await;
    assert_eq!(shown["userId"], this.world.facts.ada);
    this.world.crash().await;
    assert_eq!(this.get("?asOf=version:2").await, shown, "a restart changes no past");
}

async fn a_difference_says_what_changed_and_who_did_it(engine: Engine) {
    let mut this = Travelled::through(engine).await;
    let (ada, linus) = (this.ada.clone(), this.linus.clone());
    let body = this.get("/diff?from=version:1&to=version:3").await;
    let field = |body: &Value, name: &str| {
        let all = body["changes"].as_array().unwrap();
        all.iter()
            .find(|change| change["field"] == name)
            .map(|change| (change["old"].clone(), change["new"].clone()))
    };
    assert_eq!(field(&body, "/userId"), Some((Value::Null, json!(ada))), "{body:#}");
    assert_eq!(field(&body, "/status"), Some((json!("generated"), json!("assigned"))));
    assert_eq!(field(&body, "/metadata"), Some((Value::Null, json!({ "seat": 1 }))));
    assert_eq!(field(&body, "/maxDevices"), None, "what did not change is not named");
    assert_eq!((&body["from"]["version"], &body["to"]["version"]), (&json!(1), &json!(3)));
    let events = body["events"]["data"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|event| (word(&event["type"]), word(&event["actor"]))).collect();
    assert_eq!(told, [("license.assigned", "operator"), ("license.metadata_changed", "operator")]);
    assert_eq!(events[0]["reason"], "sold");
    assert_eq!(events[0].get("stateAfter"), None);
    // To now, in pages of events; the changes are those of the whole.
    let first = this.get("/diff?from=version:3&limit=2").await;
    assert_eq!(field(&first, "/userId"), Some((json!(ada), json!(linus))));
    assert_eq!(first["events"]["data"].as_array().unwrap().len(), 2);
    let cursor = word(&first["events"]["nextCursor"]).to_owned();
    let rest = this.get(&format!("/diff?from=version:3&limit=50&cursor={cursor}")).await;
    assert_eq!(rest["changes"], first["changes"]);
    assert_eq!(rest["events"]["data"][0]["type"], "license.transferred", "{rest:#}");
    let same = this.get("/diff?from=version:3&to=version:3").await;
    assert_eq!((&same["changes"], &same["events"]["data"]), (&json!([]), &json!([])));
    let told =
        this.world.cli(&["license", "diff", &this.id, "--from", "version:1", "--to", "version:3"]).await;
    assert_eq!(told, body);
    // The new owner sees of the time before only that it happened; the former one nothing any more.
    let path = format!("/licenses/{}", this.id);
    let own = this.as_person(&linus, &format!("{path}/diff?from=version:1")).await.expect(200);
    assert!(!own.to_string().contains(&ada) && !own.to_string().contains("invoice"), "{own:#}");
    assert_eq!(own["events"]["data"][0]["reason"], Value::Null);
    let then = this.as_person(&linus, &format!("{path}?asOf=version:3")).await.expect(200);
    assert_eq!((then.get("userId"), &then["metadata"]), (None, &Value::Null), "{then:#}");
    for path in
        [format!("{path}?asOf=version:3"), format!("{path}/diff?from=version:1"), format!("{path}/replay")]
    {
        assert_eq!(this.as_person(&ada, &path).await.status, 404, "{path}");
    }
}

async fn a_persons_licenses_are_listed_as_they_were(engine: Engine) {
    let mut this = Travelled::through(engine).await;
    let (ada, linus, guild) = (this.ada.clone(), this.linus.clone(), this.world.facts.guild.clone());
    let events = this.events().await;
    let hers = events.iter().find(|event| event["type"] == "license.suspended").unwrap()["timestamp"].clone();
    let ids = |body: &Value| -> Vec<String> {
        body["data"].as_array().unwrap().iter().map(|row| word(&row["id"]).to_owned()).collect()
    };
    let path =
        |user: &str, as_of: &str| format!("/licenses?guildId={guild}&userId={user}&type=trip&asOf={as_of}");
    let then = this.world.owner("GET", &path(&ada, word(&hers)), Value::Null).await.expect(200);
    assert_eq!(ids(&then), [this.id.clone()]);
    assert_eq!((&then["data"][0]["userId"], &then["data"][0]["status"]), (&json!(ada), &json!("suspended")));
    let now = this.world.owner("GET", &path(&ada, "position:1"), Value::Null).await.expect(200);
    assert_eq!(ids(&now), Vec::<String>::new());
    let of_linus = this.world.owner("GET", &path(&linus, word(&hers)), Value::Null).await.expect(200);
    assert_eq!(ids(&of_linus), Vec::<String>::new(), "it was not his yet");
    // One sees what one had of what one has.
    let own = |as_of: &str| format!("/licenses?type=trip&asOf={as_of}");
    assert_eq!(ids(&this.as_person(&ada, &own(word(&hers))).await.expect(200)), Vec::<String>::new());
    let head = word(&events.last().unwrap()["timestamp"]).to_owned();
    assert_eq!(ids(&this.as_person(&linus, &own(&head)).await.expect(200)), [this.id.clone()]);
    let listed = this
        .world
        .cli(&[
            "license",
            "list",
            "--guild",
            &guild,
            "--user",
            &ada,
            "--type",
            "trip",
            "--as-of",
            word(&hers),
        ])
        .await;
    assert_eq!(listed, then);
}

async fn a_guild_is_read_as_it_was(engine: Engine) {
    let mut world = World::demo(engine).await;
    let path = format!("/guilds/{}", world.facts.guild);
    let before = world.owner("GET", &path, Value::Null).await.expect(200);
    let version = before["version"].as_u64().unwrap();
    world.advance("PT1M").await;
    let change = json!({ "keyPrefix": "TRAP", "locale": "de" });
    world.owner("PATCH", &format!("{path}/settings"), change).await.expect(200);
    let body = json!({ "slug": "later", "name": "Later", "terms": {} });
    world.owner("POST", &format!("{path}/license-types"), body).await.expect(201);
    let then = world.owner("GET", &format!("{path}?asOf=version:{version}"), Value::Null).await.expect(200);
    assert_eq!(then, before);
    let diff = format!("{path}/diff?from=version:{version}");
    let told = world.owner("GET", &diff, Value::Null).await.expect(200);
    let fields: Vec<&str> =
        told["changes"].as_array().unwrap().iter().map(|change| word(&change["field"])).collect();
    for field in ["/licenseTypes/later", "/settings/keyPrefix", "/settings/locale", "/version"] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    let events: Vec<_> = told["events"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (word(&event["type"]), word(&event["actor"])))
        .collect();
    assert_eq!(
        events,
        [("guild.settings_changed", "operator"), ("guild.license_type_defined", "operator")],
        "{told:#}"
    );
    let from = format!("version:{version}");
    assert_eq!(world.cli(&["guild", "diff", &world.facts.guild, "--from", &from]).await, told);
    assert_eq!(world.cli(&["guild", "show", &world.facts.guild, "--as-of", &from]).await, before);
    // The rights are those of the guild itself.
    let ada = world.cli(&["admin", "token", "--user", &world.facts.ada]).await;
    let ada = format!("Bearer {}", word(&ada["accessToken"]));
    let publishable = world.api_key("publishable", None).await;
    for path in [format!("{path}?asOf={from}"), diff] {
        let answer = world.ask("GET", &path, &[("Authorization", &ada)], Value::Null).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(world.with_key(&publishable, "GET", &path, Value::Null).await.status, 403, "{path}");
    }
}

async fn instants_that_cannot_be_are_refused_by_name(engine: Engine) {
    let mut this = Travelled::through(engine).await;
    let (license, guild) = (format!("/licenses/{}", this.id), format!("/guilds/{}", this.world.facts.guild));
    let list = format!("/licenses?userId={}", this.world.facts.ada);
    for (path, status, code) in [
        (format!("{license}?asOf=version:0"), 404, "NOT_YET_EXISTING"),
        (format!("{license}?asOf=position:1"), 404, "NOT_YET_EXISTING"),
        (format!("{license}?asOf=1999-01-01T00:00:00Z"), 404, "NOT_YET_EXISTING"),
        (format!("{license}?asOf=version:999"), 404, "VERSION_UNKNOWN"),
        (format!("{license}?asOf=position:99999999"), 400, "POSITION_UNKNOWN"),
        (format!("{license}?asOf=2999-01-01T00:00:00Z"), 422, "INVALID_VALUE"),
        (format!("{license}?asOf=yesterday"), 400, "INVALID_REQUEST"),
        (format!("{license}?asof=version:1"), 400, "INVALID_REQUEST"),
        (format!("{license}/diff"), 400, "INVALID_REQUEST"),
        (format!("{license}/diff?from=version:3&to=version:2"), 422, "INVALID_VALUE"),
        (format!("{license}/diff?from=version:0"), 404, "NOT_YET_EXISTING"),
        (format!("{license}/diff?from=version:1&to=version:999"), 404, "VERSION_UNKNOWN"),
        (format!("{guild}?asOf=version:9999"), 404, "VERSION_UNKNOWN"),
        (format!("{guild}?asOf=position:0"), 404, "NOT_YET_EXISTING"),
        (format!("{guild}/diff?from=1999-01-01T00:00:00Z"), 404, "NOT_YET_EXISTING"),
        (format!("{list}&asOf=version:1"), 422, "INVALID_VALUE"),
        (format!("{list}&asOf=position:99999999"), 400, "POSITION_UNKNOWN"),
        ("/licenses?asOf=position:1".to_owned(), 422, "INVALID_VALUE"),
        ("/licenses/00000000-0000-4000-8000-000000000000?asOf=version:1".to_owned(), 404, "NOT_FOUND"),
        ("/guilds/1?asOf=version:1".to_owned(), 404, "NOT_FOUND"),
    ] {
        let answer = this.world.owner("GET", &path, Value::Null).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}: {:#}", answer.body);
        if status == 422 {
            assert!(word(&answer.body["errors"][0]["pointer"]).starts_with('?'), "{:#}", answer.body);
        }
    }
}

async fn a_replay_finds_a_read_model_that_lies(engine: Engine) {
    let mut this = Travelled::through(engine).await;
    let told = this.world.cli(&["license", "replay", &this.id]).await;
    assert_eq!(told["readModel"]["matches"], true, "{told:#}");
    let steps = told["data"].as_array().unwrap();
    assert_eq!(steps.len() as u64, told["readModel"]["version"].as_u64().unwrap());
    assert_eq!(steps[0]["type"], "license.generated");
    let assigned = steps.iter().find(|step| step["type"] == "license.assigned").unwrap();
    let fields: Vec<&str> =
        assigned["changes"].as_array().unwrap().iter().map(|change| word(&change["field"])).collect();
    assert!(fields.contains(&"/userId") && fields.contains(&"/status"), "{fields:?}");
    // A page that begins in the middle has the same steps.
    let first = this.get("/replay?limit=2").await;
    let cursor = word(&first["nextCursor"]).to_owned();
    let rest = this.get(&format!("/replay?limit=200&cursor={cursor}")).await;
    let both: Vec<&Value> =
        [&first, &rest].into_iter().flat_map(|body| body["data"].as_array().unwrap()).collect();
    assert_eq!(both, steps.iter().collect::<Vec<_>>());
    let lie = format!(
        "UPDATE license_view SET state = replace(state, '\"trip\"', '\"trap\"') WHERE id = '{}'",
        this.id
    );
    this.world.alter(&lie).await;
    let output = this.world.run(&["license", "replay", &this.id, "--json"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success());
    assert_eq!(told["readModel"]["differences"], json!(["/licenseType"]), "{told:#}");
    this.world.cli(&["rebuild", "license_view"]).await;
    assert_eq!(this.world.cli(&["license", "replay", &this.id]).await["readModel"]["matches"], true);
}
