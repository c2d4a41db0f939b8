//! The tests of `commands` against real engines: one binary, one private PostgreSQL a run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on ends with a panic, and prints rates for whoever asks to see them"
)]

mod engines;
mod handle;
mod rights;
mod store_contract;
mod store_lab;
mod store_postgres;
mod store_sqlite;
