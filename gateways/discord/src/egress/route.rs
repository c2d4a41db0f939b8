//! The route of a request: what Discord limits together, and what a log may show.
//!
//! A template never holds an id, a token or an emoji; the major parameter is kept beside it.

use reqwest::Method;

use super::request::Request;

/// Method, path template and major parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// `GET /guilds/:id/members/:id`.
    pub(super) template: String,
    /// The guild, channel or webhook (with its token) that Discord counts apart; empty without one.
    pub(super) major: String,
}

impl Route {
    /// Reads the route off a request.
    pub(super) fn of(request: &Request) -> Self {
        Self::parse(&request.method, &request.path)
    }

    fn parse(method: &Method, path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let major = match parts.as_slice() {
            [kind @ ("guilds" | "channels"), id, ..] if digits(id) => format!("{kind}/{id}"),
            ["webhooks", id, token, ..] => format!("webhooks/{id}/{token}"),
            ["webhooks", id] => format!("webhooks/{id}"),
            _ => String::new(),
        };
        let mut template = String::from(method.as_str());
        template.push(' ');
        for (at, part) in parts.iter().enumerate() {
            let shown = match (at, parts.first().copied(), before(&parts, at)) {
                _ if digits(part) => ":id",
                (2, Some("webhooks" | "interactions"), _) => ":token",
                (_, _, Some("reactions")) => ":emoji",
                (1, Some("invites"), _) => ":code",
                _ => part,
            };
            template.push('/');
            template.push_str(shown);
        }
        Self { template, major }
    }
}

fn before<'a>(parts: &[&'a str], at: usize) -> Option<&'a str> {
    at.checked_sub(1).and_then(|at| parts.get(at).copied())
}

fn digits(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_leave_the_template_and_the_major_stays_beside_it() {
        let route = Route::parse(&Method::PUT, "/guilds/41/members/42/roles/43");
        assert_eq!(route.template, "PUT /guilds/:id/members/:id/roles/:id");
        assert_eq!(route.major, "guilds/41");
        assert_eq!(Route::parse(&Method::GET, "/users/@me").template, "GET /users/@me");
        assert_eq!(Route::parse(&Method::GET, "/users/7").major, "");
    }

    #[test]
    fn tokens_and_emoji_never_show() {
        let route = Route::parse(&Method::PATCH, "/webhooks/7/secret/messages/@original");
        assert_eq!(route.template, "PATCH /webhooks/:id/:token/messages/@original");
        assert_eq!(route.major, "webhooks/7/secret");
        let route = Route::parse(&Method::PUT, "/channels/7/messages/8/reactions/%F0%9F%91%8D/@me");
        assert_eq!(route.template, "PUT /channels/:id/messages/:id/reactions/:emoji/@me");
    }
}
