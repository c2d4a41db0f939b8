//! From nobody to `/auth/me` by plain HTTP calls against the stand-in, and everything that can happen to a session after that:
//! tabs that refresh at once, a stolen refresh token, signing out, another instance, a Redis that is gone. Whoever tries to
//! get into somebody else's sign-in gets nothing.

use std::time::{Duration, Instant};

use fake_discord::{FakeDiscord, LOCAL_CLIENT_SECRET, Settings};
use reqwest::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use serde_json::{Value, json};

use crate::discord::{Sim, TOKEN, configure, until};
use crate::on_every_engine_and_two_instances;
use crate::redis::Redis;
use crate::world::{Answer, Engine, World};

on_every_engine_and_two_instances!(
    a_program_signs_in_and_out,
    tabs_refresh_at_once_and_a_stolen_token_ends_the_session,
    a_browser_signs_in_with_cookies,
    sign_ins_of_others_are_not_taken,
);

/// Where browsers are told to go; nobody listens there, so the tests carry what comes back themselves.
const PUBLIC: &str = "http://127.0.0.1:9";
/// How long a replaced refresh token is forgiven here.
const GRACE_MS: &str = "4000";
const GRACE: Duration = Duration::from_millis(4_000);

/// A deployment that people can sign in to.
pub(crate) struct Site {
    fake: FakeDiscord,
    pub(crate) world: World,
    http: reqwest::Client,
    /// An account.
    pub(crate) ada: String,
    /// Another one.
    pub(crate) bob: String,
}

/// What a browser or a program brings back from Discord.
#[derive(Debug, Clone)]
pub(crate) struct Returned {
    code: String,
    state: String,
    iss: String,
}

impl Site {
    pub(crate) async fn start(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let fake = FakeDiscord::start(Settings::local(TOKEN)).await.unwrap();
        let sim = Sim::at(fake.url());
        let made = sim.call("POST", "/guilds", json!({ "name": "Sign-in" })).await;
        let ada = sim.join(made["id"].as_str().unwrap(), "ada", &[]).await;
        let bob = sim.join(made["id"].as_str().unwrap(), "bob", &[]).await;
        let mut world = World::empty(engine);
        configure(&mut world, &fake);
        world.set("DISCORD_CLIENT_ID", &fake.application_id().to_string());
        world.set("DISCORD_CLIENT_SECRET", LOCAL_CLIENT_SECRET);
        world.set("DCA_HTTP_PUBLIC_URL", PUBLIC);
        world.set("DCA_SESSIONS_REFRESH_GRACE_MS", GRACE_MS);
        for (name, value) in variables {
            world.set(name, value);
        }
        world.serve().await;
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { fake, world, http: http.build().unwrap(), ada, bob }
    }

    /// Agrees at Discord as `account`; what it sends the browser back with.
    pub(crate) async fn agree(&self, url: &str, account: &str) -> Returned {
        assert!(url.starts_with(&format!("{}/oauth2/authorize?", self.fake.url())), "{url}");
        let response = self.http.get(format!("{url}&_as={account}")).send().await.unwrap();
        assert_eq!(response.status(), 302);
        let back = response.headers()[LOCATION].to_str().unwrap().to_owned();
        let query = back.strip_prefix(&format!("{PUBLIC}/auth/discord/callback?")).unwrap();
        let member = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            percent_encoding::percent_decode_str(found.unwrap_or_default())
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        Returned { code: member("code"), state: member("state"), iss: member("iss") }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.world.ask("POST", path, &[], body).await
    }

    /// A sign-in of a program that is begun: where to agree, and the login token.
    async fn begin(&self) -> (String, String) {
        let begun = self.post("/auth/discord", json!({})).await.expect(200);
        (text(&begun["authorizationUrl"]), text(&begun["loginToken"]))
    }

    pub(crate) async fn finish(&self, returned: &Returned, login_token: &str) -> Answer {
        let Returned { code, state, iss } = returned;
        let body = json!({ "code": code, "state": state, "iss": iss, "loginToken": login_token });
        self.post("/auth/callback", body).await
    }

    /// Signs in as a program; access token and refresh token.
    pub(crate) async fn sign_in(&self) -> (String, String) {
        let (url, login_token) = self.begin().await;
        let returned = self.agree(&url, &self.ada).await;
        let tokens = self.finish(&returned, &login_token).await.expect(200);
        assert_eq!((&tokens["tokenType"], &tokens["expiresIn"]), (&json!("Bearer"), &json!(300)));
        (text(&tokens["accessToken"]), text(&tokens["refreshToken"]))
    }

    pub(crate) async fn with_token(&self, token: &str, method: &str, path: &str) -> Answer {
        self.world.ask(method, path, &[("Authorization", &format!("Bearer {token}"))], Value::Null).await
    }

    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.with_token(token, "GET", "/auth/me").await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.post("/auth/refresh", json!({ "refreshToken": token })).await
    }

    /// Waits until every process refuses the token; within the published bound.
    pub(crate) async fn refused_everywhere(&self, token: &str) {
        let begin = Instant::now();
        for _ in 0..2 {
            while self.me(token).await.code() != "SESSION_ENDED" {
                assert!(begin.elapsed() < Duration::from_secs(2), "an ended session goes on");
            }
        }
    }

    /// A request of a browser that is here under its public name.
    fn browse(&self, method: &str, path: &str, jar: &Jar) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.world.url()));
        request.header(HOST, PUBLIC.strip_prefix("http://").unwrap()).header(COOKIE, jar.header())
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The cookies of a browser.
#[derive(Debug, Clone, Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    fn take(&mut self, response: &reqwest::Response) -> Vec<String> {
        let set: Vec<String> =
            response.headers().get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap().to_owned()).collect();
        for cookie in &set {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.0.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
        set
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

async fn a_program_signs_in_and_out(engine: Engine) {
    let mut site = Site::start(engine, &[]).await;
    let (access, refresh) = site.sign_in().await;
    let me = site.me(&access).await.expect(200);
    assert_eq!((&me["user"]["id"], &me["user"]["username"]), (&json!(site.ada), &json!("ada")), "{me:#}");
    assert_eq!(me["user"]["email"], "ada@example.com");
    assert_eq!((&me["session"]["current"], &me["session"]["surface"]), (&json!(true), &json!("client")));
    assert_eq!(me["guilds"], json!([]), "she is staff of nothing");
    // A second session; each sees both, and one ends the other.
    let (second, _) = site.sign_in().await;
    let sessions = until("both sessions are listed", || async {
        let listed = site.with_token(&second, "GET", "/auth/sessions").await.expect(200);
        Some(listed["data"].as_array()?.clone()).filter(|sessions| sessions.len() == 2)
    })
    .await;
    let other = sessions.iter().find(|one| one["current"] == false).unwrap();
    assert_eq!(other["id"], me["session"]["id"]);
    assert!(other["lastUsedAt"].is_string() && other["expiresAt"].is_string());
    let path = format!("/auth/sessions/{}", text(&other["id"]));
    site.with_token(&second, "DELETE", &path).await.expect(204);
    site.refused_everywhere(&access).await;
    assert_eq!(site.refresh(&refresh).await.code(), "SESSION_ENDED");
    assert_eq!(site.me(&second).await.status, 200);
    // The keys that prove a token are public.
    let keys = site.world.ask("GET", "/.well-known/jwks.json", &[], Value::Null).await.expect(200);
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["crv"]), (&json!("OKP"), &json!("Ed25519")));
    // Signing out holds at the very next request to the process that did it.
    let (third, kept) = site.sign_in().await;
    site.world.turn_of_the_first();
    site.with_token(&third, "POST", "/auth/logout").await.expect(204);
    site.world.turn_of_the_first();
    assert_eq!(site.me(&third).await.code(), "SESSION_ENDED");
    site.refused_everywhere(&third).await;
    site.world.crash().await;
    assert_eq!(site.me(&third).await.code(), "SESSION_ENDED", "no restart brings it back");
    assert_eq!(site.me(&second).await.status, 200, "nobody else is signed out by one");
    assert_eq!(site.refresh(&kept).await.code(), "SESSION_ENDED");
    no_token_is_kept(&mut site, &[&access, &refresh, &second, &third, &kept]).await;
    site.world.verify().await;
}

/// Neither the stores nor the log hold a token.
async fn no_token_is_kept(site: &mut Site, tokens: &[&str]) {
    let (dump, log) = (site.world.dump().await, site.world.log());
    assert!(dump.contains("session.started") && dump.contains("session.ended"));
    for token in tokens {
        let tail = &token[token.len() - 30..];
        assert!(!dump.contains(tail) && !log.contains(tail), "a token is kept");
    }
    assert!(!log.contains(&site.ada) && !log.contains("ada@example.com"));
}

async fn tabs_refresh_at_once_and_a_stolen_token_ends_the_session(engine: Engine) {
    let site = Site::start(engine, &[]).await;
    let (_, first) = site.sign_in().await;
    tokio::time::sleep(GRACE).await;
    let ten = futures::future::join_all((0..10).map(|_| site.refresh(&first))).await;
    let tokens: Vec<Value> = ten.into_iter().map(|answer| answer.expect(200)).collect();
    let next = text(&tokens[0]["refreshToken"]);
    assert_ne!(next, first);
    for tab in &tokens {
        assert_eq!(tab["refreshToken"], next.as_str(), "one rotation for all of them");
        assert_eq!(site.me(&text(&tab["accessToken"])).await.status, 200);
    }
    // The session goes on, and its first token is now old.
    tokio::time::sleep(GRACE).await;
    let alive = text(&site.refresh(&next).await.expect(200)["accessToken"]);
    let stolen = site.refresh(&first).await;
    assert_eq!((stolen.status, stolen.code()), (401, "REFRESH_REUSED"), "{:#}", stolen.body);
    site.refused_everywhere(&alive).await;
    let rightful = site.refresh(&next).await;
    assert_eq!((rightful.status, rightful.code()), (401, "SESSION_ENDED"));
    assert!(site.world.dump().await.contains("token_reused"), "it is recorded");
    let other = if &first[40..41] == "A" { "B" } else { "A" };
    let altered = format!("{}{other}{}", &first[..40], &first[41..]);
    for bad in ["dcar_", "dcar_AAAA", "x", &altered] {
        let refused = site.refresh(bad).await;
        assert_eq!((refused.status, refused.code()), (401, "INVALID_CREDENTIAL"), "{bad}");
    }
}

async fn a_browser_signs_in_with_cookies(engine: Engine) {
    let site = Site::start(engine, &[]).await;
    let mut jar = Jar::default();
    // Under another name of this machine it is sent to the public one first.
    let elsewhere = site.http.get(format!("{}/auth/discord", site.world.url())).send().await.unwrap();
    assert_eq!(elsewhere.headers()[LOCATION], format!("{PUBLIC}/auth/discord"));
    let begun = site.browse("GET", "/auth/discord", &jar).send().await.unwrap();
    assert_eq!(begun.status(), 303);
    let set = jar.take(&begun);
    assert!(
        set[0].contains("HttpOnly") && set[0].contains("SameSite=Lax") && set[0].contains("Path=/"),
        "{set:?}"
    );
    let returned = site.agree(begun.headers()[LOCATION].to_str().unwrap(), &site.ada).await;
    let Returned { code, state, iss } = &returned;
    let iss = percent_encoding::utf8_percent_encode(iss, percent_encoding::NON_ALPHANUMERIC);
    let back = format!("/auth/discord/callback?code={code}&state={state}&iss={iss}");
    let stranger = site.browse("GET", &back, &Jar::default()).send().await.unwrap();
    assert_eq!(stranger.status(), 400, "another browser");
    let landed = site.browse("GET", &back, &jar).send().await.unwrap();
    assert_eq!(landed.status(), 303, "{}", landed.text().await.unwrap());
    assert_eq!(landed.headers()[LOCATION], "/app/");
    let set = jar.take(&landed);
    let of = |name: &str| set.iter().find(|cookie| cookie.starts_with(&format!("{name}="))).unwrap();
    assert!(of("dca_at").contains("HttpOnly") && of("dca_rt").contains("SameSite=Strict"), "{set:?}");
    assert!(!of("dca_csrf").contains("HttpOnly"), "pages read this one");
    assert_eq!(jar.get("dca_login"), "", "it is used up");
    let again = site.browse("GET", &back, &jar).send().await.unwrap();
    assert_eq!(again.status(), 400, "the same answer twice");
    let me = site.browse("GET", "/auth/me", &jar).send().await.unwrap();
    assert_eq!(me.status(), 200);
    let me: Value = serde_json::from_str(&me.text().await.unwrap()).unwrap();
    assert_eq!((&me["user"]["id"], &me["session"]["surface"]), (&json!(site.ada), &json!("browser")));
    forged_pages_change_nothing(&site, &jar).await;
    // A refresh of a browser stays in its cookies.
    let own = |request: reqwest::RequestBuilder, jar: &Jar| {
        request
            .header("X-CSRF-Token", jar.get("dca_csrf"))
            .header("Sec-Fetch-Site", "same-origin")
            .header("Origin", PUBLIC)
    };
    let refreshed = own(site.browse("POST", "/auth/refresh", &jar), &jar).send().await.unwrap();
    assert_eq!(refreshed.status(), 204);
    jar.take(&refreshed);
    // Past the grace, in which nothing rotates anyhow: what is refused uses nothing up.
    tokio::time::sleep(GRACE).await;
    for _ in 0..2 {
        let lifted = site.refresh(jar.get("dca_rt")).await;
        assert_eq!(lifted.code(), "INVALID_CREDENTIAL", "no script takes a session out of its cookies");
    }
    let kept = jar.get("dca_rt").to_owned();
    let rotated = own(site.browse("POST", "/auth/refresh", &jar), &jar).send().await.unwrap();
    jar.take(&rotated);
    assert_eq!(generation(jar.get("dca_rt")), generation(&kept) + 1, "nothing came before its own refresh");
    let out = own(site.browse("POST", "/auth/logout", &jar), &jar).send().await.unwrap();
    assert_eq!(out.status(), 204);
    let before = jar.clone();
    jar.take(&out);
    assert_eq!(jar.header(), "");
    let me = site.browse("GET", "/auth/me", &before).send().await.unwrap();
    assert_eq!(me.status(), 401, "the copy of a cookie is worth nothing");
}

/// The number of a refresh token, which stands in it in the clear.
fn generation(token: &str) -> u32 {
    let bytes =
        data_encoding::BASE64URL_NOPAD.decode(token.strip_prefix("dcar_").unwrap().as_bytes()).unwrap();
    u32::from_be_bytes(bytes[16..20].try_into().unwrap())
}

/// What another site's page can make the browser send: cookies, and headers that it cannot choose.
async fn forged_pages_change_nothing(site: &Site, jar: &Jar) {
    let code = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (status, text(&body["code"]))
    };
    let token = jar.get("dca_csrf").to_owned();
    for path in ["/auth/logout", "/auth/refresh"] {
        let post = || site.browse("POST", path, jar);
        assert_eq!(code(post()).await, (403, "CSRF_TOKEN_REQUIRED".to_owned()), "{path}");
        let wrong = post().header("X-CSRF-Token", "AAAA");
        assert_eq!(code(wrong).await, (403, "CSRF_TOKEN_REQUIRED".to_owned()));
        let elsewhere = post().header("X-CSRF-Token", &token).header("Sec-Fetch-Site", "cross-site");
        assert_eq!(code(elsewhere).await, (403, "CROSS_SITE".to_owned()));
        let origin = post().header("X-CSRF-Token", &token).header("Origin", "https://evil.example");
        assert_eq!(code(origin).await, (403, "CROSS_SITE".to_owned()));
    }
    // A token of another session fits no cookie of this one.
    let mut mixed = jar.clone();
    let (begun, login) = site.begin().await;
    let returned = site.agree(&begun, &site.ada).await;
    site.finish(&returned, &login).await.expect(200);
    let foreign = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    mixed.0.retain(|(name, _)| name != "dca_csrf");
    mixed.0.push(("dca_csrf".to_owned(), foreign.to_owned()));
    let forged = site.browse("POST", "/auth/logout", &mixed).header("X-CSRF-Token", foreign);
    assert_eq!(code(forged).await, (403, "CSRF_TOKEN_REQUIRED".to_owned()), "a pair that was made elsewhere");
}

async fn sign_ins_of_others_are_not_taken(engine: Engine) {
    let site = Site::start(engine, &[]).await;
    let (url, mine) = site.begin().await;
    let (other_url, others) = site.begin().await;
    let returned = site.agree(&url, &site.ada).await;
    let other = site.agree(&other_url, &site.ada).await;
    let code = async |returned: &Returned, login: &str| {
        let answer = site.finish(returned, login).await;
        (answer.status, answer.code().to_owned())
    };
    let mismatch = (400, "STATE_MISMATCH".to_owned());
    assert_eq!(code(&returned, &others).await, mismatch, "another program's login token");
    let swapped = Returned { state: other.state.clone(), ..returned.clone() };
    assert_eq!(code(&swapped, &mine).await, mismatch, "another sign-in's state");
    // Another sign-in's code under one's own state: the verifier is not that of the code.
    let injected = Returned { code: returned.code.clone(), ..other.clone() };
    assert_eq!(code(&injected, &others).await, (400, "SIGN_IN_REFUSED".to_owned()), "code injection");
    assert_eq!(code(&other, &others).await, mismatch, "a sign-in works once");
    let (url, login) = site.begin().await;
    let returned = site.agree(&url, &site.ada).await;
    let foreign = Returned { iss: "https://evil.example".to_owned(), ..returned.clone() };
    assert_eq!(code(&foreign, &login).await, (400, "SIGN_IN_REFUSED".to_owned()), "another issuer");
    let (url, login) = site.begin().await;
    let returned = site.agree(&url, &site.ada).await;
    assert_eq!(site.finish(&returned, &login).await.status, 200);
    assert_eq!(code(&returned, &login).await, mismatch, "a replayed answer");
    let body = json!({ "code": "x", "state": "y", "loginToken": "z" });
    let lacking = site.post("/auth/callback", body).await;
    assert_eq!((lacking.status, lacking.code()), (400, "INVALID_REQUEST"));
    assert!(lacking.body.to_string().contains("/iss"), "{:#}", lacking.body);
}

/// Sessions are looked up in SQL; what Redis has is a copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_flushed_or_gone_signs_nobody_in_or_out() {
    let mut redis = Redis::start().await;
    let url = redis.url();
    let site =
        Site::start(Engine::postgres().await, &[("REDIS_URL", &url), ("DCA_CACHE_SESSIONS", "1")]).await;
    let (ended, _) = site.sign_in().await;
    let (kept, refresh) = site.sign_in().await;
    for token in [&ended, &kept, &ended, &kept] {
        assert_eq!(site.me(token).await.status, 200);
    }
    site.with_token(&ended, "POST", "/auth/logout").await.expect(204);
    let check = async |what: &str| {
        for _ in 0..3 {
            assert_eq!(site.me(&kept).await.status, 200, "{what}");
            assert_eq!(site.me(&ended).await.code(), "SESSION_ENDED", "{what}");
        }
    };
    check("before").await;
    redis.ask(&["FLUSHALL"]);
    check("flushed").await;
    redis.kill();
    check("gone").await;
    site.refresh(&refresh).await.expect(200);
    redis.run().await;
    check("empty again").await;
}

/// Over TLS cookies have the prefix that no other host and no page without TLS can set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_over_tls_belong_to_this_host_alone() {
    let public = ("DCA_HTTP_PUBLIC_URL", "https://auth.example.org");
    let site = Site::start(Engine::Sqlite, &[public]).await;
    let begun = site.http.get(format!("{}/auth/discord", site.world.url()));
    let begun = begun.header(HOST, "auth.example.org").send().await.unwrap();
    assert_eq!(begun.status(), 303);
    let set = begun.headers()[SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-dca_login=") && set.contains("; Secure"), "{set}");
    assert!(!set.contains("Domain"), "{set}");
    let asked = begun.headers()[LOCATION].to_str().unwrap();
    assert!(
        asked.contains("redirect_uri=https%3A%2F%2Fauth.example.org%2Fauth%2Fdiscord%2Fcallback"),
        "{asked}"
    );
    assert!(asked.contains("code_challenge_method=S256"), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_application_nobody_can_sign_in_and_it_says_why() {
    let mut world = World::empty(Engine::Sqlite);
    world.live();
    world.serve().await;
    let refused = world.ask("POST", "/auth/discord", &[], json!({})).await;
    assert_eq!((refused.status, refused.code()), (503, "SIGN_IN_OFF"));
    assert!(refused.body["detail"].as_str().unwrap().contains("DISCORD_CLIENT_ID"), "{:#}", refused.body);
    assert_eq!(world.stop().await, 0);
    for (name, value, says) in [
        ("DISCORD_CLIENT_ID", "900000000000000001", "discord.client_secret"),
        ("DISCORD_CLIENT_ID", "name", "decimal digits"),
        ("DCA_HTTP_PUBLIC_URL", "http://auth.example.org", "https://"),
        ("DCA_HTTP_PUBLIC_URL", "https://auth.example.org/path", "no path"),
    ] {
        let mut other = World::empty(Engine::Sqlite);
        other.set(name, value);
        let output = other.run(&["serve", "--mode", "live", "--listen", "127.0.0.1:0"]).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(says), "{name}={value}: {told}");
    }
}

/// The demo has a Discord of its own, and everybody of its story can sign in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_a_demo_sign_in() {
    let world = World::demo(Engine::Sqlite).await;
    let begun = world.ask("POST", "/auth/discord", &[], json!({})).await.expect(200);
    let url = format!("{}&_as={}", text(&begun["authorizationUrl"]), world.facts.grace);
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let back = http.get(url).send().await.unwrap().headers()[LOCATION].to_str().unwrap().to_owned();
    let landed = http.get(&back).send().await.unwrap();
    assert_eq!(landed.status(), 400, "it was begun by a program, and no browser can finish it");
    let member = |name: &str| {
        let query = back.split_once('?').unwrap().1;
        let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap();
        percent_encoding::percent_decode_str(found).decode_utf8().unwrap().into_owned()
    };
    let body = json!({
        "code": member("code"), "state": member("state"), "iss": member("iss"), "loginToken": begun["loginToken"],
    });
    let tokens = world.ask("POST", "/auth/callback", &[], body).await.expect(200);
    let bearer = format!("Bearer {}", text(&tokens["accessToken"]));
    let me = world.ask("GET", "/auth/me", &[("Authorization", &bearer)], Value::Null).await.expect(200);
    assert_eq!(me["guilds"][0]["name"], "Northwind Games", "{me:#}");
    until("the session stands in the read model", || async {
        let listed = world.ask("GET", "/auth/sessions", &[("Authorization", &bearer)], Value::Null).await;
        (listed.body["data"].as_array()?.len() == 1).then_some(())
    })
    .await;
}
