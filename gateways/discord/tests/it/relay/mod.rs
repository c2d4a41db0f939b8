//! The relay against a scripted gateway: with a plain client in serenity's place, and with serenity itself.

mod frames;
mod real;
mod scripted;
mod session;
