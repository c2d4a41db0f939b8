//! The fault table: servers that are gone, silent or wiped, processes that are killed or frozen, disks that fail, while
//! programs go on asking and writing. After each the invariants must hold (`invariants.rs`), and nothing is mended by hand.

mod client;
mod disk;
mod invariants;
mod load;
mod nats;
mod parked;
mod postgres;
mod processes;
mod rebuild;
mod redis;
mod site;
