//! Roles on Discord become licenses: the built program against the stand-in, which speaks Discord's own protocol. In a
//! demo the stand-in is the program's own; elsewhere it is started here, so that it outlives the program.

mod deliveries;
mod frozen;
mod gaps;
mod instances;
mod interactions;
mod main_job;
mod odd_input;
mod sharing;
mod shuffled;
mod stops;

use std::future::Future;
use std::time::{Duration, Instant};

use fake_discord::{FakeDiscord, Settings};
use serde_json::{Value, json};

use crate::world::{Answer, Engine, World};

/// How long anything may take under the load of all tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The token of the stand-ins that are started here.
pub(crate) const TOKEN: &str = "a-bot-token-of-the-tests";

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let what = what.to_owned();
    let place = std::panic::Location::caller();
    async move {
        let begin = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "{place}: not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The control API of a stand-in.
#[derive(Clone)]
pub(crate) struct Sim {
    url: String,
    http: reqwest::Client,
}

impl Sim {
    pub(crate) fn at(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { url: url.to_owned(), http }
    }

    /// The stand-in of a demo; its port changes with each start.
    pub(crate) async fn of(world: &World) -> Self {
        let status = world.cli(&["status"]).await;
        assert_eq!(status["discord"], "simulated");
        Self::at(status["simulator"]["url"].as_str().unwrap())
    }

    pub(crate) async fn try_call(&self, method: &str, path: &str, body: Value) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}/_control{path}", self.url));
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        let (sim, method, path) = (self.clone(), method.to_owned(), path.to_owned());
        async move {
            let answer = sim.try_call(&method, &path, body).await;
            assert!(
                (200..300).contains(&answer.status),
                "{place}: {method} {path}: {} {:#}",
                answer.status,
                answer.body
            );
            answer.body
        }
    }

    pub(crate) async fn give(&self, guild: &str, user: &str, role: &str) {
        self.call("POST", &format!("/guilds/{guild}/members/{user}/roles/{role}"), Value::Null).await;
    }

    pub(crate) async fn take(&self, guild: &str, user: &str, role: &str) {
        self.call("DELETE", &format!("/guilds/{guild}/members/{user}/roles/{role}"), Value::Null).await;
    }

    pub(crate) async fn set_roles(&self, guild: &str, user: &str, roles: &[String]) {
        let path = format!("/guilds/{guild}/members/{user}/roles");
        self.call("PUT", &path, json!({ "roles": roles })).await;
    }

    pub(crate) async fn join(&self, guild: &str, username: &str, roles: &[&str]) -> String {
        let body = json!({ "username": username, "roles": roles });
        let member = self.call("POST", &format!("/guilds/{guild}/members"), body).await;
        member["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn leave(&self, guild: &str, user: &str) {
        self.call("DELETE", &format!("/guilds/{guild}/members/{user}"), Value::Null).await;
    }

    pub(crate) async fn role(&self, guild: &str, name: &str) -> String {
        let body = json!({ "name": name, "position": 1 });
        let role = self.call("POST", &format!("/guilds/{guild}/roles"), body).await;
        role["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn inbox(&self, user: &str) -> Vec<Value> {
        self.call("GET", &format!("/users/{user}/inbox"), Value::Null).await.as_array().unwrap().clone()
    }

    /// The keys in an inbox, oldest first.
    pub(crate) async fn keys(&self, user: &str) -> Vec<String> {
        self.inbox(user).await.iter().filter_map(|message| key_in(&message["content"])).collect()
    }

    pub(crate) async fn wait_for_key(&self, user: &str, nth: usize) -> String {
        until("a key in the inbox", || async { self.keys(user).await.into_iter().nth(nth) }).await
    }

    pub(crate) async fn channel(&self, id: &str) -> Vec<Value> {
        self.call("GET", &format!("/channels/{id}/messages"), Value::Null).await.as_array().unwrap().clone()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.call("POST", "/faults", fault).await;
    }

    pub(crate) async fn no_faults(&self) {
        self.call("DELETE", "/faults", Value::Null).await;
    }

    pub(crate) async fn gateway(&self, action: &str) {
        self.call("POST", "/gateway", json!({ "action": action })).await;
    }

    pub(crate) async fn sessions(&self) -> Value {
        self.call("GET", "/gateway", Value::Null).await
    }

    /// A slash command; the first answer's text and everything in it.
    pub(crate) async fn command(&self, guild: &str, user: &str, command: &str, options: Value) -> Value {
        let body = json!({ "guildId": guild, "userId": user, "command": command, "options": options });
        // The commands are registered a moment after the bot has connected.
        let answer = until("the command is registered", || async {
            let answer = self.try_call("POST", "/interactions", body.clone()).await;
            (answer.status != 404).then(|| answer.expect(200))
        })
        .await;
        let responses = answer["responses"].as_array().unwrap();
        responses.iter().rfind(|response| response["content"].is_string()).unwrap_or(&responses[0]).clone()
    }

    /// REST requests that the stand-in has seen: method, path, status.
    pub(crate) async fn requests(&self) -> Vec<(String, String, u64)> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.call("GET", &format!("/journal?after={after}&limit=1000"), Value::Null).await;
            let entries = page.get("entries").unwrap_or(&page).as_array().unwrap().clone();
            let Some(last) = entries.last() else { return all };
            after = last["seq"].as_u64().unwrap();
            all.extend(entries.iter().filter(|entry| entry["kind"] == "rest").map(|entry| {
                let text = |member: &str| entry[member].as_str().unwrap_or_default().to_owned();
                (text("method"), text("path"), entry["status"].as_u64().unwrap_or(0))
            }));
        }
    }
}

/// The license key in a text: nine groups between backquotes.
pub(crate) fn key_in(content: &Value) -> Option<String> {
    content.as_str()?.split('`').find(|part| part.matches('-').count() >= 8).map(str::to_owned)
}

/// A guild of live data, with a role that gives a license type.
#[derive(Debug, Clone)]
pub(crate) struct Guild {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) log: String,
}

/// A stand-in of this test, and the program with live data against it.
pub(crate) struct Live {
    /// Ends with the test.
    pub(crate) _fake: FakeDiscord,
    pub(crate) sim: Sim,
    pub(crate) world: World,
}

impl Live {
    /// The program runs against a stand-in without guilds.
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[]).await
    }

    /// The same with configuration variables.
    pub(crate) async fn start_with(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let fake = FakeDiscord::start(Settings::local(TOKEN)).await.unwrap();
        let sim = Sim::at(fake.url());
        let mut world = World::empty(engine);
        configure(&mut world, &fake);
        for (name, value) in variables {
            world.set(name, value);
        }
        world.serve().await;
        let mut live = Self { _fake: fake, sim, world };
        live.connected().await;
        live
    }

    /// Waits until the bot receives events.
    pub(crate) async fn connected(&mut self) {
        connected(&mut self.world).await;
    }

    /// A guild with the role `Pro` that gives licenses of the type `pro`, of these terms.
    pub(crate) async fn guild(&mut self, name: &str, terms: Value) -> Guild {
        let made = self.sim.call("POST", "/guilds", json!({ "name": name })).await;
        self.adopt(&made, terms).await
    }

    /// The same with a guild that is there already.
    pub(crate) async fn adopt(&mut self, made: &Value, terms: Value) -> Guild {
        let id = made["id"].as_str().unwrap().to_owned();
        let role = self.sim.role(&id, "Pro").await;
        let log = channel_named(made, "license-log");
        let guild = Guild { id, role, log };
        self.set_up(&guild, terms).await;
        guild
    }

    async fn set_up(&mut self, guild: &Guild, terms: Value) {
        registered(&mut self.world, &guild.id).await;
        let Guild { id, role, log } = guild;
        let settings = json!({ "logChannelId": log });
        self.world.owner("PATCH", &format!("/guilds/{id}/settings"), settings).await.expect(200);
        let define = json!({ "slug": "pro", "name": "Pro", "terms": terms });
        self.world.owner("POST", &format!("/guilds/{id}/license-types"), define).await.expect(201);
        let rule = json!({ "roleId": role, "type": "pro" });
        self.world.owner("POST", &format!("/guilds/{id}/role-rules"), rule).await.expect(201);
        // Whoever gets the role before the bot has heard of the rule is found by a sweep, and gets no message.
        self.world.turn_of_the_first();
        self.world.owner("GET", &format!("/guilds/{id}"), Value::Null).await.expect(200);
    }

    /// Reconciles every guild whole, and gives the report.
    pub(crate) async fn reconcile(&mut self) -> Value {
        reconcile(&mut self.world).await
    }
}

/// Tells a world where the stand-in is.
pub(crate) fn configure(world: &mut World, fake: &FakeDiscord) {
    world.live();
    world.set("DISCORD_TOKEN", TOKEN);
    world.set("DCA_DISCORD_API_BASE", fake.url());
    world.set("DCA_DISCORD_OAUTH_BASE", fake.url());
    world.set("DCA_DISCORD_GATEWAY_URL", fake.gateway_url());
}

fn channel_named(guild: &Value, name: &str) -> String {
    let channels = guild["channels"].as_array().unwrap();
    let found = channels.iter().find(|channel| channel["name"] == name);
    found.unwrap_or_else(|| panic!("no channel {name}: {guild:#}"))["id"].as_str().unwrap().to_owned()
}

/// What health says about Discord.
pub(crate) async fn health(world: &World) -> (String, String) {
    let answer = world.ask("GET", "/health", &[], Value::Null).await.body;
    let components = answer["components"].as_array().unwrap();
    let discord = components.iter().find(|component| component["name"] == "discord").unwrap();
    let text = |member: &str| discord[member].as_str().unwrap_or_default().to_owned();
    (text("status"), text("detail"))
}

pub(crate) async fn connected(world: &mut World) {
    until("the bot is connected", || async {
        health(world).await.1.contains("shard 0 is connected").then_some(())
    })
    .await;
}

pub(crate) async fn registered(world: &mut World, guild: &str) {
    let token = world.token().await;
    let bearer = format!("Bearer {token}");
    let world = &*world;
    until("the guild is registered", || async {
        let headers = [("Authorization", bearer.as_str())];
        let answer = world.ask("GET", &format!("/guilds/{guild}"), &headers, Value::Null).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Reconciles every guild whole, and gives the report.
pub(crate) async fn reconcile(world: &mut World) -> Value {
    loop {
        let told = world.owner("POST", "/_admin/jobs/role-sync-full/run", Value::Null).await.expect(200);
        if told["running"].is_null() {
            return told["guilds"].clone();
        }
    }
}

/// Licenses of a guild, newest first.
pub(crate) async fn licenses(world: &mut World, guild: &str, user: Option<&str>) -> Vec<Value> {
    let user = user.map(|user| format!("&userId={user}")).unwrap_or_default();
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/licenses?guildId={guild}&limit=200{user}{cursor}");
        let page = world.owner("GET", &path, Value::Null).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The licenses of a member that have not ended.
pub(crate) async fn live(world: &mut World, guild: &str, user: &str) -> Vec<Value> {
    let all = licenses(world, guild, Some(user)).await;
    all.into_iter().filter(|license| license["status"] != "revoked").collect()
}

/// Waits until a member has so many live licenses, and gives them.
pub(crate) async fn wait_for_live(world: &mut World, guild: &str, user: &str, count: usize) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let found = live(world, guild, user).await;
        if found.len() == count {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{user} has {found:#?} and not {count}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What the brake holds back.
pub(crate) async fn held(world: &mut World, guild: &str) -> Vec<Value> {
    let path = format!("/guilds/{guild}/held-removals?limit=200");
    let held = world.owner("GET", &path, Value::Null).await.expect(200);
    held["data"].as_array().unwrap().clone()
}

/// Lets everything happen that the brake holds back.
pub(crate) async fn confirm_all(this: &mut Live, guild: &Guild) {
    let batches: std::collections::BTreeSet<String> = held(&mut this.world, &guild.id)
        .await
        .iter()
        .map(|removal| removal["batch"].as_str().unwrap().to_owned())
        .collect();
    for batch in batches {
        let path = format!("/guilds/{}/held-removals/{batch}/confirm", guild.id);
        this.world.owner("POST", &path, Value::Null).await.expect(200);
    }
}

/// What a program learns about a key: the code.
pub(crate) async fn verdict(world: &World, api_key: &str, key: &str, device: Option<&str>) -> String {
    let mut body = json!({ "key": key });
    if let Some(device) = device {
        body["deviceId"] = device.into();
    }
    let answer = world.with_key(api_key, "POST", "/licenses/validate", body).await.expect(200);
    answer["code"].as_str().unwrap().to_owned()
}
