//! Integration tests of the Discord bot, against scripted servers on port 0.

mod egress;
mod relay;
