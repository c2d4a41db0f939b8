//! The REST client against a scripted Discord.
