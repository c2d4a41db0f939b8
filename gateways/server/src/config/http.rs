//! The sections `http`, `limits` and `sessions`: by which names the server is reached, who stands in front of it, what one
//! request, one caller and one sign-in may take.

use std::path::PathBuf;
use std::time::Duration;

use super::DAY_MS;
use super::read::Reader;

/// The HTTP side.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Names that requests may use; empty takes what fits the address.
    pub(crate) hosts: Vec<String>,
    /// Where browsers reach this server; `None` is the address that it listens on.
    pub(crate) public_url: Option<String>,
    /// TLS, if this process speaks it itself.
    pub(crate) tls: Option<Tls>,
    /// Address ranges of proxies in front.
    pub(crate) trusted_proxies: Vec<api::Cidr>,
    /// The header in which they say for whom they ask.
    pub(crate) forwarded: api::ForwardedBy,
    /// Limits of connections.
    pub(crate) connections: api::Connections,
    /// Limits of a request.
    pub(crate) limits: api::Limits,
    /// How many requests callers may send.
    pub(crate) rates: api::Rates,
}

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The file with the certificate and those of its issuers.
    pub(crate) certificate: PathBuf,
    /// The file with its key.
    pub(crate) key: PathBuf,
    /// How often both are looked at.
    pub(crate) poll: Duration,
}

/// Both files or none of them.
fn tls(r: &mut Reader<'_>) -> Option<Tls> {
    let (certificate, key) = (r.text("http.tls_cert"), r.text("http.tls_key"));
    let poll = r.millis("http.tls_poll_ms", 50..=3_600_000);
    match (certificate.is_empty(), key.is_empty()) {
        (false, false) => Some(Tls { certificate: certificate.into(), key: key.into(), poll }),
        (true, true) => None,
        (false, true) => {
            r.refuse("http.tls_key", "must name the file of the key that belongs to `http.tls_cert`");
            None
        }
        (true, false) => {
            r.refuse("http.tls_cert", "must name the file of the certificate that belongs to `http.tls_key`");
            None
        }
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, perhaps with a port.
fn is_loopback_name(host: &str) -> bool {
    let named = ["localhost", "127.0.0.1", "[::1]"].into_iter().find_map(|name| host.strip_prefix(name));
    named.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    })
}

/// Scheme, host and port of a page; without TLS on this machine only.
fn public_url(r: &mut Reader<'_>, speaks_tls: bool) -> Option<String> {
    let text = r.text("http.public_url");
    let url = text.trim().trim_end_matches('/').to_owned();
    if url.is_empty() {
        return None;
    }
    let host = |scheme| url.strip_prefix(scheme).filter(|host: &&str| !host.is_empty());
    let plain =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    let right = match (host("https://"), host("http://")) {
        (Some(host), _) => plain(host),
        (None, Some(host)) => plain(host) && is_loopback_name(host),
        (None, None) => false,
    };
    if !right {
        let what = "must be like https://auth.example.org: a scheme, a host, perhaps a port, and no path; http:// is for \
                    addresses of this machine only";
        r.refuse("http.public_url", what);
    } else if speaks_tls && !url.starts_with("https://") {
        r.refuse(
            "http.public_url",
            "must begin with https://, because this process speaks TLS (http.tls_cert)",
        );
    }
    Some(url)
}

/// Reads and judges the section.
pub(super) fn http(r: &mut Reader<'_>) -> Http {
    let headers =
        [("x-forwarded-for", api::ForwardedBy::XForwardedFor), ("forwarded", api::ForwardedBy::Forwarded)];
    let tls = tls(r);
    Http {
        hosts: r.list("http.hosts", "names such as auth.example.org"),
        public_url: public_url(r, tls.is_some()),
        tls,
        trusted_proxies: r.list("http.trusted_proxies", "address ranges such as 10.0.0.0/8"),
        forwarded: r.word("http.forwarded_header", &headers, api::ForwardedBy::default()),
        connections: api::Connections {
            max: r.number("http.connections_max", 1..=1_000_000),
            head_timeout: r.millis("http.head_timeout_ms", 100..=3_600_000),
            head_max_bytes: r.number("http.head_max_bytes", 8_192..=1_048_576),
            handshake_timeout: r.millis("http.handshake_timeout_ms", 100..=600_000),
        },
        limits: api::Limits {
            body_max_bytes: r.number("http.body_max_bytes", 1_024..=16_777_216),
            body_timeout: r.millis("http.body_timeout_ms", 100..=600_000),
            request_timeout: r.millis("http.request_timeout_ms", 100..=600_000),
            min_position_timeout: r.millis("http.position_wait_ms", 0..=60_000),
            generate_max: r.number("http.generate_max", 1..=100_000),
        },
        rates: rates(r),
    }
}

fn rates(r: &mut Reader<'_>) -> api::Rates {
    api::Rates {
        validate: rate(r, "limits.validate"),
        validate_secret: rate(r, "limits.validate_secret"),
        read: rate(r, "limits.read"),
        write: rate(r, "limits.write"),
        bulk: rate(r, "limits.bulk"),
        auth: rate(r, "limits.auth"),
        anonymous: rate(r, "limits.anonymous"),
        buckets_max: r.number("limits.buckets", 1_000..=10_000_000),
    }
}

/// A rate, or `off`.
fn rate(r: &mut Reader<'_>, key: &str) -> Option<api::Rate> {
    let text = r.text(key);
    if text == "off" {
        return None;
    }
    text.parse().inspect_err(|wrong| r.refuse(key, format!("must be `off` or a rate: {wrong}"))).ok()
}

/// How sessions live.
pub(super) fn sessions(r: &mut Reader<'_>) -> api::SessionRules {
    let mut span = |key, range: std::ops::RangeInclusive<u64>| {
        domain::time::Span(i64::try_from(r.millis(key, range).as_millis()).unwrap_or(i64::MAX))
    };
    api::SessionRules {
        life: span("sessions.life_ms", 60_000..=365 * DAY_MS),
        refresh: projections::RefreshRules {
            grace: span("sessions.refresh_grace_ms", 0..=60_000),
            idle: span("sessions.idle_ms", 60_000..=365 * DAY_MS),
        },
        sign_in: span("sessions.sign_in_ms", 10_000..=3_600_000),
    }
}
