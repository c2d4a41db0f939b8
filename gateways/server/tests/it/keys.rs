//! License keys from the outside: every typing error is found, no invented key is taken for one of ours, and a key
//! works in the moment in which it is handed out.

use domain::id::LicenseId;
use domain::key::{self, KeyVersion};
use domain::ports::{Mac, Purpose};
use serde_json::json;

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(typing_errors_are_found, invented_keys_are_not_found, a_key_works_at_once);

const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

async fn code(world: &World, api_key: &str, key: &str) -> String {
    let answer =
        world.with_key(api_key, "POST", "/licenses/validate", json!({ "key": key })).await.expect(200);
    let code = answer["code"].as_str().unwrap().to_owned();
    assert!(
        answer["license"].is_null() || !matches!(code.as_str(), "MALFORMED_KEY" | "NOT_FOUND"),
        "{answer:#}"
    );
    code
}

async fn typing_errors_are_found(engine: Engine) {
    let mut world = World::demo(engine).await;
    let (_, key) = world.generate("studio", 1).await.remove(0);
    let api_key = world.api_key("publishable", None).await;
    let symbols: Vec<char> = key.chars().collect();
    let mut tried = 0;
    for (place, right) in symbols.iter().enumerate().filter(|(_, symbol)| **symbol != '-') {
        // A third of the alphabet at each place; which third turns with the place.
        for wrong in CROCKFORD.chars().skip(place % 3).step_by(3).filter(|wrong| wrong != right) {
            let mut typed = symbols.clone();
            typed[place] = wrong;
            let typed: String = typed.into_iter().collect();
            assert_eq!(code(&world, &api_key, &typed).await, "MALFORMED_KEY", "{typed}");
            tried += 1;
        }
    }
    let plain: Vec<char> = symbols.into_iter().filter(|symbol| *symbol != '-').collect();
    for place in 0..plain.len() - 1 {
        let mut swapped = plain.clone();
        swapped.swap(place, place + 1);
        if swapped != plain {
            let swapped: String = swapped.into_iter().collect();
            assert_eq!(code(&world, &api_key, &swapped).await, "MALFORMED_KEY", "{swapped}");
            tried += 1;
        }
    }
    assert!(tried > 400, "{tried}");
    let sloppy = format!(" {} ", key.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l"));
    assert_ne!(code(&world, &api_key, &sloppy).await, "MALFORMED_KEY");
}

/// A ring that anybody could make.
struct Invented;

impl Mac for Invented {
    fn mac(&self, _: Purpose, _: &[&[u8]]) -> [u8; 32] {
        [7; 32]
    }
    fn license_key_mac(&self, secret_id: u8, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let sum =
            parts.iter().flat_map(|part| part.iter()).fold(secret_id, |sum, byte| sum.wrapping_add(*byte));
        Some([sum; 32])
    }
    fn active_license_secret(&self) -> u8 {
        0
    }
    fn cache_mac(&self, _: &[&[u8]]) -> (u32, [u8; 32]) {
        (0, [7; 32])
    }
    fn cache_mac_under(&self, _: u32, _: &[&[u8]]) -> Option<[u8; 32]> {
        Some([7; 32])
    }
}

async fn invented_keys_are_not_found(engine: Engine) {
    let mut world = World::demo(engine).await;
    let api_key = world.api_key("publishable", None).await;
    let (id, _) = world.generate("studio", 1).await.remove(0);
    let prefix = "NWG".parse().unwrap();
    let known: LicenseId = id.parse().unwrap();
    let unknown = LicenseId(uuid::Uuid::new_v4());
    for license in [known, unknown] {
        for secret_id in [0, 1, 31] {
            let text =
                key::render(&Invented, &prefix, license, KeyVersion { secret_id, version: 0 }).unwrap();
            assert!(key::is_well_formed(&text));
            assert_eq!(code(&world, &api_key, &text).await, "NOT_FOUND", "{text}");
        }
    }
}

async fn a_key_works_at_once(engine: Engine) {
    let mut world = World::demo(engine).await;
    let body = json!({ "slug": "free", "name": "Free", "terms": {} });
    world.owner("POST", &format!("/guilds/{}/license-types", world.facts.guild), body).await.expect(201);
    let api_key = world.api_key("publishable", None).await;
    for turn in 0..200 {
        let (_, key) = world.generate("free", 1).await.remove(0);
        assert_eq!(code(&world, &api_key, &key).await, "VALID", "turn {turn}");
    }
}
