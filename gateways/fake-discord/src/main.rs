//! The stand-in as a program of its own.

fn main() {}
