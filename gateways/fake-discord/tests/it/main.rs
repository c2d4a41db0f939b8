//! The stand-in, asked over its sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod commands;
mod control;
mod gateway;
mod interactions;
mod limits;
mod messages;
mod oauth;
mod persistence;
mod rest;
mod world;
