//! The tests of `commands` against real engines: one binary, one private PostgreSQL a run.

mod handle;
mod engines;
mod store_contract;
mod store_lab;
mod store_postgres;
mod store_sqlite;
