//! Ports for servers of a test's own that are killed and come back at the same address. The end-to-end tests include this
//! file by path.

#![allow(dead_code, reason = "each binary uses its own part of this")]

use std::net::TcpListener;

/// Below the ports that Linux gives to connections that go out (`net.ipv4.ip_local_port_range`, 32768 and up unless somebody
/// changed it): while such a server is away, no client takes its port, not even the one that tries to reach it, which could
/// otherwise end up connected to itself. A server of a Redis cluster also takes the port that is 10,000 higher.
const PORTS: std::ops::Range<u16> = 12_000..22_000;

/// A port that nobody listens at, nor at the one that is 10,000 higher. Whoever takes it in between makes the test fail
/// loudly.
pub(crate) fn free() -> u16 {
    loop {
        let number = uuid::Uuid::new_v4().as_u128() % u128::from(PORTS.end - PORTS.start);
        let port = PORTS.start + number as u16;
        if [port, port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}
