//! End-to-end tests of the built binary over HTTP, the same suite on SQLite, on PostgreSQL, on PostgreSQL with NATS, with
//! NATS and Redis, and with all of it and a second instance of the API.
//! Nothing here reaches into the program: it is started, asked, killed and started again.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on ends with a panic, and prints its seed for whoever wants to see it again"
)]

mod world;

mod aliases;
mod audit_log;
mod bulk;
mod contention;
mod devices;
mod discord;
mod faults;
mod first_run;
mod guessing;
mod guild;
mod keys;
mod leaks;
mod lifecycle;
mod limits;
mod moving;
#[path = "../../../../projections/tests/it/nats.rs"]
mod nats;
mod observe;
mod offline;
mod past;
mod pgbouncer;
mod platform;
mod postgres;
#[path = "../../../../projections/tests/it/redis.rs"]
mod redis;
mod reveal;
mod rotation;
mod scale;
mod secrets;
mod sign_in;
mod signed;
mod simulation;
mod tenants;
mod tls;
mod versions;

/// Makes a test of each function, once on each set of engines.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        $crate::on_engines!(sqlite, $crate::world::Engine::Sqlite, $($name),+);
        $crate::on_engines!(postgres, $crate::world::Engine::postgres().await, $($name),+);
        $crate::on_engines!(postgres_nats, $crate::world::Engine::postgres_nats().await, $($name),+);
        $crate::on_engines!(postgres_nats_redis, $crate::world::Engine::postgres_nats_redis().await, $($name),+);
    };
}
pub(crate) use on_every_engine;

/// The same, and once more with two instances of the API, which are asked in turn.
macro_rules! on_every_engine_and_two_instances {
    ($($name:ident),+ $(,)?) => {
        $crate::on_every_engine!($($name),+);
        $crate::on_engines!(two_instances, $crate::world::Engine::two_instances().await, $($name),+);
    };
}
pub(crate) use on_every_engine_and_two_instances;

macro_rules! on_engines {
    ($set:ident, $engine:expr, $($name:ident),+) => {
        mod $set {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($engine).await;
            })+
        }
    };
}
pub(crate) use on_engines;
