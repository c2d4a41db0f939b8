//! The API from outside, in process: requests through the whole router, over a store, read models and a clock of
//! their own. One file a part of the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod audit_log;
mod audit_trail;
mod bad_input;
mod bulk_revoke;
mod conventions;
mod credentials;
mod devices;
mod export;
mod frame;
mod guilds;
mod idempotency;
mod import;
mod licenses;
mod lifecycle;
mod limits;
mod matrix;
mod operations;
mod platform;
mod reveal;
mod security;
mod serve;
mod staff;
mod validate;
mod world;
