//! What stands beside validation: a list read page by page to its end, and each kind of route at a constant rate over many
//! licenses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Method};
use domain::credential::Scope;
use serde_json::{Map, Value, json};

use super::commands::{Bed, GUILD, LARGE, median};
use super::load::{self, Load};
use super::{start, validate};
use crate::cli::Bench;
use crate::door;
use crate::failure::Outcome;

/// Requests a second.
const RATE: u32 = 500;
/// Connections.
const CONNECTIONS: usize = 32;
/// Licenses that are asked for in turn.
const SAMPLE: usize = 500;
/// Rows of a page: as many as one may have.
const PAGE: usize = 200;
/// Pages of which the median is taken, at both ends.
const ENDS: usize = 50;
/// So often a license is asked for before anything is sent a second time: a write that changes nothing costs less.
const ROUNDS: usize = 8;
/// Rows that a list of a search shows.
const SHOWN: usize = 50;

/// A license that is asked for.
struct Asked {
    id: String,
    key: String,
}

/// Walks the list, then asks for one thing after the other.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let bed = Bed::new(bench).await?;
    let begin = Instant::now();
    let mut keys = Vec::new();
    while keys.len() < bench.licenses {
        keys.extend(bed.order(GUILD, LARGE.min(bench.licenses - keys.len())).await?);
    }
    let ordered = begin.elapsed();
    let step = (keys.len() / SAMPLE).max(1);
    let mut sample = Vec::new();
    for key in keys.iter().step_by(step) {
        bed.activate(*key, "first").await?;
        sample.push(Asked { id: key.license.to_string(), key: bed.text(*key)? });
    }
    bed.project().await?;
    let scratch = bed.into_scratch();
    let off = [("DCA_LIMITS_READ", "off"), ("DCA_LIMITS_WRITE", "off")];
    let (mut server, door, _) = start::started_with(&scratch, bench, &off).await?;
    let address = validate::address_of(door.url())?;
    let scopes: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let api_key = validate::issued(&door, GUILD, json!({ "kind": "secret", "scopes": scopes })).await?;
    let list = walk(&door.with_key(&api_key)?, keys.len()).await?;
    let mut routes = Map::new();
    for (name, requests) in requests(address, &api_key, &sample) {
        let load =
            Load { connections: CONNECTIONS, span: Duration::from_secs(bench.seconds), rate: Some(RATE) };
        let measured = load::run(address, Arc::new(requests), load).await?;
        let micros = |share| measured.latency.quantile(share);
        let figures =
            json!({ "p50Micros": micros(0.5), "p95Micros": micros(0.95), "p99Micros": micros(0.99) });
        routes.insert(name.to_owned(), figures);
    }
    door.close().await;
    start::ended(&mut server).await?;
    Ok(json!({
        "what": "routes",
        "licenses": keys.len(),
        "ordersOfLicenses": LARGE.min(bench.licenses),
        "secondsForAnOrder": ordered.as_secs_f64() / keys.len().div_ceil(LARGE) as f64,
        "list": list,
        "ratePerSecond": RATE,
        "routes": routes,
    }))
}

/// The whole list by its cursor: each license once, and how long the first and the last pages took.
async fn walk(client: &Client, licenses: usize) -> Outcome<Value> {
    let (mut seconds, mut rows, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("/licenses?limit={PAGE}{cursor}");
        let begin = Instant::now();
        let page = client.call(Method::Get, &path, None).await.map_err(door::failure)?;
        seconds.push(begin.elapsed().as_secs_f64());
        rows += page.body["data"].as_array().map_or(0, Vec::len);
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let ends = ENDS.min(seconds.len());
    let (first, last) = (median(seconds[..ends].to_vec()), median(seconds[seconds.len() - ends..].to_vec()));
    Ok(json!({
        "pages": seconds.len(),
        "rows": rows,
        "isWhole": rows == licenses,
        "firstPagesSeconds": first,
        "lastPagesSeconds": last,
        "ratio": last / first,
    }))
}

/// Each kind of route with its requests: all licenses of the sample, in several rounds.
fn requests(address: SocketAddr, api_key: &str, sample: &[Asked]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let all = |method: &str, path: &dyn Fn(&Asked) -> String, body: &dyn Fn(&Asked, usize) -> Value| {
        let request = |(round, one): (usize, &Asked)| {
            let body = body(one, round);
            let text = if body.is_null() { String::new() } else { body.to_string() };
            load::request(method, address, &path(one), api_key, &text)
        };
        let rounds = (0..ROUNDS).flat_map(|round| sample.iter().map(move |one| (round, one)));
        rounds.map(request).collect::<Vec<_>>()
    };
    let nothing = |_: &Asked, _: usize| Value::Null;
    let of = |part: &'static str| move |one: &Asked| format!("/licenses/{}{part}", one.id);
    let guild = |part: String| move |_: &Asked| format!("/guilds/{GUILD}{part}");
    let fixed = |path: String| move |_: &Asked| path.clone();
    let device = |one: &Asked, _: usize| json!({ "key": one.key, "deviceId": "first" });
    vec![
        ("license", all("GET", &of(""), &nothing)),
        ("devices", all("GET", &of("/devices"), &nothing)),
        ("history", all("GET", &of("/history"), &nothing)),
        ("asOf", all("GET", &of("?asOf=version:1"), &nothing)),
        ("list", all("GET", &fixed(format!("/licenses?limit={SHOWN}")), &nothing)),
        ("listByStatus", all("GET", &fixed(format!("/licenses?limit={SHOWN}&status=active")), &nothing)),
        ("auditLog", all("GET", &fixed(format!("/admin/audit-log?limit={SHOWN}")), &nothing)),
        ("guild", all("GET", &guild(String::new()), &nothing)),
        ("licenseTypes", all("GET", &guild("/license-types".to_owned()), &nothing)),
        ("activateAgain", all("POST", &fixed("/licenses/activate".to_owned()), &device)),
        ("heartbeat", all("POST", &fixed("/licenses/heartbeat".to_owned()), &device)),
        (
            "rename",
            all("PATCH", &of("/devices/first"), &|_, round| json!({ "deviceName": round.to_string() })),
        ),
        ("metadata", all("POST", &of("/metadata"), &|_, round| json!({ "metadata": { "round": round } }))),
    ]
}
