//! The API from outside, in process: requests through the whole router, over a store, read models and a clock of
//! their own. One file a part of the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod audit_log;
mod bad_input;
mod conventions;
mod credentials;
mod devices;
mod frame;
mod guilds;
mod idempotency;
mod licenses;
mod lifecycle;
mod limits;
mod operations;
mod security;
mod serve;
mod validate;
mod world;
