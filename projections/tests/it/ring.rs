//! Who knows which secrets: a secret becomes active when everybody who runs knows it, by the database's own clock.

use std::time::Duration;

use domain::time::Timestamp;
use projections::{Activated, RingHolder, RingSecret};

use crate::engines::Engine;
use crate::world::{NOW, World, generated, license_id};

crate::on_both_engines!(
    a_secret_becomes_active_when_everybody_knows_it,
    whoever_begins_and_whoever_activates_wait_for_each_other,
    a_secret_keeps_its_first_fingerprint,
    a_retirement_goes_on_where_it_was,
);

const LONG: Duration = Duration::from_secs(600);
const FIRST: &str = r#"{"license":0,"cache":3}"#;

async fn world(engine: Engine) -> World {
    let world = World::new(engine).await;
    world.execute(&format!("INSERT INTO meta (name, value) VALUES ('ring_active', '{FIRST}')")).await;
    world
}

fn holder(instance: &str, secrets: &[&str]) -> RingHolder {
    RingHolder {
        instance: instance.to_owned(),
        place: format!("the server of {instance}"),
        secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect(),
        active: FIRST.to_owned(),
        expires_at: Timestamp(0),
    }
}

async fn a_secret_becomes_active_when_everybody_knows_it(engine: Engine) {
    let world = world(engine).await;
    let holders = world.queries.ring_holders();
    assert_eq!(
        holders.announce(&holder("a", &["license-0", "license-1"]), LONG).await.unwrap().unwrap(),
        FIRST
    );
    holders.announce(&holder("b", &["license-0", "license-11"]), LONG).await.unwrap();
    let Activated::NotKnownTo(lacking) = holders.activate("license", 1).await.unwrap() else {
        panic!("b does not know it")
    };
    let names: Vec<&str> = lacking.iter().map(|one| one.instance.as_str()).collect();
    assert_eq!(names, ["b"], "an id that begins alike is another one");
    assert_eq!(holders.state().await.unwrap().unwrap().active, FIRST);
    // Who lapsed does not count, and has to announce himself again.
    world.execute("UPDATE ring_holder SET expires_at = 1 WHERE instance = 'b'").await;
    assert!(!holders.beat("b", FIRST, LONG).await.unwrap());
    let Activated::Done(active) = holders.activate("license", 1).await.unwrap() else { panic!("a knows it") };
    let ids: serde_json::Value = serde_json::from_str(&active).unwrap();
    assert_eq!(ids, serde_json::json!({ "license": 1, "cache": 3 }), "every other list stays");
    let again = holders.announce(&holder("b", &["license-0"]), LONG).await.unwrap().unwrap();
    assert_eq!(again, active, "b learns what is active by now");
    assert_eq!(holders.live().await.unwrap().len(), 2);
    assert!(holders.beat("a", &active, LONG).await.unwrap());
    assert_eq!(holders.live().await.unwrap()[0].active, active);
    holders.leave("b").await.unwrap();
    assert_eq!(holders.live().await.unwrap().len(), 1);
    holders.announce(&holder("c", &["license-0"]), LONG).await.unwrap();
    holders.alone("c").await.unwrap();
    assert_eq!(holders.live().await.unwrap()[0].instance, "c");
    assert_eq!(holders.live().await.unwrap().len(), 1);
}

/// Whatever comes first: an activation that did not see a process is seen by it.
async fn whoever_begins_and_whoever_activates_wait_for_each_other(engine: Engine) {
    let world = world(engine).await;
    let holders = world.queries.ring_holders();
    for turn in 1..=20_u32 {
        let name = format!("p{turn}");
        let beginning = holder(&name, &["license-0"]);
        let (began, activated) =
            tokio::join!(holders.announce(&beginning, LONG), holders.activate("license", turn));
        let began: serde_json::Value = serde_json::from_str(&began.unwrap().unwrap()).unwrap();
        match activated.unwrap() {
            Activated::Done(_) => assert_eq!(began["license"], turn, "it was activated unseen"),
            Activated::NotKnownTo(lacking) => {
                assert_eq!(lacking.len(), 1);
                assert_ne!(began["license"], turn);
            }
        }
        holders.leave(&name).await.unwrap();
    }
}

async fn a_secret_keeps_its_first_fingerprint(engine: Engine) {
    let world = world(engine).await;
    let holders = world.queries.ring_holders();
    let secret = |id: &str, fingerprint: &str| RingSecret {
        id: id.to_owned(),
        fingerprint: fingerprint.to_owned(),
        created_at: NOW,
    };
    let first = [secret("cache-0", "aa"), secret("license-0", "bb")];
    assert_eq!(holders.record(&first).await.unwrap(), first);
    let known = holders.record(&[secret("license-0", "cc"), secret("license-1", "dd")]).await.unwrap();
    assert_eq!(known, [secret("cache-0", "aa"), secret("license-0", "bb"), secret("license-1", "dd")]);
}

async fn a_retirement_goes_on_where_it_was(engine: Engine) {
    let mut world = world(engine).await;
    let retirements = world.queries.retirements();
    world.append((1..=5).map(|n| generated(license_id(n))).collect()).await;
    world.projector.catch_up().await.unwrap();
    let page = retirements.licenses(0, 2).await.unwrap();
    assert_eq!(
        page.iter().map(|(at, license)| (*at, license.id)).collect::<Vec<_>>(),
        [(1, license_id(1)), (2, license_id(2)),]
    );
    assert_eq!(retirements.licenses(4, 9).await.unwrap().len(), 1);
    retirements.request(0).await.unwrap();
    let holders = world.queries.ring_holders();
    assert_eq!(holders.state().await.unwrap().unwrap().retiring, 1);
    retirements.progress(0, 2, 2, 1).await.unwrap();
    retirements.request(0).await.unwrap();
    let one = async || retirements.all().await.unwrap()[0];
    let now = one().await;
    assert_eq!((now.passed_position, now.rekeyed, now.refused, now.finished_at), (2, 2, 1, None));
    retirements.finish(0).await.unwrap();
    assert!(one().await.finished_at.is_some());
    assert_eq!(holders.state().await.unwrap().unwrap().retiring, 0);
    retirements.request(0).await.unwrap();
    let again = one().await;
    assert_eq!((again.passed_position, again.rekeyed, again.refused, again.finished_at), (0, 2, 0, None));
}
