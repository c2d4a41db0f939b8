//! Programs at work while things fail: each leads licenses through their lives, tries every write again with its
//! `Idempotency-Key` until somebody acknowledges it, and notes what was acknowledged and what was answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{Client, Reply};
use super::site::{Site, Tenant};
use crate::discord::{PATIENCE, Sim};

/// Programs of each tenant that write.
const WRITERS: usize = 2;
/// Between two doings of a program: there are more of them than processors.
const PAUSE: Duration = Duration::from_millis(15);
/// Between two tries of one write.
const AGAIN: Duration = Duration::from_millis(40);
/// Keys that are asked for again and again: the youngest ones.
const ASKED: usize = 30;

/// A write that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub(super) license: String,
    /// The event that it stands for.
    pub(super) event: &'static str,
    /// Where the answer said that it stands.
    pub(super) position: i64,
}

/// A yes to a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Valid {
    pub(super) process: usize,
    pub(super) asked: Instant,
    pub(super) degraded: bool,
}

/// What the programs saw. Instants are of their own clock.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) acknowledged: Vec<Acknowledged>,
    /// When a revocation was acknowledged, and by which process.
    pub(super) revoked: HashMap<String, (Instant, usize)>,
    pub(super) valid: HashMap<String, Vec<Valid>>,
    /// What should never have been answered, as sentences.
    pub(super) wrong: Vec<String>,
    /// Which tenant each license belongs to, and its key.
    licenses: Vec<(usize, String, String)>,
    /// The roles that members have in the end.
    pub(super) has_role: HashMap<(String, String), bool>,
}

/// The programs.
pub(super) struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    client: Client,
    tenants: Vec<Tenant>,
    urls: Mutex<Vec<String>>,
    seen: Mutex<Seen>,
    stop: CancellationToken,
}

impl Load {
    /// Begins: writers and readers of every tenant over every process, and members whose role comes and goes.
    pub(super) fn start(site: &Site) -> Self {
        let shared = Arc::new(Shared {
            client: site.client.clone(),
            tenants: site.tenants.clone(),
            urls: Mutex::new(site.urls()),
            seen: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let mut tasks = JoinSet::new();
        let processes = shared.urls.lock().unwrap().len();
        for tenant in 0..shared.tenants.len() {
            for number in 0..WRITERS {
                let writer = Writer { shared: shared.clone(), tenant, process: number % processes };
                tasks.spawn(writer.run());
            }
            tasks.spawn(roles(shared.clone(), site.live.sim.clone(), tenant));
        }
        for process in 0..processes {
            tasks.spawn(read(shared.clone(), process));
        }
        Self { shared, tasks }
    }

    /// A process answers elsewhere from now on.
    pub(super) fn moved(&self, process: usize, url: &str) {
        self.shared.urls.lock().unwrap()[process] = url.to_owned();
    }

    /// Waits until so many more writes have been acknowledged.
    pub(super) async fn more(&self, count: usize) {
        let acknowledged = || self.shared.seen.lock().unwrap().acknowledged.len();
        let (wanted, begin) = (acknowledged() + count, Instant::now());
        while acknowledged() < wanted {
            assert!(begin.elapsed() < PATIENCE, "nothing is acknowledged: {} of {wanted}", acknowledged());
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Lets every program finish what it does; what they saw.
    pub(super) async fn end(mut self) -> Seen {
        self.shared.stop.cancel();
        let ended = async { while self.tasks.join_next().await.transpose().unwrap().is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("every write is acknowledged in the end");
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

impl Shared {
    fn url(&self, process: usize) -> String {
        self.urls.lock().unwrap()[process].clone()
    }

    fn wrong(&self, what: String) {
        self.seen.lock().unwrap().wrong.push(what);
    }

    /// Nothing that is shown to a tenant names another one.
    fn check_tenant(&self, tenant: usize, reply: &Reply) {
        let shown = reply.body.to_string();
        let foreign = self.tenants.iter().enumerate().filter(|(other, _)| *other != tenant);
        for (_, other) in foreign {
            if shown.contains(&other.guild.id) {
                self.wrong(format!("{} is shown to another tenant: {shown}", other.guild.id));
            }
        }
    }
}

/// One program that writes.
struct Writer {
    shared: Arc<Shared>,
    tenant: usize,
    process: usize,
}

impl Writer {
    async fn run(mut self) {
        while !self.shared.stop.is_cancelled() {
            self.lead_a_license().await;
        }
    }

    /// From its making to its end.
    async fn lead_a_license(&mut self) {
        let guild = self.shared.tenants[self.tenant].guild.id.clone();
        let body = json!({ "guildId": guild, "type": "pro", "count": 1 });
        let made = self.write(None, "license.generated", "/admin/licenses/generate", body).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, key) = (text(&made.body["data"][0]["id"]), text(&made.body["data"][0]["key"]));
        self.shared.seen.lock().unwrap().licenses.push((self.tenant, id.clone(), key.clone()));
        for device in ["one", "two"] {
            self.device(&id, &key, "license.device_activated", "activate", device).await;
            self.expect(&key, Some(device), &["VALID"]).await;
        }
        let third = self.device(&id, &key, "license.device_activated", "activate", "three").await;
        if (third.status, third.code()) != (409, "DEVICE_LIMIT_REACHED") {
            self.shared.wrong(format!("a third device of two: {third:?}"));
        }
        self.device(&id, &key, "license.device_deactivated", "deactivate", "one").await;
        self.device(&id, &key, "license.device_activated", "activate", "three").await;
        self.staff(&id, "license.suspended", "suspend").await;
        self.expect(&key, Some("two"), &["SUSPENDED"]).await;
        self.staff(&id, "license.resumed", "resume").await;
        self.expect(&key, Some("two"), &["VALID"]).await;
        let revoked = self.staff(&id, "license.revoked", "revoke").await;
        if revoked.status == 200 {
            let now = Instant::now();
            self.shared.seen.lock().unwrap().revoked.insert(id.clone(), (now, self.process));
        }
        self.expect(&key, Some("two"), &["REVOKED"]).await;
    }

    async fn device(&mut self, id: &str, key: &str, event: &'static str, what: &str, device: &str) -> Reply {
        let body = json!({ "key": key, "deviceId": device });
        self.write(Some(id), event, &format!("/licenses/{what}"), body).await
    }

    async fn staff(&mut self, id: &str, event: &'static str, what: &str) -> Reply {
        self.write(Some(id), event, &format!("/licenses/{id}/{what}"), json!({})).await
    }

    /// A write, tried at one process after the other until one says yes or no.
    async fn write(&mut self, license: Option<&str>, event: &'static str, path: &str, body: Value) -> Reply {
        let (key, api_key) = (Uuid::new_v4().to_string(), self.shared.tenants[self.tenant].api_key.clone());
        loop {
            let address = format!("{}{path}", self.shared.url(self.process));
            // No answer at all is what a killed process gives: it may have happened or not, and another one is asked. One
            // that says no for the moment is asked again.
            let answered = self.shared.client.post(&address, &api_key, Some(&key), &body).await;
            if answered.is_err() {
                self.process = (self.process + 1) % self.shared.urls.lock().unwrap().len();
            }
            if let Ok(reply) = answered {
                self.shared.check_tenant(self.tenant, &reply);
                match (reply.status, reply.code()) {
                    (200..300, _) => {
                        self.note(license, event, &reply);
                        tokio::time::sleep(PAUSE).await;
                        return reply;
                    }
                    (503, _) if reply.retry_after => {}
                    (409, "IDEMPOTENCY_IN_FLIGHT" | "CONFLICT") => {}
                    (409, "DEVICE_LIMIT_REACHED") => return reply,
                    _ => {
                        self.shared.wrong(format!("{path} is answered: {reply:?}"));
                        return reply;
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn note(&self, license: Option<&str>, event: &'static str, reply: &Reply) {
        let made = reply.body["data"][0]["id"].as_str();
        let license = license.or(made).unwrap_or_default().to_owned();
        match reply.position {
            Some(position) => {
                let acknowledged = Acknowledged { license, event, position };
                self.shared.seen.lock().unwrap().acknowledged.push(acknowledged);
            }
            None => self.shared.wrong(format!("an acknowledgement without a position: {reply:?}")),
        }
    }

    /// What the process that acknowledged the last write says must show it.
    async fn expect(&self, key: &str, device: Option<&str>, codes: &[&str]) {
        let address = format!("{}/licenses/validate", self.shared.url(self.process));
        let body = json!({ "key": key, "deviceId": device });
        let api_key = &self.shared.tenants[self.tenant].api_key;
        if let Ok(reply) = self.shared.client.post(&address, api_key, None, &body).await
            && !reply.is_clean_refusal()
            && !codes.contains(&reply.code())
        {
            self.shared.wrong(format!("{codes:?} were expected after a write: {reply:?}"));
        }
    }
}

/// A program of each tenant that only asks, at one process.
async fn read(shared: Arc<Shared>, process: usize) {
    let mut number = 0_usize;
    while !shared.stop.is_cancelled() {
        tokio::time::sleep(PAUSE).await;
        number += 1;
        let known = {
            let seen = shared.seen.lock().unwrap();
            let youngest = seen.licenses.len().min(ASKED);
            let nth = seen.licenses.len() - youngest + number % youngest.max(1);
            seen.licenses.get(nth).cloned()
        };
        let Some((owner, id, key)) = known else { continue };
        // Now and then somebody else's program has the key.
        let asking = if number.is_multiple_of(5) { (owner + 1) % shared.tenants.len() } else { owner };
        let address = format!("{}/licenses/validate", shared.url(process));
        let body = json!({ "key": key, "deviceId": "two" });
        let (asked, api_key) = (Instant::now(), &shared.tenants[asking].api_key);
        let Ok(reply) = shared.client.post(&address, api_key, None, &body).await else {
            continue;
        };
        shared.check_tenant(asking, &reply);
        let degraded = reply.body["degraded"] == true;
        match (reply.status, reply.code()) {
            (200, "NOT_FOUND") if asking != owner => {}
            (200, "VALID") if asking == owner => {
                let valid = Valid { process, asked, degraded };
                shared.seen.lock().unwrap().valid.entry(id).or_default().push(valid);
            }
            (200, "DEVICE_NOT_ACTIVATED" | "SUSPENDED" | "REVOKED") if asking == owner => {}
            _ if reply.is_clean_refusal() => {}
            _ => shared.wrong(format!("a key of tenant {owner} is asked for by {asking}: {reply:?}")),
        }
    }
}

/// Members of a tenant get their role and lose it.
async fn roles(shared: Arc<Shared>, sim: Sim, tenant: usize) {
    let Tenant { guild, members, .. } = shared.tenants[tenant].clone();
    let mut round = 0_usize;
    while !shared.stop.is_cancelled() {
        for (number, member) in members.iter().enumerate() {
            let has = !(round + number).is_multiple_of(3);
            let roles = if has { vec![guild.role.clone()] } else { Vec::new() };
            sim.set_roles(&guild.id, member, &roles).await;
            shared.seen.lock().unwrap().has_role.insert((guild.id.clone(), member.clone()), has);
            tokio::time::sleep(PAUSE * 10).await;
        }
        round += 1;
    }
}
