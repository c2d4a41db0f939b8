//! The API from outside, in process: requests through the whole router, over a store, read models and a clock of
//! their own. One file a part of the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod analytics;
mod audit_log;
mod audit_trail;
mod bad_input;
mod bulk_revoke;
mod certificates;
mod conform;
mod conventions;
mod credentials;
mod devices;
mod examples;
mod export;
mod feed;
mod frame;
mod generate;
mod guild_tools;
mod guilds;
mod idempotency;
mod import;
mod import_layouts;
mod licenses;
mod lifecycle;
mod limits;
mod matrix;
mod openapi;
mod operations;
mod platform;
mod reveal;
mod security;
mod serve;
mod signed;
mod slots;
mod staff;
mod strictness;
mod tls;
mod validate;
mod versions;
mod world;
