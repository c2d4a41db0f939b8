//! Which crate may name which. The tables below are the architecture: a crate without a row is a breach, so
//! that nobody adds a room to the house without saying where it stands.

use crate::Breach;
use crate::metadata::{Dependency, Package};

/// What a crate of ours may name.
struct Room {
    name: &'static str,
    /// Crates of ours.
    ours: &'static [&'static str],
    /// Crates of ours that its tests may name besides.
    tests: &'static [&'static str],
}

const fn room(name: &'static str, ours: &'static [&'static str], tests: &'static [&'static str]) -> Room {
    Room { name, ours, tests }
}

/// Both halves and the rules: what an adapter to the outside may use.
const HALVES: &[&str] = &["commands", "domain", "projections"];

const ROOMS: &[Room] = &[
    room("domain", &[], &[]),
    room("commands", &["domain"], &[]),
    // Tests may put a proxy between the program and its servers, so that the network fails.
    room("projections", &["domain"], &["fault-proxy"]),
    // Their tests speak with Discord's stand-in; no gateway names another otherwise.
    room("api", HALVES, &["fake-discord"]),
    room("discord", HALVES, &["fake-discord"]),
    room("webhooks", HALVES, &[]),
    room("client", &[], &[]),
    room("fake-discord", &[], &[]),
    // The one place that sees all, in its tests too.
    room(
        "server",
        &["api", "client", "commands", "discord", "domain", "fake-discord", "projections", "webhooks"],
        &["fault-proxy"],
    ),
    room("fault-proxy", &[], &[]),
    room("tidy", &[], &[]),
    room("xtask", &["tidy"], &[]),
];

/// Outside crates that only some of ours may name (tests and benchmarks aside), so that an engine or a
/// framework can be replaced in one place.
const OWNERS: &[(&[&str], &[&str])] = &[
    (&["axum", "axum-extra", "utoipa-axum"], &["api", "fake-discord"]),
    (&["serenity", "poise"], &["discord"]),
    (&["async-nats", "fred"], &["projections"]),
    (&["sqlx", "postgres-es", "sqlite-es"], &["commands", "projections"]),
    (&["anyhow"], &["server", "xtask"]),
    (&["jsonwebtoken"], &["api"]),
    (&["rustls", "tokio-rustls"], &["api", "client"]),
];

/// All that the rules may be built from: nothing that has a clock, a socket or a file.
const DOMAIN_OUTSIDE: &[&str] = &[
    "chrono",
    "cqrs-es",
    "data-encoding",
    "hmac",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "thiserror",
    "unicode-normalization",
    "uuid",
];

/// Adds every dependency that points the wrong way.
pub(crate) fn check(packages: &[Package], breaches: &mut Vec<Breach>) {
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    for package in packages {
        let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
            breaches.push(Breach::new(
                &package.manifest,
                1,
                format!("the crate `{}` has no row in the table of directions", package.name),
                "Add a row to ROOMS in .ci/tidy/src/direction.rs that says which crates it may name, and draw it \
                 in docs/ARCHITECTURE.md.",
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let complaint =
                if is_ours(&dependency.name) { inward(room, dependency) } else { outward(room, dependency) };
            if let Some((what, remedy)) = complaint {
                breaches.push(Breach::new(
                    &package.manifest,
                    package.line_of(&dependency.name),
                    what,
                    remedy,
                ));
            }
        }
    }
}

fn inward(room: &Room, dependency: &Dependency) -> Option<(String, String)> {
    let name = dependency.name.as_str();
    let allowed = room.ours.contains(&name) || (dependency.is_dev() && room.tests.contains(&name));
    let may = if room.ours.is_empty() {
        "none of ours".to_owned()
    } else {
        format!("only {}", room.ours.join(", "))
    };
    (!allowed).then(|| {
        (
            format!("`{}` names `{name}`, and it may name {may}", room.name),
            format!(
                "Move what `{}` needs down to `domain`, or hand it in from `server`; if the direction itself is \
                 to change, change ROOMS in .ci/tidy/src/direction.rs with a record in docs/decisions.",
                room.name
            ),
        )
    })
}

fn outward(room: &Room, dependency: &Dependency) -> Option<(String, String)> {
    let name = dependency.name.as_str();
    if dependency.is_dev() {
        return None;
    }
    if room.name == "domain" && !DOMAIN_OUTSIDE.contains(&name) {
        return Some((
            format!("`domain` names `{name}`, which is not among the crates that the rules are built from"),
            "Do the work in the caller and let the result ride in the command as a field.".to_owned(),
        ));
    }
    let (_, owners) = OWNERS.iter().find(|(crates, _)| crates.contains(&name))?;
    (!owners.contains(&room.name)).then(|| {
        (
            format!("`{}` names `{name}`, which belongs to {}", room.name, owners.join(" and ")),
            format!("Use what {} offers instead, or add the missing function there.", owners.join(" or ")),
        )
    })
}
