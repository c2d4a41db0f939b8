//! The tests of `projections` against real engines: one binary, one private PostgreSQL a run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod aliasing;
mod bot;
#[path = "../../../commands/tests/it/engines.rs"]
mod engines;
mod guard;
mod mix;
mod nats;
mod outbox;
mod parking;
mod past;
mod projecting;
mod reading;
mod rebuilding;
mod redis;
mod relay;
mod ring;
mod sealing;
mod sharing;
mod spending;
mod support;
mod suspicions;
mod validating;
mod world;

/// Runs each test on both engines.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::engines::Engine::Sqlite).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::engines::Engine::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_engines;
