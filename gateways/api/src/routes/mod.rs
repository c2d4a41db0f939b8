//! One file a group of addresses: request, handler, answer. Handlers authorise, act and answer; rules stand in
//! the domain, rights in `extract::access`.

pub(crate) mod activate;
pub(crate) mod api_keys;
pub(crate) mod audit_log;
pub(crate) mod audit_trail;
pub(crate) mod bulk_revoke;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod guilds;
pub(crate) mod heartbeat;
pub(crate) mod held_removals;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod interactions;
pub(crate) mod key_ring;
pub(crate) mod license_types;
pub(crate) mod licenses;
pub(crate) mod lifecycle;
pub(crate) mod operations;
pub(crate) mod operator;
pub(crate) mod past;
pub(crate) mod redeem;
pub(crate) mod reveal;
pub(crate) mod role_rules;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod staff;
pub(crate) mod terms;
pub(crate) mod transfer;
pub(crate) mod users;
pub(crate) mod validate;
