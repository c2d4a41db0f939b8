//! PostgreSQL is gone, in each of the ways in which a server is: what is known is answered and marked, what is not known is
//! refused in form, nothing is ever called unknown that exists, and everything recovers unaided.

use std::time::{Duration, Instant};

use fault_proxy::{Fault, FaultProxy};

use super::invariants;
use super::load::Load;
use super::site::{Site, before_database};
use crate::discord::until;
use crate::postgres::Postgres;
use crate::world::Engine;

/// Long enough for every time limit to have passed once.
const SHORT: Duration = Duration::from_secs(9);
/// What the published table promises to bridge.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_stopped_for_a_minute_is_bridged() {
    outage(Server::Own(Postgres::start().await, vec![Postgres::stop]), LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_crashes_loses_nothing_that_was_acknowledged() {
    outage(Server::Own(Postgres::start().await, vec![Postgres::crash, Postgres::crash]), SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_fell_silent_holds_up_nobody() {
    outage(Server::proxied(&[Fault::HalfOpen, Fault::Stall]).await, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgresql_that_are_reset_harm_nothing() {
    outage(Server::proxied(&[Fault::Reset, Fault::Cut]).await, SHORT).await;
}

/// The database server, and the ways in which it goes, one after the other.
enum Server {
    /// A server of the test's own, which ends.
    Own(Postgres, Vec<fn(&mut Postgres)>),
    /// A database behind a proxy that fails.
    Proxied { database: String, through: String, proxy: FaultProxy, faults: Vec<Fault> },
}

impl Server {
    async fn proxied(faults: &[Fault]) -> Self {
        let engine = Engine::postgres().await;
        let database = engine.database_url().unwrap().to_owned();
        let (proxy, through) = before_database(&database).await;
        Self::Proxied { database, through, proxy, faults: faults.to_vec() }
    }

    async fn site(&self) -> Site {
        match self {
            Self::Own(server, _) => Site::start(Engine::Postgres(server.url()), &[]).await,
            Self::Proxied { database, through, .. } => {
                Site::start(Engine::Postgres(database.clone()), &[("DATABASE_URL", through)]).await
            }
        }
    }

    fn rounds(&self) -> usize {
        match self {
            Self::Own(_, ways) => ways.len(),
            Self::Proxied { faults, .. } => faults.len(),
        }
    }

    fn go(&mut self, round: usize) {
        match self {
            Self::Own(server, ways) => ways[round](server),
            Self::Proxied { proxy, faults, .. } => proxy.set(faults[round]),
        }
    }

    async fn come_back(&mut self) {
        match self {
            Self::Own(server, _) => server.run().await,
            Self::Proxied { proxy, .. } => proxy.set(Fault::Pass),
        }
    }
}

/// Two processes over a PostgreSQL that fails in each of its ways, under load.
async fn outage(mut server: Server, lasting: Duration) {
    let mut site = server.site().await;
    site.join().await;
    let known = site.licenses(1).await.remove(0).1;
    let load = Load::start(&site);
    load.more(40).await;
    for round in 0..server.rounds() {
        for url in site.urls() {
            has_it_as_it_is(&site, &url, &known, usize::min(round, 1)).await;
        }
        // Made, and asked for nowhere.
        let unknown = site.licenses(1).await.remove(0).1;
        server.go(round);
        let begin = Instant::now();
        let urls = site.urls();
        let (one, two) = tokio::join!(
            while_gone(&site, &urls[0], &known, &unknown, begin + lasting),
            while_gone(&site, &urls[1], &known, &unknown, begin + lasting)
        );
        assert!(one && two, "round {round}: answers of a process without its database were not marked");
        server.come_back().await;
        for url in &urls {
            everything_is_answered(&site, url, &known, &unknown).await;
        }
        // Not before: a process that hears of a change and cannot read it yet refuses the key, as it should.
        for url in &urls {
            until("writes are taken again", || async {
                (site.activate(url, &known, "laptop").await.status < 300).then_some(())
            })
            .await;
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

/// Waits until a process has its database again. Until then it answers what it knows: nobody changes it meanwhile.
async fn everything_is_answered(site: &Site, url: &str, known: &str, unknown: &str) {
    until("everything is answered again", || async {
        let (told, found) = (site.verdict(url, known).await, site.verdict(url, unknown).await);
        let fresh = told.body["degraded"] == false && found.body["degraded"] == false;
        assert_eq!(told.code(), "VALID", "{told:?}");
        (fresh && found.code() == "VALID").then_some(())
    })
    .await;
}
