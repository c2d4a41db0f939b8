//! The section `discord`: the token, where Discord is, the bot's limits. The one rule that is judged here: the token
//! goes to Discord itself or stays on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use domain::time::Span;

use super::DAY_MS;
use super::read::Reader;

/// Everything about Discord.
#[derive(Clone)]
pub(crate) struct Discord {
    /// The bot's token; `None` runs without Discord.
    pub(crate) token: Option<String>,
    /// The application, for whoever signs in; `None` and nobody can.
    pub(crate) application: Option<Application>,
    /// Where Discord is.
    pub(crate) place: Place,
    /// Whether the privileged intent may be asked for.
    pub(crate) member_intent: bool,
    /// Shards.
    pub(crate) shards: u32,
    /// How long a lease lasts.
    pub(crate) lease: Duration,
    /// IDENTIFYs a day.
    pub(crate) identify_per_day: u32,
    /// Between two looks at holders.
    pub(crate) reconcile: Duration,
    /// Between two looks at everybody.
    pub(crate) full_reconcile: Duration,
    /// Members at once.
    pub(crate) workers: usize,
    /// Members that may wait.
    pub(crate) waiting_members: usize,
    /// The brake.
    pub(crate) brake: discord::Brake,
    /// Deliveries.
    pub(crate) delivery: discord::Delivery,
    /// REST.
    pub(crate) rest: discord::Rest,
    /// Where the demo's stand-in listens.
    pub(crate) simulator_listen: SocketAddr,
}

/// The application as OAuth 2 knows it.
#[derive(Clone)]
pub(crate) struct Application {
    /// Its id.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: String,
}

/// Where Discord is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// REST.
    pub(crate) api_base: String,
    /// The page that browsers go to.
    pub(crate) oauth_base: String,
    /// The gateway, if Discord is not to be asked.
    pub(crate) gateway_url: Option<String>,
    /// Whether it is a stand-in on this machine.
    pub(crate) is_stand_in: bool,
}

/// Never shows the token.
impl std::fmt::Debug for Discord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discord")
            .field("token", &self.token.is_some())
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Reads and judges the section.
pub(super) fn discord(r: &mut Reader<'_>) -> Discord {
    let token = r.secret("discord.token");
    if token.as_deref().is_some_and(|token| !is_token(token)) {
        r.refuse(
            "discord.token",
            "must be a bot token: visible ASCII characters without spaces, not `Bot …`",
        );
    }
    let span = |r: &mut Reader<'_>, key, range| {
        Span(i64::try_from(r.millis(key, range).as_millis()).unwrap_or(i64::MAX))
    };
    Discord {
        token,
        application: application(r),
        place: place(r),
        member_intent: r.flag("discord.member_intent"),
        shards: r.number("discord.shards", 1..=1_000),
        lease: r.millis("discord.lease_ms", 1_000..=600_000),
        identify_per_day: r.number("discord.identify_per_day", 1..=990),
        reconcile: r.millis("discord.reconcile_ms", 1_000..=DAY_MS),
        full_reconcile: r.millis("discord.full_reconcile_ms", 60_000..=7 * DAY_MS),
        workers: r.number("discord.workers", 1..=256),
        waiting_members: r.number("discord.waiting_members", 1..=10_000_000),
        brake: discord::Brake {
            floor: r.number("discord.brake_floor", 0..=1_000_000),
            percent: r.number("discord.brake_percent", 0..=100),
            window: span(r, "discord.brake_window_ms", 1_000..=DAY_MS),
        },
        delivery: discord::Delivery {
            quiet: r.millis("discord.quiet_ms", 0..=60_000),
            quiet_max: r.millis("discord.quiet_max_ms", 0..=600_000),
            per_guild_minute: r.number("discord.dm_per_guild_minute", 1..=1_000),
            per_minute: r.number("discord.dm_per_minute", 1..=100_000),
            bulk_above: r.number("discord.bulk_above", 1..=1_000_000),
            slot_pause: span(r, "discord.slot_pause_ms", 0..=DAY_MS),
            parallel: r.number("discord.send_parallel", 1..=256),
            lease: r.millis("discord.send_lease_ms", 5_000..=3_600_000),
            retry: r.millis("discord.send_retry_ms", 10..=3_600_000),
        },
        rest: discord::Rest {
            per_second: r.number("discord.rest_per_second", 1..=50),
            connect_timeout: r.millis("discord.rest_connect_timeout_ms", 100..=60_000),
            timeout: r.millis("discord.rest_timeout_ms", 100..=600_000),
            tries: r.number("discord.rest_tries", 1..=20),
            invalid_max: r.number("discord.rest_invalid_max", 1..=9_000),
            waiting_max: r.number("discord.rest_waiting_max", 1..=1_000_000),
        },
        simulator_listen: simulator_listen(r),
    }
}

/// Both or neither.
fn application(r: &mut Reader<'_>) -> Option<Application> {
    let (client_id, client_secret) = (r.text("discord.client_id"), r.secret("discord.client_secret"));
    if !client_id.is_empty() && client_id.parse::<domain::id::DiscordId>().is_err() {
        r.refuse("discord.client_id", "must be the application's id: 1 to 20 decimal digits");
    }
    match (client_id.is_empty(), client_secret) {
        (true, None) => None,
        (false, Some(client_secret)) => Some(Application { client_id, client_secret }),
        (true, Some(_)) => {
            r.refuse("discord.client_id", "is missing beside `discord.client_secret`; set both or neither");
            None
        }
        (false, None) => {
            r.refuse("discord.client_secret", "is missing beside `discord.client_id`; set both or neither");
            None
        }
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= 200 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn simulator_listen(r: &mut Reader<'_>) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = r.parsed("discord.simulator_listen", "an address with a port, such as 127.0.0.1:0");
    let address: SocketAddr = address.unwrap_or(fallback);
    if !address.ip().is_loopback() {
        r.refuse("discord.simulator_listen", "must be an address of this machine only, such as 127.0.0.1:0");
    }
    address
}

/// Discord itself, or a stand-in on this machine; nothing in between.
fn place(r: &mut Reader<'_>) -> Place {
    let bases = ["discord.api_base", "discord.oauth_base"].map(|key| (key, trimmed(&r.text(key))));
    let gateway = trimmed(&r.text("discord.gateway_url"));
    let is_stand_in = is_loopback(&bases[0].1, "http://");
    for (key, base) in &bases {
        let right = if is_stand_in { is_loopback(base, "http://") } else { base == discord::DISCORD };
        if !right {
            r.refuse(key, OTHER_PLACE);
        }
    }
    let right = match is_stand_in {
        true => is_loopback(&gateway, "ws://"),
        false => gateway.is_empty() || is_discord_gateway(&gateway),
    };
    if !right {
        r.refuse("discord.gateway_url", OTHER_PLACE);
    }
    let [(_, api_base), (_, oauth_base)] = bases;
    Place { api_base, oauth_base, gateway_url: Some(gateway).filter(|url| !url.is_empty()), is_stand_in }
}

const OTHER_PLACE: &str = "must be Discord's own (https://discord.com, and \"\" for the gateway), or all three of api_base, \
                           oauth_base and gateway_url must be a stand-in on this machine, such as \
                           http://127.0.0.1:4000 and ws://127.0.0.1:4000: the bot's token goes nowhere else";

fn trimmed(url: &str) -> String {
    url.trim().trim_end_matches('/').to_owned()
}

/// Whether an address names this machine by number or as localhost, and nothing but host and port.
fn is_loopback(url: &str, scheme: &str) -> bool {
    let Some(authority) = url.strip_prefix(scheme) else { return false };
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    authority.strip_prefix("localhost:").is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Discord's gateway hosts are below discord.gg.
fn is_discord_gateway(url: &str) -> bool {
    let host = url.strip_prefix("wss://").unwrap_or_default();
    host == "gateway.discord.gg"
        || host.strip_suffix(".discord.gg").is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_stand_in() {
        for url in ["http://127.0.0.1:4000", "http://[::1]:4000", "http://localhost:4000"] {
            assert!(is_loopback(url, "http://"), "{url}");
        }
        for url in [
            "http://10.0.0.1:4000",
            "http://localhost.example.org:80",
            "http://127.0.0.1:4000@example.org",
            "http://user@127.0.0.1:4000",
            "https://127.0.0.1:4000",
            "http://127.0.0.1:4000/x",
            "",
        ] {
            assert!(!is_loopback(url, "http://"), "{url}");
        }
    }

    #[test]
    fn only_discord_is_discord() {
        assert!(is_discord_gateway("wss://gateway.discord.gg"));
        assert!(is_discord_gateway("wss://gateway-us-east1-b.discord.gg"));
        for url in [
            "ws://gateway.discord.gg",
            "wss://discord.gg.example.org",
            "wss://a/b.discord.gg",
            "wss://.discord.gg",
        ] {
            assert!(!is_discord_gateway(url), "{url}");
        }
    }
}
