//! What the tests stand on: a stand-in with one guild, calls to its two APIs, and a gateway client that waits for
//! what it is told to wait for.

use std::io::Read;
use std::time::Duration;

use fake_discord::{FakeDiscord, Settings};
use futures::{SinkExt, StreamExt};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const TOKEN: &str = "test-token";
pub(crate) const GUILDS: u64 = 1;
pub(crate) const MEMBERS: u64 = 2;

/// A running stand-in with one guild, two roles below the bot's and one member.
pub(crate) struct World {
    pub(crate) fake: FakeDiscord,
    pub(crate) http: Client,
    pub(crate) guild: String,
    pub(crate) pro: String,
    pub(crate) ada: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::local(TOKEN)).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let fake = FakeDiscord::start(settings).await.unwrap();
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut world = Self { fake, http, guild: String::new(), pro: String::new(), ada: String::new() };
        world.guild = world.make("/guilds", json!({"name": "Test"})).await;
        let guild = world.guild.clone();
        world.pro =
            world.make(&format!("/guilds/{guild}/roles"), json!({"name": "Pro", "position": 1})).await;
        world.ada = world.make(&format!("/guilds/{guild}/members"), json!({"username": "Ada"})).await;
        world
    }

    /// A control call.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}/_control{path}", self.fake.url()));
        parts(request.json(&body).send().await.unwrap()).await
    }

    /// A control call that must succeed.
    pub(crate) async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.control(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// A creation; the id of what was made.
    pub(crate) async fn make(&self, path: &str, body: Value) -> String {
        let (status, answer) = self.control(Method::POST, path, body).await;
        assert_eq!(status, 201, "{path}: {answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn put_settings(&self, body: Value) -> Value {
        self.must(Method::PUT, "/settings", body).await
    }

    pub(crate) async fn set_roles(&self, user: &str, roles: &[&str]) {
        let path = format!("/guilds/{}/members/{user}/roles", self.guild);
        self.must(Method::PUT, &path, json!({"roles": roles})).await;
    }

    /// A request as the bot.
    pub(crate) fn bot(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v10{path}", self.fake.url()));
        request.header("authorization", format!("Bot {TOKEN}"))
    }

    /// A request as the bot, with a body.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.bot(method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        parts(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.api(Method::GET, path, Value::Null).await
    }

    /// The direct-message channel with an account.
    pub(crate) async fn dm(&self, user: &str) -> String {
        let (status, channel) =
            self.api(Method::POST, "/users/@me/channels", json!({"recipient_id": user})).await;
        assert_eq!(status, 200, "{channel}");
        channel["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn inbox(&self, user: &str) -> Vec<Value> {
        let inbox = self.must(Method::GET, &format!("/users/{user}/inbox"), Value::Null).await;
        inbox.as_array().unwrap().clone()
    }

    pub(crate) async fn journal(&self) -> Vec<Value> {
        let journal = self.must(Method::GET, "/journal?limit=100000", Value::Null).await;
        journal["entries"].as_array().unwrap().clone()
    }

    /// A gateway client that has seen HELLO.
    pub(crate) async fn connect(&self) -> Socket {
        Socket::connect(self.fake.gateway_url()).await
    }

    /// A gateway client that has seen READY and every GUILD_CREATE of one guild.
    pub(crate) async fn online(&self, intents: u64) -> (Socket, Value) {
        let mut socket = self.connect().await;
        socket.identify(intents).await;
        let ready = socket.until("READY").await;
        socket.until("GUILD_CREATE").await;
        (socket, ready["d"].clone())
    }
}

async fn parts(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

/// The code of an error of Discord.
pub(crate) fn code(answer: &(u16, Value)) -> (u16, u64) {
    (answer.0, answer.1["code"].as_u64().unwrap_or(0))
}

/// A gateway client.
pub(crate) struct Socket {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// How many frames came as zlib.
    pub(crate) binary: usize,
    pub(crate) seq: u64,
}

impl Socket {
    pub(crate) async fn connect(url: &str) -> Self {
        let (ws, _) = tokio_tungstenite::connect_async(format!("{url}/?v=10&encoding=json")).await.unwrap();
        let mut socket = Self { ws, binary: 0, seq: 0 };
        assert_eq!(socket.next().await.unwrap()["op"], 10);
        socket
    }

    pub(crate) async fn say(&mut self, payload: Value) {
        self.say_text(payload.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: String) {
        self.ws.send(Message::Text(text.into())).await.unwrap();
    }

    pub(crate) async fn identify(&mut self, intents: u64) {
        self.say(identify(intents)).await;
    }

    /// The next frame; `Err` is the close code, 0 for none.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(10), self.ws.next()).await;
            let frame: Value = match message.expect("nothing came for ten seconds") {
                Some(Ok(Message::Text(text))) => {
                    serde_json::from_str(&text).unwrap_or_else(|_| json!(text.as_str()))
                }
                Some(Ok(Message::Binary(bytes))) => {
                    self.binary += 1;
                    let mut text = String::new();
                    flate2::read::ZlibDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
                    serde_json::from_str(&text).unwrap()
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(0),
            };
            if let Some(seq) = frame["s"].as_u64() {
                self.seq = seq;
            }
            return Ok(frame);
        }
    }

    /// The next event of this name; others are passed over.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|code| panic!("closed with {code} before {name}"));
            if frame["t"] == name {
                return frame;
            }
        }
    }

    /// The next frame of this opcode.
    pub(crate) async fn until_op(&mut self, op: u64) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|code| panic!("closed with {code} before op {op}"));
            if frame["op"] == op {
                return frame;
            }
        }
    }

    /// The names of the events that come before the acknowledgement of a heartbeat sent now.
    pub(crate) async fn events(&mut self) -> Vec<String> {
        self.say(json!({"op": 1, "d": null})).await;
        let mut names = Vec::new();
        loop {
            let frame = self.next().await.unwrap();
            match frame["t"].as_str() {
                Some(name) => names.push(name.to_owned()),
                None if frame["op"] == 11 => return names,
                None => {}
            }
        }
    }

    /// The code with which the other side closes.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// Closes with a code.
    pub(crate) async fn close(mut self, code: u16) {
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.ws.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.ws.next().await {}
    }
}

pub(crate) fn identify(intents: u64) -> Value {
    json!({"op": 2, "d": {"token": TOKEN, "intents": intents, "properties": {"os": "t", "browser": "t", "device": "t"}}})
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: AsyncFn() -> bool>(what: &str, holds: F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
