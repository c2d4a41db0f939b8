//! A deployment that is about to suffer: some processes over one log, two tenants, and a proxy before a server of theirs.

use std::path::PathBuf;

use fault_proxy::{FaultProxy, Upstream};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;

use super::client::{Client, Reply};
use crate::discord::{Guild, Live};
use crate::world::{Engine, World};

/// What a tenant's program may do.
const SCOPES: &str = "validate,activate,deactivate,licenses:read,licenses:write,licenses:revoke";

/// A guild with its secret key and its members.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) guild: Guild,
    pub(super) api_key: String,
    /// Members whose role comes and goes.
    pub(super) members: Vec<String>,
}

/// The deployment. The first process has the bot.
pub(super) struct Site {
    pub(super) live: Live,
    pub(super) others: Vec<World>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) client: Client,
    engine: Engine,
    variables: Vec<(String, String)>,
}

impl Site {
    /// One process on `engine`, with these variables.
    pub(super) async fn start(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let mut live = Live::start_with(engine.clone(), variables).await;
        let mut tenants = Vec::new();
        for name in ["First", "Second"] {
            let guild = live.guild(name, json!({ "maxDevices": 2 })).await;
            let define = json!({ "slug": "plain", "name": "Plain", "terms": {} });
            let path = format!("/guilds/{}/license-types", guild.id);
            live.world.owner("POST", &path, define).await.expect(201);
            let arguments = ["apikey", "issue", "--guild", &guild.id, "--kind", "secret", "--scopes", SCOPES];
            let api_key = live.world.cli(&arguments).await["key"].as_str().unwrap().to_owned();
            let mut members = Vec::new();
            for number in 0..3 {
                members.push(live.sim.join(&guild.id, &format!("member{number}"), &[]).await);
            }
            tenants.push(Tenant { guild, api_key, members });
        }
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { live, others: Vec::new(), tenants, client: Client::new(), engine, variables }
    }

    /// One more process over the same log, without a bot.
    pub(super) async fn join(&mut self) {
        let mut world = World::empty(self.engine.clone());
        world.live();
        for (name, value) in &self.variables {
            world.set(name, value);
        }
        let ring = self.live.world.data_dir().join("live").join("keys").join("ring.json");
        world.set("DCA_KEYS_FILE", ring.to_str().unwrap());
        world.serve().await;
        self.others.push(world);
    }

    /// Every process.
    pub(super) fn worlds(&self) -> impl Iterator<Item = &World> {
        std::iter::once(&self.live.world).chain(&self.others)
    }

    /// Where every process answers.
    pub(super) fn urls(&self) -> Vec<String> {
        self.worlds().map(|world| world.url().to_owned()).collect()
    }

    /// The n-th process.
    pub(super) fn world(&mut self, n: usize) -> &mut World {
        match n {
            0 => &mut self.live.world,
            _ => &mut self.others[n - 1],
        }
    }

    /// The database server past every proxy; `None` is a file.
    pub(super) fn database_url(&self) -> Option<&str> {
        self.engine.database_url()
    }

    /// The file of the database, where it is one.
    pub(super) fn database_file(&self) -> PathBuf {
        self.live.world.data_dir().join("live").join("dca-auth.db")
    }

    /// New licenses of the first tenant that are bound to no device, made by the first process: id and key of each.
    pub(super) async fn licenses(&self, count: u32) -> Vec<(String, String)> {
        let tenant = &self.tenants[0];
        let body = json!({ "guildId": tenant.guild.id, "type": "plain", "count": count });
        let address = format!("{}/admin/licenses/generate", self.live.world.url());
        let made = self.client.answered(&address, &tenant.api_key, &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        made.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(&one["id"]), text(&one["key"])))
            .collect()
    }

    /// Changes the database past the program.
    pub(super) async fn execute(&self, text: &str) {
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        match self.database_url() {
            Some(url) => {
                sqlx::PgConnection::connect(url).await.unwrap().execute(text).await.unwrap();
            }
            None => {
                let file = sqlx::sqlite::SqliteConnectOptions::new().filename(self.database_file());
                file.connect().await.unwrap().execute(text).await.unwrap();
            }
        }
    }

    /// What a process says about a key of the first tenant.
    pub(super) async fn verdict(&self, url: &str, key: &str) -> Reply {
        let address = format!("{url}/licenses/validate");
        self.client.answered(&address, &self.tenants[0].api_key, &json!({ "key": key })).await
    }

    /// A write of the first tenant: a device for a key.
    pub(super) async fn activate(&self, url: &str, key: &str, device: &str) -> Reply {
        let address = format!("{url}/licenses/activate");
        let body = json!({ "key": key, "deviceId": device });
        self.client.answered(&address, &self.tenants[0].api_key, &body).await
    }
}

/// A proxy before the database of `url`, and the address through it.
pub(super) async fn before_database(url: &str) -> (FaultProxy, String) {
    let server: PgConnectOptions = url.parse().unwrap();
    let file = format!(".s.PGSQL.{}", server.get_port());
    let upstream = match server.get_socket() {
        Some(folder) => Upstream::Unix(folder.join(file)),
        None if server.get_host().starts_with('/') => {
            Upstream::Unix(PathBuf::from(server.get_host()).join(file))
        }
        None => Upstream::Tcp(format!("{}:{}", server.get_host(), server.get_port())),
    };
    let proxy = FaultProxy::before(upstream).await.unwrap();
    let (user, database) = (server.get_username(), server.get_database().unwrap());
    let through = format!("postgres://{user}@{}/{database}", proxy.address());
    (proxy, through)
}
