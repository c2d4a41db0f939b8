//! The Discord bot: roles in, keys out.

pub mod egress;
pub mod relay;
