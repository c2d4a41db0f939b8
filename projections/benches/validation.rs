//! Benchmark of the warm validation hit; written with the hot path.
fn main() {}
