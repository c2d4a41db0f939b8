//! Every read model is built anew while programs work, by the operator's command line: nobody meets an error or a table that
//! is not whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use super::invariants;
use super::load::Load;
use super::site::Site;
use crate::on_every_engine;
use crate::world::Engine;

on_every_engine!(every_read_model_is_rebuilt_under_load);

/// Licenses that are there before, and are listed all the time.
const LISTED: u32 = 250;

async fn every_read_model_is_rebuilt_under_load(engine: Engine) {
    let parted = engine.database_url().is_some();
    let mut site = Site::start(engine, &[("DCA_REBUILD_PAGE", "200")]).await;
    if parted {
        site.join().await;
    }
    site.licenses(LISTED).await;
    let load = Load::start(&site);
    load.more(40).await;
    let (done, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let api_key = site.tenants[0].api_key.clone();
    let listing = {
        let (urls, done, lists) = (site.urls(), done.clone(), lists.clone());
        tokio::spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            for url in urls.iter().cycle() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                assert_eq!(listed(&http, url, &api_key).await, LISTED as usize, "by {url}");
                lists.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    for round in 0..2 {
        for name in projections::rebuild::names() {
            let before = lists.load(Ordering::SeqCst);
            let world = site.world(if parted { round } else { 0 });
            let built = world.cli(&["rebuild", name]).await;
            assert_eq!(built["rebuilt"][0]["name"], name, "{built:#}");
            while lists.load(Ordering::SeqCst) == before {
                assert!(!listing.is_finished(), "a list failed while {name} was built");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    done.store(true, Ordering::SeqCst);
    listing.await.unwrap();
    load.more(20).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}

/// How many licenses of the type that nobody else makes a process lists, page by page.
async fn listed(http: &reqwest::Client, url: &str, api_key: &str) -> usize {
    let (mut count, mut cursor) = (0, None::<String>);
    loop {
        let after = cursor.as_ref().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let address = format!("{url}/licenses?type=plain&limit=100{after}");
        let answer = http.get(&address).header("X-API-Key", api_key).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{address}: {body}");
        count += body["data"].as_array().unwrap().len();
        cursor = body["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return count;
        }
    }
}
