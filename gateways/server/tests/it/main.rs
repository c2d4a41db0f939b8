//! End-to-end tests of the built binary over HTTP, the same suite on SQLite, on PostgreSQL, and on PostgreSQL with NATS.
//! Nothing here reaches into the program: it is started, asked, killed and started again.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on ends with a panic, and prints its seed for whoever wants to see it again"
)]

mod world;

mod bulk;
mod contention;
mod discord;
mod faults;
mod first_run;
mod keys;
mod lifecycle;
#[path = "../../../../projections/tests/it/nats.rs"]
mod nats;
mod observe;
mod pgbouncer;
mod scale;
mod secrets;
mod simulation;

/// Makes a test of each function, once on each set of engines.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::world::Engine::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::world::Engine::postgres().await).await;
            })+
        }
        mod postgres_nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::world::Engine::postgres_nats().await).await;
            })+
        }
    };
}
pub(crate) use on_every_engine;
