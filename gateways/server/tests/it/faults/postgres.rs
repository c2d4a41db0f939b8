//! PostgreSQL is gone, in each of the ways in which a server is: what is known is answered and marked, what is not known is
//! refused in form, nothing is ever called unknown that exists, and everything recovers unaided.

use std::time::{Duration, Instant};

use fault_proxy::Fault;

use super::invariants;
use super::load::Load;
use super::site::{Site, before_database};
use crate::discord::until;
use crate::world::Engine;

/// Long enough for every time limit to have passed once.
const SHORT: Duration = Duration::from_secs(9);
/// What the published table promises to bridge.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_without_postgresql_is_bridged() {
    outage(&[Fault::Cut], LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_fell_silent_holds_up_nobody() {
    outage(&[Fault::HalfOpen, Fault::Stall], SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgresql_that_are_reset_harm_nothing() {
    outage(&[Fault::Reset, Fault::Cut], SHORT).await;
}

/// Two processes over a PostgreSQL that fails in each of these ways, one after the other, under load.
async fn outage(faults: &[Fault], lasting: Duration) {
    let engine = Engine::postgres().await;
    let (proxy, through) = before_database(engine.database_url().unwrap()).await;
    let mut site = Site::start(engine, &[("DATABASE_URL", &through)]).await;
    site.join().await;
    let known = site.licenses(1).await.remove(0).1;
    let load = Load::start(&site);
    load.more(40).await;
    for (round, fault) in faults.iter().enumerate() {
        for url in site.urls() {
            has_it_as_it_is(&site, &url, &known, usize::min(round, 1)).await;
        }
        // Made, and asked for nowhere.
        let unknown = site.licenses(1).await.remove(0).1;
        proxy.set(*fault);
        let begin = Instant::now();
        let urls = site.urls();
        let (one, two) = tokio::join!(
            while_gone(&site, &urls[0], &known, &unknown, begin + lasting),
            while_gone(&site, &urls[1], &known, &unknown, begin + lasting)
        );
        assert!(one && two, "{fault:?}: answers of a process without its database were not marked");
        proxy.set(Fault::Pass);
        for url in &urls {
            recovered(&site, url, &known, &unknown).await;
        }
        load.more(40).await;
    }
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}

/// Waits until a process has the license in its cache with all that has happened to it: its first validation, and devices.
/// What it has heard of and not read yet, it would not use.
async fn has_it_as_it_is(site: &Site, url: &str, key: &str, devices: usize) {
    until("the process knows the license as it is", || async {
        let told = site.verdict(url, key).await;
        let license = &told.body["license"];
        (license["status"] == "active" && license["deviceCount"] == devices).then_some(())
    })
    .await;
}

/// What a process says until `end`; whether its answers came to be marked.
async fn while_gone(site: &Site, url: &str, known: &str, unknown: &str, end: Instant) -> bool {
    let mut marked = false;
    while Instant::now() < end {
        let (told, refused, written) = tokio::join!(
            site.verdict(url, known),
            site.verdict(url, unknown),
            site.activate(url, known, "laptop")
        );
        assert_eq!((told.status, told.code()), (200, "VALID"), "what is known is answered: {told:?}");
        let degraded = told.body["degraded"] == true;
        assert!(degraded || !marked, "it cannot have been confirmed in between: {told:?}");
        marked = degraded;
        assert!(refused.is_clean_refusal(), "what is not known is refused in form: {refused:?}");
        assert!(written.is_clean_refusal(), "a write is refused in form: {written:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    marked
}

async fn recovered(site: &Site, url: &str, known: &str, unknown: &str) {
    until("everything is answered again", || async {
        let (told, found) = (site.verdict(url, known).await, site.verdict(url, unknown).await);
        let fresh = told.body["degraded"] == false && found.body["degraded"] == false;
        assert_eq!(told.code(), "VALID", "{told:?}");
        (fresh && found.code() == "VALID").then_some(())
    })
    .await;
    until("writes are taken again", || async {
        (site.activate(url, known, "laptop").await.status < 300).then_some(())
    })
    .await;
}
