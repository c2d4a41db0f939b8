//! The Discord bot: roles in, keys out.
