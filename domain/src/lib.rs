//! The rules of DCA-Auth: what a license, a member, a guild and a user may do, and what a key proves.
//!
//! Everything here is a pure, synchronous function of its arguments. This crate never reads a clock,
//! draws randomness, opens a file or a socket, and starts no task; time, ids and facts ride in the command.

pub mod aggregate;
pub mod alias;
pub mod certificate;
pub mod credential;
pub mod device;
pub mod event;
pub mod guild;
pub mod id;
pub mod key;
pub mod license;
pub mod member;
pub mod merkle;
pub mod outside;
pub mod platform;
pub mod ports;
pub mod private;
pub mod proof;
pub mod rbac;
pub mod roles;
pub mod security;
pub mod session;
pub mod sharing;
pub mod terms;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod upcast;
pub mod user;
pub mod verdict;
