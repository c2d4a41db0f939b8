//! Where a request comes from: the address at the other end of the connection, or, where that is a proxy of ours, the
//! one that the proxy names. What anybody else writes into such a header is not looked at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, header};

use crate::serve::Peer;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Any address in it.
    address: IpAddr,
    /// Leading bits that are fixed.
    bits: u8,
}

impl Cidr {
    /// Whether an address lies in it. IPv4 is IPv4, also where a socket of IPv6 shows it.
    fn contains(self, address: IpAddr) -> bool {
        // Shifted by as many bits as it has, a number is gone, and two of those are the same.
        let same = |own: u128, other: u128, most: u32| {
            let rest = most - u32::from(self.bits);
            own.checked_shr(rest) == other.checked_shr(rest)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most);
        bits.map(|bits| Self { address, bits })
            .ok_or_else(|| format!("`{text}` is no address range such as 10.0.0.0/8"))
    }
}

/// The header in which a proxy says for whom it asks. One of the two, because a proxy that writes one of them passes the
/// other on as a stranger sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies in front.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    ranges: Vec<Cidr>,
    by: ForwardedBy,
}

impl Proxies {
    /// Proxies at these addresses, which all write the same header.
    pub fn new(ranges: Vec<Cidr>, by: ForwardedBy) -> Self {
        Self { ranges, by }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// Where a request comes from that `peer` brings.
    pub(crate) fn origin(&self, peer: Option<Peer>, headers: &HeaderMap) -> Origin {
        match peer {
            None => Origin { address: Address::Unknown, is_https: false },
            Some(Peer { address, is_tls }) if self.ranges.is_empty() || !self.trusts(address) => {
                Origin { address: address.into(), is_https: is_tls }
            }
            Some(Peer { address: proxy, is_tls }) => {
                let (address, proto) = match self.by {
                    ForwardedBy::XForwardedFor => {
                        let proto = listed(headers, &PROTO).next().flatten();
                        (self.nearest_stranger(proxy, listed(headers, &FOR)), proto)
                    }
                    ForwardedBy::Forwarded => {
                        let elements = || listed(headers, &header::FORWARDED);
                        let said = elements().map(|element| element.and_then(|one| member(one, "for")));
                        let proto = elements().next().flatten().and_then(|one| member(one, "proto"));
                        (self.nearest_stranger(proxy, said), proto)
                    }
                };
                // Over TLS with a proxy that says nothing, that is all that is known.
                let is_https = proto.map_or(is_tls, |proto| proto.eq_ignore_ascii_case("https"));
                Origin { address: address.into(), is_https }
            }
        }
    }

    /// The right-most address that is none of ours. Left of it stands what strangers wrote; what cannot be read ends the
    /// search at the proxy that wrote it.
    fn nearest_stranger<'h>(&self, peer: IpAddr, said: impl Iterator<Item = Option<&'h str>>) -> IpAddr {
        let mut nearest = peer;
        for text in said {
            let Some(address) = text.and_then(node) else { return nearest };
            nearest = address;
            if !self.trusts(address) {
                return nearest;
            }
        }
        nearest
    }
}

/// The elements of a header that is a list, the last one first; `None` for one that is no text.
fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'h str>> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    values.into_iter().rev().flat_map(|value| {
        let text = value.to_str().ok();
        let readable = text.into_iter().flat_map(|text| text.rsplit(',')).map(|one| Some(one.trim()));
        readable.chain(text.is_none().then_some(None))
    })
}

/// The value of a member of one element of `Forwarded`, without its quotes.
fn member<'h>(element: &'h str, name: &str) -> Option<&'h str> {
    let pair = |pair: &'h str| pair.split_once('=').map(|(known, value)| (known.trim(), value.trim()));
    let mut pairs = element.split(';').filter_map(pair);
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_matches('"'))
}

/// An address, with a port or without.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) address: Address,
    /// Whether a proxy of ours took it over TLS, or this process itself.
    pub(crate) is_https: bool,
}

/// An address as limits count it: of IPv6 the first half, because the second is the client's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    V6(u64),
    /// Nobody said: the request did not come over a connection.
    Unknown,
}

impl Address {
    /// The block of addresses around it, as networks are given out: `203.0.113.0/24`, `2001:db8:2::/48`. What nobody said
    /// is in no block.
    pub(crate) fn block(self) -> Option<String> {
        match self {
            Self::V4(address) => {
                let [a, b, c, _] = address.octets();
                Some(format!("{a}.{b}.{c}.0/24"))
            }
            Self::V6(head) => {
                let [a, b, c] = [48, 32, 16].map(|shift| (head >> shift) & 0xffff);
                Some(format!("{a:x}:{b:x}:{c:x}::/48"))
            }
            Self::Unknown => None,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(head) => write!(f, "{head:016x}/64"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(by: ForwardedBy) -> Proxies {
        Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()], by)
    }

    fn seen(proxies: &Proxies, peer: &str, given: &[(&'static str, &str)]) -> (Address, bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        let origin = proxies.origin(Some(Peer { address: peer.parse().unwrap(), is_tls: false }), &headers);
        (origin.address, origin.is_https)
    }

    fn at(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let holds = |range: &str, address: &str| {
            range.parse::<Cidr>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.200.3.4") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && holds("::/0", "2001:db8::1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1"), "IPv4 in a socket of IPv6");
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(!holds("::/0", "10.0.0.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        for bad in ["10.0.0.0/33", "::/129", "10.0.0", "x/8", "10.0.0.0/x"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_stranger_says_about_himself_is_not_believed() {
        for by in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
            let given = [
                ("x-forwarded-for", "198.51.100.1"),
                ("x-forwarded-proto", "https"),
                ("forwarded", "for=198.51.100.1;proto=https"),
            ];
            assert_eq!(seen(&proxies(by), "203.0.113.7", &given), (at("203.0.113.7"), false));
            assert_eq!(seen(&Proxies::new(Vec::new(), by), "10.0.0.1", &given), (at("10.0.0.1"), false));
        }
        // A proxy that writes the one passes the other on.
        let other = [("forwarded", "for=198.51.100.1;proto=https")];
        assert_eq!(seen(&proxies(ForwardedBy::XForwardedFor), "10.0.0.1", &other), (at("10.0.0.1"), false));
    }

    #[test]
    fn the_nearest_address_that_is_not_ours_is_taken() {
        let proxies = proxies(ForwardedBy::XForwardedFor);
        for (said, address) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["9.9.9.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (&["9.9.9.9", "198.51.100.1", "10.0.0.2,10.0.0.3"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8:2::1]:4711"], "2001:db8:2::2"),
            (&["2001:db8:2:0:1::1, 2001:db8:1::9"], "2001:db8:2::2"),
            (&["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            // What cannot be read hides who it was: the proxy that wrote it stands for him.
            (&["198.51.100.1, unknown"], "10.0.0.1"),
            (&["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            let given: Vec<_> = said.iter().map(|value| ("x-forwarded-for", *value)).collect();
            assert_eq!(seen(&proxies, "10.0.0.1", &given), (at(address), false), "{said:?}");
        }
        assert!(seen(&proxies, "10.0.0.1", &[("x-forwarded-proto", "http, HTTPS")]).1);
        assert!(!seen(&proxies, "10.0.0.1", &[("x-forwarded-proto", "https, http")]).1);
    }

    #[test]
    fn the_standard_header_is_read_as_well() {
        let proxies = proxies(ForwardedBy::Forwarded);
        for (said, expected) in [
            ("for=9.9.9.9, For=\"[2001:db8:2::1]:4711\" ; Proto=https", ("2001:db8:2::9", true)),
            ("for=198.51.100.1;proto=http;by=10.0.0.1", ("198.51.100.1", false)),
            ("for=198.51.100.1, for=10.0.0.2;proto=\"https\"", ("198.51.100.1", true)),
            ("for=198.51.100.1, for=_hidden", ("10.0.0.1", false)),
            ("by=198.51.100.1", ("10.0.0.1", false)),
        ] {
            let found = seen(&proxies, "10.0.0.1", &[("forwarded", said)]);
            assert_eq!(found, (at(expected.0), expected.1), "{said}");
        }
    }

    #[test]
    fn over_tls_with_this_process_it_is_https_unless_a_proxy_says_otherwise() {
        for by in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
            let https = |peer: &str, given: &[(&'static str, &'static str)]| {
                let headers = given.iter().map(|(name, value)| {
                    (HeaderName::from_static(name), header::HeaderValue::from_static(value))
                });
                let peer = Peer { address: peer.parse().unwrap(), is_tls: true };
                proxies(by).origin(Some(peer), &headers.collect()).is_https
            };
            let plain = [("x-forwarded-proto", "http"), ("forwarded", "for=198.51.100.1;proto=http")];
            assert!(https("203.0.113.7", &[]) && https("203.0.113.7", &plain), "a stranger's word");
            assert!(https("10.0.0.1", &[]) && !https("10.0.0.1", &plain), "a proxy's word");
        }
    }

    #[test]
    fn a_block_is_what_one_network_has() {
        for (address, block) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("203.0.113.250", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.0/24"),
            ("2001:db8:12:3456::1", "2001:db8:12::/48"),
        ] {
            assert_eq!(at(address).block().as_deref(), Some(block), "{address}");
        }
        assert_eq!(Address::Unknown.block(), None);
    }

    #[test]
    fn of_ipv6_the_first_half_counts() {
        assert_eq!(at("2001:db8:2::1"), at("2001:db8:2:0:ffff::9"));
        assert_ne!(at("2001:db8:2::1"), at("2001:db8:2:1::1"));
        assert_eq!(at("::ffff:203.0.113.7"), at("203.0.113.7"));
    }
}
