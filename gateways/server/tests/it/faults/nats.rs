//! NATS is cut off, silent, or wiped while programs work: nothing is lost, what one process revokes the others refuse in
//! the published time, and the stream for programs outside has every event in the end.

use std::time::Duration;

use fault_proxy::{Fault, FaultProxy, Upstream};

use super::invariants;
use super::load::Load;
use super::site::Site;
use crate::discord::until;
use crate::nats::Nats;
use crate::scale::messages;
use crate::world::Engine;

/// Two processes that hear of each other through a proxy.
async fn start(nats: &Nats) -> (Site, FaultProxy) {
    let address = nats.url().trim_start_matches("nats://").to_owned();
    let proxy = FaultProxy::before(Upstream::Tcp(address)).await.unwrap();
    let through = format!("nats://{}", proxy.address());
    let mut site = Site::start(Engine::postgres().await, &[("NATS_URL", &through)]).await;
    site.join().await;
    (site, proxy)
}

/// The stream outside has as many messages as the log has events.
pub(super) async fn copied(site: &Site, nats: &Nats) {
    until("the stream has every event", || async {
        let position = site.live.world.cli(&["status"]).await["position"].clone();
        (messages(nats).await == position).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_nothing_is_lost() {
    let nats = Nats::start().await;
    let (mut site, proxy) = start(&nats).await;
    let load = Load::start(&site);
    for fault in
        [Fault::Cut, Fault::HalfOpen, Fault::Stall, Fault::Reset, Fault::Delay(Duration::from_millis(300))]
    {
        load.more(25).await;
        proxy.set(fault);
        load.more(50).await;
        proxy.set(Fault::Pass);
    }
    load.more(25).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
    copied(&site, &nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_that_lost_everything_is_filled_again() {
    let mut nats = Nats::start().await;
    let (mut site, _proxy) = start(&nats).await;
    let load = Load::start(&site);
    for _ in 0..2 {
        load.more(40).await;
        nats.kill();
        nats.wipe();
        load.more(40).await;
        nats.run().await;
    }
    load.more(20).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
    copied(&site, &nats).await;
}
