//! OAuth2: consent, PKCE, codes that work once, refresh, revocation, scopes.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use fake_discord::LOCAL_CLIENT_SECRET;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{World, code};

const BACK: &str = "http://127.0.0.1:9/back?x=1";
const LOGIN: &str = "identify guilds guilds.members.read";

fn verifier() -> String {
    "v".repeat(43)
}

fn challenge(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(verifier))
}

type Members = Vec<(&'static str, String)>;

impl World {
    fn ask(&self, scope: &str, pkce: Option<(&str, &str)>) -> Members {
        let mut members = vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.fake.application_id().to_string()),
            ("redirect_uri", BACK.to_owned()),
            ("scope", scope.to_owned()),
            ("state", "s t&te".to_owned()),
            ("_as", self.ada.clone()),
        ];
        if let Some((challenge, method)) = pkce {
            members.push(("code_challenge", challenge.to_owned()));
            members.push(("code_challenge_method", method.to_owned()));
        }
        members
    }

    /// Where consent sends the browser: the members of the address, or the status of the page.
    async fn authorize(&self, members: &Members) -> Result<HashMap<String, String>, u16> {
        let url = reqwest::Url::parse_with_params(&format!("{}/oauth2/authorize", self.fake.url()), members)
            .unwrap();
        let response = self.http.get(url).send().await.unwrap();
        let Some(to) = response.headers().get("location") else { return Err(response.status().as_u16()) };
        assert_eq!(response.status(), 302);
        let to = reqwest::Url::parse(to.to_str().unwrap()).unwrap();
        assert!(to.as_str().starts_with(BACK));
        Ok(to.query_pairs().into_owned().collect())
    }

    async fn code(&self, scope: &str, verifier: Option<&str>) -> String {
        let challenge = verifier.map(challenge);
        let pkce = challenge.as_deref().map(|challenge| (challenge, "S256"));
        let back = self.authorize(&self.ask(scope, pkce)).await.unwrap();
        assert_eq!((back["state"].as_str(), back["iss"].as_str()), ("s t&te", self.fake.url()));
        back["code"].clone()
    }

    async fn post_form(&self, path: &str, members: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(format!("{}/api{path}", self.fake.url()));
        let request = request.basic_auth(self.fake.application_id(), Some(LOCAL_CLIENT_SECRET));
        let body: Vec<String> = members
            .iter()
            .map(|(name, value)| {
                format!("{name}={}", value.replace('&', "%26").replace('?', "%3F").replace('=', "%3D"))
            })
            .collect();
        let request =
            request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn exchange(&self, code: &str, verifier: &str) -> (u16, Value) {
        let mut members = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", BACK)];
        if !verifier.is_empty() {
            members.push(("code_verifier", verifier));
        }
        self.post_form("/v10/oauth2/token", &members).await
    }

    async fn sign_in(&self, scope: &str) -> Value {
        let code = self.code(scope, Some(&verifier())).await;
        let (status, tokens) = self.exchange(&code, &verifier()).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    async fn as_user(&self, token: &Value, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}/api/v10{path}", self.fake.url()));
        let response = request.bearer_auth(token.as_str().unwrap()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_sign_in_tells_who_and_where() {
    let world = World::start().await;
    world.set_roles(&world.ada, &[&world.pro]).await;
    let role = format!("/guilds/{}/roles/{}", world.guild, world.pro);
    world.must(Method::PUT, &role, json!({"permissions": "32"})).await;
    let tokens = world.sign_in(LOGIN).await;
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &tokens["scope"]),
        (&json!("Bearer"), &json!(604_800), &json!(LOGIN))
    );
    let token = &tokens["access_token"];
    let (_, me) = world.as_user(token, "/users/@me").await;
    assert_eq!((&me["id"], &me["username"], me.get("email")), (&json!(world.ada), &json!("Ada"), None));
    let (_, guilds) = world.as_user(token, "/users/@me/guilds").await;
    assert_eq!((&guilds[0]["id"], &guilds[0]["owner"]), (&json!(world.guild), &json!(false)));
    let permissions: u64 = guilds[0]["permissions"].as_str().unwrap().parse().unwrap();
    assert_eq!(permissions & 32, 32);
    let (_, member) = world.as_user(token, &format!("/users/@me/guilds/{}/member", world.guild)).await;
    assert_eq!(member["roles"], json!([world.pro]));
    let (_, current) = world.as_user(token, "/oauth2/@me").await;
    assert_eq!(current["user"]["id"], json!(world.ada));
    // The bot's doors stay closed to a person.
    for path in ["/guilds/1", "/channels/1", "/oauth2/applications/@me", "/applications/1/commands"] {
        assert_eq!(world.as_user(token, path).await.0, 401, "{path}");
    }
    let email = world.sign_in("identify email").await;
    assert_eq!(world.as_user(&email["access_token"], "/users/@me").await.1["email"], "ada@example.com");
    assert_eq!(code(&world.as_user(&email["access_token"], "/users/@me/guilds").await), (403, 50_026));
}

#[tokio::test]
async fn what_consent_refuses() {
    let world = World::start().await;
    let hash = challenge(&verifier());
    let changed = |name: &'static str, value: &str| {
        let mut members = world.ask(LOGIN, Some((&hash, "S256")));
        members.retain(|(own, _)| *own != name);
        members.push((name, value.to_owned()));
        members
    };
    for (what, members, error) in [
        ("plain", world.ask(LOGIN, Some((&verifier(), "plain"))), "invalid_request"),
        ("no method", world.ask(LOGIN, Some((&hash, ""))), "invalid_request"),
        ("a short challenge", world.ask(LOGIN, Some(("abc", "S256"))), "invalid_request"),
        (
            "linked roles with PKCE",
            world.ask("identify role_connections.write", Some((&hash, "S256"))),
            "invalid_scope",
        ),
        ("an unknown scope", world.ask("identify everything", None), "invalid_scope"),
        ("no scope", world.ask("", None), "invalid_scope"),
        ("the implicit flow", changed("response_type", "token"), "unsupported_response_type"),
        ("no consent", changed("_as", ""), "access_denied"),
    ] {
        let back = world.authorize(&members).await.unwrap();
        assert_eq!((back["error"].as_str(), back["state"].as_str()), (error, "s t&te"), "{what}");
    }
    for (name, value, status) in
        [("client_id", "1", 400), ("redirect_uri", "javascript:alert(1)", 400), ("_as", "77", 404)]
    {
        assert_eq!(world.authorize(&changed(name, value)).await, Err(status), "{name}");
    }
}

#[tokio::test]
async fn the_page_lists_people_and_is_safe_to_show() {
    let world = World::start().await;
    let members = format!("/guilds/{}/members", world.guild);
    world.make(&members, json!({"username": "<script>alert(1)</script>"})).await;
    let mut members = world.ask(LOGIN, None);
    members.retain(|(name, _)| *name != "_as");
    members.push(("extra", "\"><script>".to_owned()));
    let url =
        reqwest::Url::parse_with_params(&format!("{}/oauth2/authorize", world.fake.url()), &members).unwrap();
    let response = world.http.get(url).send().await.unwrap();
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    // With `no-referrer` a browser would send the form with `Origin: null`, and be refused.
    assert_eq!(response.headers()["referrer-policy"], "same-origin");
    let html = response.text().await.unwrap();
    assert!(html.contains("Continue as Ada") && !html.contains("<script>"), "{html}");
    let form: Vec<String> = members.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let body = format!("{}&_as={}", form.join("&").replace("s t&te", "s"), world.ada);
    let request = world.http.post(format!("{}/oauth2/authorize", world.fake.url()));
    let request = request.header("origin", world.fake.url());
    let response =
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap();
    assert!(response.headers()["location"].to_str().unwrap().contains("code="));
}

#[tokio::test]
async fn codes_work_once_and_only_with_their_proof() {
    let world = World::start().await;
    let right = verifier();
    let short = "v".repeat(42);
    let (other, odd) = ("w".repeat(43), format!("{}!", "v".repeat(43)));
    // (what, verifier of the challenge, verifier that is sent)
    for (what, asked, sent) in [
        ("wrong", Some(right.as_str()), other.as_str()),
        ("missing", Some(&right), ""),
        ("too short", Some(&short), &short),
        ("with a strange character", Some(&odd), &odd),
        ("unasked for", None, &right),
    ] {
        let code = world.code(LOGIN, asked).await;
        let (status, body) = world.exchange(&code, sent).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "{what}");
    }
    let code = world.code(LOGIN, Some(&right)).await;
    let elsewhere = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "http://127.0.0.1:9/"),
        ("code_verifier", &right),
    ];
    assert_eq!(world.post_form("/v10/oauth2/token", &elsewhere).await.1["error"], "invalid_grant");
    let (status, tokens) = world.exchange(&code, &right).await;
    assert_eq!(status, 200);
    assert_eq!(world.as_user(&tokens["access_token"], "/users/@me").await.0, 200);
    assert_eq!(world.exchange(&code, &right).await.1["error"], "invalid_grant");
    // A code that was used twice was stolen: its tokens are gone.
    assert_eq!(world.as_user(&tokens["access_token"], "/users/@me").await.0, 401);
    let late = world.code(LOGIN, Some(&right)).await;
    world.must(Method::POST, "/clock", json!({"advanceS": 601})).await;
    assert_eq!(world.exchange(&late, &right).await.0, 400);
}

#[tokio::test]
async fn tokens_are_refreshed_expire_and_are_revoked_together() {
    let world = World::start().await;
    let first = world.sign_in(LOGIN).await;
    let refresh = async |token: &Value| {
        let members = [("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())];
        world.post_form("/oauth2/token", &members).await
    };
    let alive = async |tokens: &Value| world.as_user(&tokens["access_token"], "/users/@me").await.0;
    let (status, second) = refresh(&first["refresh_token"]).await;
    assert_eq!((status, alive(&first).await, alive(&second).await), (200, 401, 200));
    assert_eq!(refresh(&first["refresh_token"]).await.1["error"], "invalid_grant");
    world.must(Method::POST, "/clock", json!({"advanceS": 604_801})).await;
    assert_eq!(alive(&second).await, 401);
    let (_, third) = refresh(&second["refresh_token"]).await;
    assert_eq!(alive(&third).await, 200);
    let revoke = [("token", third["refresh_token"].as_str().unwrap())];
    assert_eq!(world.post_form("/v10/oauth2/token/revoke", &revoke).await.0, 200);
    assert_eq!(alive(&third).await, 401);
    assert_eq!(refresh(&third["refresh_token"]).await.0, 400);
}

#[tokio::test]
async fn the_client_must_prove_itself_with_a_form() {
    let world = World::start().await;
    let url = format!("{}/api/v10/oauth2/token", world.fake.url());
    let request = world.http.post(&url).json(&json!({"grant_type": "authorization_code"}));
    assert_eq!(request.send().await.unwrap().status(), 400);
    let form = |body: String| {
        world.http.post(&url).header("content-type", "application/x-www-form-urlencoded").body(body)
    };
    let id = world.fake.application_id();
    let wrong = form(format!("client_id={id}&client_secret=wrong&grant_type=refresh_token"));
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let right = form(format!("client_id={id}&client_secret={LOCAL_CLIENT_SECRET}&grant_type=password"));
    let answer: Value = right.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_role_connection_needs_its_scope_and_known_keys() {
    let world = World::start().await;
    let app = world.fake.application_id();
    let record = json!([{"type": 7, "key": "active", "name": "Active", "description": "d"}]);
    world.api(Method::PUT, &format!("/applications/{app}/role-connections/metadata"), record).await;
    let path = format!("{}/api/v10/users/@me/applications/{app}/role-connection", world.fake.url());
    let put = async |token: &Value, body: Value| {
        let request = world.http.put(&path).bearer_auth(token.as_str().unwrap()).json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    let login = world.sign_in(LOGIN).await;
    let connection = json!({"platform_name": "DCA-Auth", "metadata": {"active": "1"}});
    assert_eq!(put(&login["access_token"], connection.clone()).await, 403);
    let code = world.code("identify role_connections.write", None).await;
    let (_, linked) = world.exchange(&code, "").await;
    let token = &linked["access_token"];
    assert_eq!(put(token, connection).await, 200);
    for bad in
        [json!({"metadata": {"unknown": "1"}}), json!({"metadata": {"active": 1}}), json!({"colour": 1})]
    {
        assert_eq!(put(token, bad.clone()).await, 400, "{bad}");
    }
    let (_, kept) = world.as_user(token, &format!("/users/@me/applications/{app}/role-connection")).await;
    assert_eq!(kept["metadata"], json!({"active": "1"}));
    let seen = world.must(Method::GET, &format!("/users/{}/connection", world.ada), Value::Null).await;
    assert_eq!(seen, kept);
}
