//! What is limited apart: kinds of requests, by their method and path, and who sends them.

use std::fmt;

use axum::http::{HeaderValue, Method};
use domain::credential::{ApiKeyId, ApiKeyKind};
use domain::id::DiscordId;

use super::rate::Rate;
use crate::frame::VALIDATE;
use crate::proxies::Address;

/// A kind of request. Each has a limit of its own, with this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// What every client asks regularly: validate, heartbeat.
    Validate,
    /// The same with a secret key.
    ValidateSecret,
    Read,
    Write,
    /// What is much work at once.
    Bulk,
    /// Signing in and out.
    Auth,
    /// Credentials that are refused.
    Anonymous,
}

impl Class {
    pub(super) const ALL: [Self; 7] = [
        Self::Validate,
        Self::ValidateSecret,
        Self::Read,
        Self::Write,
        Self::Bulk,
        Self::Auth,
        Self::Anonymous,
    ];

    /// Name of its limit, in headers and in the configuration (`limits.…`).
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::ValidateSecret => "validate_secret",
            Self::Read => "read",
            Self::Write => "write",
            Self::Bulk => "bulk",
            Self::Auth => "auth",
            Self::Anonymous => "anonymous",
        }
    }

    /// The kind of a request.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        const MANY: [&str; 5] = [
            "/admin/analytics",
            "/admin/licenses/generate",
            "/admin/licenses/import",
            "/admin/licenses/revoke",
            "/admin/licenses/export",
        ];
        const MANY_OF_GUILD: [&str; 3] = ["/audit-log/export", "/apply", "/role-rules/preview"];
        match path {
            VALIDATE | "/licenses/heartbeat" => Self::Validate,
            _ if path.starts_with("/auth/") => Self::Auth,
            _ if MANY.contains(&path) || MANY_OF_GUILD.iter().any(|end| path.ends_with(end)) => Self::Bulk,
            _ if method == Method::GET || method == Method::HEAD => Self::Read,
            _ => Self::Write,
        }
    }

    /// Where it stands for somebody: secret keys have a limit of their own for what every client asks.
    pub(super) fn for_whom(self, who: Who) -> Self {
        match (self, who) {
            (Self::Validate, Who::SecretKey(_)) => Self::ValidateSecret,
            _ => self,
        }
    }

    /// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): `q` requests in `w` seconds.
    pub(super) fn policy(self, rate: Rate) -> HeaderValue {
        let text = format!("\"{}\";q={};w={}", self.as_str(), rate.quota(), rate.window_s());
        // Lower-case letters, digits and punctuation always make a value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("\"unknown\""))
    }
}

/// Who sends a request: the credential, or the address where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Address(Address),
    Operator,
    User(DiscordId),
    SecretKey(ApiKeyId),
    /// A publishable key is in every copy of a program, so each client counts by itself.
    Publishable(ApiKeyId, Address),
}

impl Who {
    /// Who sends a request with an API key.
    pub(crate) fn key(kind: ApiKeyKind, id: ApiKeyId, address: Address) -> Self {
        match kind {
            ApiKeyKind::Secret => Self::SecretKey(id),
            ApiKeyKind::Publishable => Self::Publishable(id, address),
        }
    }

    /// As a sentence to him names him.
    pub(super) const fn addressed(self) -> &'static str {
        match self {
            Self::Address(_) => "your address",
            Self::Operator => "the platform owner",
            Self::User(_) => "your account",
            Self::SecretKey(_) => "this API key",
            Self::Publishable(..) => "this API key at your address",
        }
    }
}

/// The same on every instance, and different for any two.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address}"),
            Self::Operator => f.write_str("operator"),
            Self::User(user) => write!(f, "user {user}"),
            Self::SecretKey(id) => write!(f, "key {id}"),
            Self::Publishable(id, address) => write!(f, "key {id} at {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_of_a_kind() {
        for (method, path, class) in [
            (Method::POST, "/licenses/validate", Class::Validate),
            (Method::POST, "/licenses/heartbeat", Class::Validate),
            (Method::POST, "/licenses/activate", Class::Write),
            (Method::GET, "/licenses", Class::Read),
            (Method::HEAD, "/licenses", Class::Read),
            (Method::DELETE, "/licenses/1/deactivate", Class::Write),
            (Method::POST, "/licenses/1/revoke", Class::Write),
            (Method::POST, "/admin/licenses/generate", Class::Bulk),
            (Method::POST, "/admin/licenses/revoke", Class::Bulk),
            (Method::GET, "/guilds/1/audit-log/export", Class::Bulk),
            (Method::GET, "/auth/discord", Class::Auth),
            (Method::POST, "/auth/refresh", Class::Auth),
            (Method::GET, "/authors", Class::Read),
        ] {
            assert_eq!(Class::of(&method, path), class, "{method} {path}");
        }
    }

    #[test]
    fn a_policy_is_a_string_with_two_numbers() {
        let policy = Class::ValidateSecret.policy("5/1m".parse().unwrap());
        assert_eq!(policy, "\"validate_secret\";q=5;w=60");
    }
}
