//! The relay against a scripted gateway.
