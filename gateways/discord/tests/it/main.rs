//! Integration tests of the Discord bot, against scripted servers on port 0.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod egress;
mod relay;
