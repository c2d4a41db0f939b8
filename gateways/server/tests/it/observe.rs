//! A thousand sightings of roles in any order, many of them twice, with crashes in between: a slot never has two
//! live licenses, and in the end everybody has what his roles give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(licenses_follow_roles_through_crashes);

const PEOPLE: u64 = 25;
const SIGHTINGS: usize = 1_000;
const CRASHES: usize = 4;

/// A small random number generator whose seed is printed, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

async fn licenses_follow_roles_through_crashes(engine: Engine) {
    let mut world = World::demo(engine).await;
    let seed = uuid::Uuid::new_v4().as_u128() as u64 | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let sets = [
        vec![],
        vec![world.facts.pro.clone()],
        vec![world.facts.team.clone()],
        vec![world.facts.pro.clone(), world.facts.team.clone()],
    ];
    let person = |number: u64| (871_000_000_000_009_000 + number).to_string();
    let mut last: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..CRASHES {
        for _ in 0..SIGHTINGS / CRASHES / 2 {
            let (user, roles) = (person(dice.next(PEOPLE)), sets[dice.next(4) as usize].clone());
            let body = json!({ "guildId": world.facts.guild, "userId": user, "roles": roles });
            let token = world.token().await;
            let bearer = format!("Bearer {token}");
            let headers = [("Authorization", bearer.as_str())];
            // The same sighting twice, at the same time.
            let (one, two) = tokio::join!(
                world.ask("POST", "/_demo/members/observe", &headers, body.clone()),
                world.ask("POST", "/_demo/members/observe", &headers, body)
            );
            assert_eq!((one.status, two.status), (200, 200), "{:#} {:#}", one.body, two.body);
            last.insert(user, roles);
        }
        at_most_one_live_license_in_each_slot(&mut world).await;
        crash_while_observing(&mut world, &mut dice, &person, &sets).await;
        at_most_one_live_license_in_each_slot(&mut world).await;
        assert!(round < CRASHES);
        // What was under way when the server died may have happened or not: say it once more.
        for (user, roles) in &last {
            observe(&mut world, user, roles).await;
        }
    }
    for number in 0..PEOPLE {
        let user = person(number);
        let roles = last.entry(user.clone()).or_default().clone();
        observe(&mut world, &user, &roles).await;
        everybody_has_what_his_roles_give(&mut world, &user, &roles).await;
    }
    world.verify().await;
}

async fn observe(world: &mut World, user: &str, roles: &[String]) {
    let body = json!({ "guildId": world.facts.guild, "userId": user, "roles": roles });
    world.owner("POST", "/_demo/members/observe", body).await.expect(200);
}

/// Kills the server while ten sightings are under way.
async fn crash_while_observing(
    world: &mut World,
    dice: &mut Dice,
    person: &impl Fn(u64) -> String,
    sets: &[Vec<String>],
) {
    let token = world.token().await;
    let bearer = format!("Bearer {token}");
    let moment = std::time::Duration::from_micros(dice.next(30_000));
    let bodies: Vec<Value> = (0..10)
        .map(|_| json!({ "guildId": world.facts.guild, "userId": person(dice.next(PEOPLE)), "roles": sets[dice.next(4) as usize] }))
        .collect();
    let headers = [("Authorization", bearer.as_str())];
    let under_way = futures::future::join_all(
        bodies.into_iter().map(|body| world.try_ask("POST", "/_demo/members/observe", &headers, body)),
    );
    let _ = tokio::time::timeout(moment, under_way).await;
    world.crash().await;
}

/// Every license of the people of this test: owner and type of each live one.
async fn live(world: &mut World) -> Vec<(String, String, Value)> {
    let mut live = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/licenses?guildId={}&limit=200{cursor}", world.facts.guild);
        let page = world.owner("GET", &path, Value::Null).await.expect(200);
        for license in page["data"].as_array().unwrap() {
            if license["status"] != "revoked" && matches!(license["type"].as_str(), Some("pro" | "team")) {
                let text = |member: &str| license[member].as_str().unwrap().to_owned();
                live.push((text("userId"), text("type"), license.clone()));
            }
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return live,
        }
    }
}

async fn at_most_one_live_license_in_each_slot(world: &mut World) {
    let mut slots: BTreeMap<(String, String), u32> = BTreeMap::new();
    for (user, kind, _) in live(world).await {
        *slots.entry((user, kind)).or_default() += 1;
    }
    assert!(slots.values().all(|count| *count == 1), "{slots:?}");
}

async fn everybody_has_what_his_roles_give(world: &mut World, user: &str, roles: &[String]) {
    let path = format!("/licenses?guildId={}&userId={user}&limit=200", world.facts.guild);
    let found = world.owner("GET", &path, Value::Null).await.expect(200);
    let live: Vec<&Value> =
        found["data"].as_array().unwrap().iter().filter(|license| license["status"] != "revoked").collect();
    let of = |kind: &str| live.iter().filter(|license| license["type"] == kind).count();
    assert_eq!(of("pro"), usize::from(roles.contains(&world.facts.pro)), "{user} with {roles:?}: {live:#?}");
    if roles.contains(&world.facts.team) {
        assert_eq!(of("team"), 1, "{user} with {roles:?}: {live:#?}");
        assert!(live.iter().all(|license| license["roleLossEndsAt"].is_null()), "{live:#?}");
    }
}
