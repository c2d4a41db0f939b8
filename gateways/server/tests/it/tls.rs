//! TLS in the process: who may speak with it and how, what is refused at the start, and how one certificate takes the place of
//! another while the server runs. How a handshake takes a place, `gateways/api/tests/it/tls.rs` asks.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair};
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::tls::Version;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Engine, World};

/// How long anything may take under the load of all tests.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A certificate for this machine that vouches for itself, and its key, both in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        Self::of(&CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap())
    }

    /// One that ends so long after now.
    fn ending_in(span: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + span;
        Self::of(&params)
    }

    fn of(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, key: key.serialize_pem() }
    }
}

/// The two files of a server.
struct Files(TempDir);

impl Files {
    fn new(pair: &Pair) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.put("cert.pem", &pair.certificate);
        files.put("key.pem", &pair.key);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in one step, readable by its owner only.
    fn put(&self, name: &str, text: &str) {
        let fresh = self.path("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&fresh, self.path(name)).unwrap();
    }

    /// The variables that name them.
    fn variables(&self) -> [(&'static str, String); 3] {
        let text = |name: &str| self.path(name).to_str().unwrap().to_owned();
        [
            ("DCA_HTTP_TLS_CERT", text("cert.pem")),
            ("DCA_HTTP_TLS_KEY", text("key.pem")),
            ("DCA_HTTP_TLS_POLL_MS", "50".to_owned()),
        ]
    }
}

/// A client that takes this certificate and no other one, over a connection of its own.
pub(crate) fn trusting(certificate: &str) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    builder.tls_built_in_root_certs(false).add_root_certificate(root)
}

/// A world that is not served yet, and speaks TLS.
fn secured(pair: &Pair, files: &Files) -> World {
    let mut world = World::empty(Engine::Sqlite);
    world.trust(&pair.certificate);
    for (name, value) in files.variables() {
        world.set(name, &value);
    }
    world
}

async fn demo(pair: &Pair, variables: &[(&str, &str)]) -> (World, Files) {
    let files = Files::new(pair);
    let mut world = secured(pair, &files);
    for (name, value) in variables {
        world.set(name, value);
    }
    world.serve().await;
    (world, files)
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a new connection gets this certificate.
async fn is_served(world: &World, pair: &Pair) -> bool {
    let client = trusting(&pair.certificate).build().unwrap();
    client.get(format!("{}/live", world.url())).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// What the log warns of connections and certificates.
fn warnings(world: &World) -> Vec<String> {
    let own = |line: &&str| line.contains("target\":\"api::") || line.contains("certificate");
    let log = world.log();
    log.lines().filter(|line| line.contains("WARN")).filter(own).map(str::to_owned).collect()
}

async fn health(world: &World) -> Value {
    let health = world.ask("GET", "/health", &[], Value::Null).await.expect(200);
    let parts = health["components"].as_array().unwrap();
    parts.iter().find(|part| part["name"] == "certificate").expect("a certificate has a condition").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_validated_over_tls_1_3_and_nothing_older_is_spoken() {
    let pair = Pair::new();
    let (world, _files) = demo(&pair, &[]).await;
    assert!(world.url().starts_with("https://127.0.0.1:"), "{}", world.url());
    // The command line takes the certificate that the server has written into its folder.
    let status = world.cli(&["status"]).await;
    assert_eq!(status["url"], world.url());
    world.cli(&["healthcheck"]).await;
    // What the banner shows.
    let printed = world.printed();
    let shown = |begin: &str| printed.split_once(begin).unwrap().1.split_once('\'').unwrap().0;
    let body: Value = serde_json::from_str(shown("-d '")).unwrap();
    let client = trusting(&pair.certificate).min_tls_version(Version::TLS_1_3).build().unwrap();
    let asked = client.post(format!("{}/licenses/validate", world.url()));
    let answer = asked.header("X-API-Key", shown("X-API-Key: ")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"), "{answer:?}");
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "VALID");
    let older = trusting(&pair.certificate).max_tls_version(Version::TLS_1_2).build().unwrap();
    assert!(older.get(format!("{}/live", world.url())).send().await.unwrap_err().is_connect());
    assert_eq!(health(&world).await["status"], "ok");
    assert_eq!(warnings(&world), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_takes_the_announced_certificate_only() {
    let pair = Pair::new();
    let (world, files) = demo(&pair, &[]).await;
    let run = world.data_dir().join("demo").join("run.json");
    let text = std::fs::read_to_string(&run).unwrap();
    let mut told: Value = serde_json::from_str(&text).unwrap();
    let other = Pair::new().certificate;
    let lines: Vec<&str> = other.lines().filter(|line| !line.starts_with('-')).collect();
    told["certificate"] = lines.concat().into();
    std::fs::write(&run, told.to_string()).unwrap();
    let refused = world.run(&["status"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("certificate is another one"), "{said}");
    // Nor does it ask without TLS, or take one that somebody else vouches for.
    told.as_object_mut().unwrap().remove("certificate");
    std::fs::write(&run, told.to_string()).unwrap();
    let refused = world.run(&["status"]).await;
    assert!(!refused.status.success(), "{refused:?}");
    drop(files);
    std::fs::write(&run, text).unwrap();
    world.cli(&["status"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_no_tls_is_told_so_and_the_log_is_not_filled() {
    let pair = Pair::new();
    let (world, _files) = demo(&pair, &[("DCA_HTTP_HANDSHAKE_TIMEOUT_MS", "500")]).await;
    let address = world.url().strip_prefix("https://").unwrap();
    let told = async |text: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text).await.unwrap();
        let mut bytes = Vec::new();
        // A reset says the same as an end.
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        assert!(end.is_ok(), "the connection is closed");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let plain = told(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (head, body) = plain.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{plain}");
    assert!(
        body.contains("https://") && head.contains(&format!("Content-Length: {}", body.len())),
        "{plain}"
    );
    assert!(!told(b"\x00\x01\x02 what is this?").await.contains("HTTP"));
    assert_eq!(told(b"").await, "", "silent");
    assert!(is_served(&world, &pair).await);
    assert_eq!(warnings(&world), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_takes_the_place_of_the_old_one_without_a_restart() {
    let (old, new) = (Pair::new(), Pair::new());
    let (mut world, files) = demo(&old, &[]).await;
    let kept = trusting(&old.certificate).build().unwrap();
    let ask = async || kept.get(format!("{}/live", world.url())).send().await.unwrap().status();
    assert_eq!(ask().await, 200);
    let logged = async |text: &str| until(text, async || world.log().contains(text)).await;
    // Half of it is written, then all of it without its key: the one from before stays.
    files.put("cert.pem", &new.certificate[..new.certificate.len() / 2]);
    logged("cannot be read: it has no end").await;
    assert!(is_served(&world, &old).await);
    let condition = health(&world).await;
    assert_eq!(condition["status"], "degraded", "{condition}");
    files.put("cert.pem", &new.certificate);
    logged("holds the private key of another certificate").await;
    assert!(is_served(&world, &old).await && !is_served(&world, &new).await);
    files.put("key.pem", &new.key);
    until("the new certificate is served", async || is_served(&world, &new).await).await;
    assert!(!is_served(&world, &old).await);
    assert_eq!(ask().await, 200, "the connection from before goes on");
    let log = world.log();
    assert_eq!(log.matches("is not replaced").count(), 2, "once for each fault: {log}");
    let named = format!("the TLS certificate file {} holds", files.path("cert.pem").display());
    assert!(log.contains(&named) && log.contains("each beginning with `-----BEGIN"), "{log}");
    world.trust(&new.certificate);
    assert_eq!(health(&world).await["status"], "ok");
    world.cli(&["status"]).await;
    assert_eq!(world.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_is_near_is_told() {
    let pair = Pair::ending_in(DAY * 13);
    let (world, files) = demo(&pair, &[]).await;
    let condition = health(&world).await;
    assert_eq!(condition["status"], "degraded", "{condition}");
    assert!(condition["detail"].as_str().unwrap().starts_with("ends at 20"), "{condition}");
    let told = format!("the certificate {} ends at ", files.path("cert.pem").display());
    until("the log says so", async || world.log().contains(&told)).await;
    let later = Pair::ending_in(DAY * 15);
    files.put("cert.pem", &later.certificate);
    files.put("key.pem", &later.key);
    until("the renewal is served", async || is_served(&world, &later).await).await;
    assert_eq!(world.log().matches(&told).count(), 1, "{}", world.log());
}

/// What a server says that does not start.
async fn refusal(files: &Files) -> String {
    let world = secured(&Pair::new(), files);
    let output = world.run(&["serve", "--mode", "live"]).await;
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_refused_at_the_start_with_its_remedy() {
    let pair = Pair::new();
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (name, text, says) in [
        ("cert.pem", "", "holds no certificate"),
        ("cert.pem", &*pair.key, "holds no certificate"),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("key.pem", &*pair.certificate, "holds no private key"),
        ("key.pem", &*Pair::new().key, "holds the private key of another certificate"),
        ("key.pem", sealed, "is encrypted with a password"),
        ("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be used"),
    ] {
        let files = Files::new(&pair);
        files.put(name, text);
        let said = refusal(&files).await;
        let path = files.path(name);
        assert!(said.contains(says) && said.contains(path.to_str().unwrap()), "{says}: {said}");
        assert!(said.contains("help: "), "{said}");
    }
    for (name, key) in [("cert.pem", "http.tls_cert"), ("key.pem", "http.tls_key")] {
        let files = Files::new(&pair);
        std::fs::remove_file(files.path(name)).unwrap();
        let said = refusal(&files).await;
        assert!(said.contains("cannot be read") && said.contains(key), "{said}");
    }
    let files = Files::new(&pair);
    std::fs::set_permissions(files.path("key.pem"), Permissions::from_mode(0o640)).unwrap();
    let said = refusal(&files).await;
    assert!(said.contains("open to other users (mode 0640)") && said.contains("chmod 600"), "{said}");
}

/// Without a certificate or a proxy an address that others can reach is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_every_address_may_be_listened_on() {
    let arguments = ["serve", "--mode", "live", "--listen", "0.0.0.0:0"];
    let plain = World::empty(Engine::Sqlite).run(&arguments).await;
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(!plain.status.success() && said.contains("--tls-cert"), "{said}");
    let pair = Pair::new();
    let files = Files::new(&pair);
    let mut world = World::empty(Engine::Sqlite);
    world.trust(&pair.certificate);
    world.live();
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let named = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    world.serve_with(&[&arguments[..], &named].concat()).await;
    assert!(is_served(&world, &pair).await);
    assert_eq!(world.cli(&["status"]).await["mode"], "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_of_a_connection_over_tls_belong_to_this_host_alone() {
    let pair = Pair::new();
    let (world, _files) = demo(&pair, &[]).await;
    let client = trusting(&pair.certificate).redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let begun = client.get(format!("{}/auth/discord", world.url())).send().await.unwrap();
    assert_eq!(begun.status(), 303);
    let set = begun.headers()[SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-dca_login=") && set.contains("; Secure"), "{set}");
    let asked = begun.headers()[LOCATION].to_str().unwrap();
    assert!(asked.contains("redirect_uri=https%3A%2F%2F127.0.0.1%3A"), "{asked}");
    assert!(begun.headers().contains_key("strict-transport-security"), "{begun:?}");
}
