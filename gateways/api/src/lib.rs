//! The HTTP API: every address on one screen. Handlers authorise, act through `commands` or `queries`, and answer;
//! this crate knows no engine, keeps no state of its own, and decides no rule of the domain.

mod answer;
mod caller;
pub mod error;
mod extract;
pub mod floor;
mod frame;
pub mod identity;
mod open;
pub mod operator;
mod problem;
mod proxies;
mod rates;
mod recipe;
mod refusals;
mod render;
mod routes;
mod serve;
mod session;
pub mod state;
pub mod token;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};

pub use error::{ApiError, Code, FieldError};
pub use frame::Framed;
pub use identity::{Account, Authorization, Exchange, Identity, IdentityError};
pub use operator::{Component, Condition, InteractionError, KeyWish, Operator, OperatorError};
pub use proxies::{Cidr, ForwardedBy, Proxies};
pub use rates::{Rate, Rates};
pub use refusals::{keep_refusals, write_refusals};
pub use routes::sign_in::sign_in_link;
pub use serve::{Connections, ToPeer, serve};
pub use session::SessionRules;
pub use state::{ApiState, Clock, Hosts, Limits, Mode, Parts};
pub use token::{TokenKeys, mint};

use crate::routes::{
    activate, api_keys, audit_log, audit_trail, bulk_revoke, demo, devices, export, generate, guilds,
    heartbeat, held_removals, history, import, interactions, key_ring, license_types, licenses, lifecycle,
    operations, operator as admin, past, redeem, reveal, role_rules, sessions, sign_in, staff, terms,
    transfer, users, validate,
};

/// Where Discord posts interactions.
const INTERACTIONS: &str = "/discord/interactions";

/// The whole API as a service.
pub fn router(state: ApiState) -> Framed {
    let mut routes = operator_routes()
        // with the license key
        .route(frame::VALIDATE, post(validate::validate))
        .route("/licenses/activate", post(activate::activate))
        .route("/licenses/deactivate", post(activate::deactivate))
        .route("/licenses/heartbeat", post(heartbeat::heartbeat))
        .route("/licenses/redeem", post(redeem::redeem))
        // one license
        .route("/licenses", get(licenses::list))
        .route("/licenses/{id}", get(licenses::one))
        .route("/licenses/{id}/key", get(reveal::key))
        .route("/licenses/{id}/history", get(history::history))
        .route("/licenses/{id}/diff", get(past::license_diff))
        .route("/licenses/{id}/replay", get(past::replay))
        .route("/licenses/{id}/devices", get(licenses::devices))
        .route("/licenses/{id}/devices/{deviceId}", patch(devices::rename))
        .route("/licenses/{id}/deactivate", delete(devices::free))
        .route("/licenses/{id}/assign", post(lifecycle::assign))
        .route("/licenses/{id}/suspend", post(lifecycle::suspend))
        .route("/licenses/{id}/resume", post(lifecycle::resume))
        .route("/licenses/{id}/renew", post(lifecycle::renew))
        .route("/licenses/{id}/revoke", post(lifecycle::revoke))
        .route("/licenses/{id}/rekey", post(lifecycle::rekey))
        .route("/licenses/{id}/terms", post(terms::terms))
        .route("/licenses/{id}/metadata", post(terms::metadata))
        .route("/licenses/{id}/transfer", post(transfer::transfer))
        .route("/licenses/transfers/{id}/accept", post(transfer::accept))
        // many licenses, users
        .route("/admin/licenses/generate", post(generate::generate))
        .route("/admin/licenses/revoke", post(bulk_revoke::revoke))
        .route("/admin/licenses/export", get(export::export))
        .route("/admin/licenses/import", post(import::import))
        .route("/admin/users", get(users::list))
        .route("/admin/users/{id}", get(users::one))
        .route("/admin/users/{id}/role", put(users::change_role))
        .route("/admin/users/{id}/erase", post(users::erase))
        .route("/admin/users/{id}/ban", post(users::ban))
        .route("/admin/users/{id}/unban", post(users::unban))
        // the log
        .route("/admin/audit-log", get(audit_trail::list))
        .route("/admin/audit-log/checkpoint", get(audit_log::checkpoint))
        .route("/admin/audit-log/proof", get(audit_log::proof))
        .route("/admin/audit-log/consistency", get(audit_log::consistency))
        .route("/guilds/{guild}/audit-log/export", get(audit_log::export))
        .route("/.well-known/dca-log.json", get(audit_log::key))
        // Discord
        .route(INTERACTIONS, post(interactions::receive))
        .merge(people_routes())
        .merge(guild_routes());
    if state.mode() == Mode::Demo {
        routes = routes
            .route("/_demo/clock", get(demo::clock).post(demo::advance_clock))
            .route("/_demo/members/observe", post(demo::observe));
    }
    framed(routes.fallback(frame::no_such_path), state, true)
}

/// Who somebody is.
fn people_routes() -> Router<ApiState> {
    Router::new()
        .route(sign_in::BEGIN, get(sign_in::browser).post(sign_in::program))
        .route(sign_in::CALLBACK, get(sign_in::callback))
        .route("/auth/callback", post(sign_in::exchange))
        .route("/auth/refresh", post(sessions::refresh))
        .route("/auth/logout", post(sessions::logout))
        .route("/auth/me", get(sessions::me))
        .route("/auth/sessions", get(sessions::list))
        .route("/auth/sessions/{id}", delete(sessions::delete))
        .route("/.well-known/jwks.json", get(sessions::jwks))
}

/// A guild and its parts.
fn guild_routes() -> Router<ApiState> {
    Router::new()
        .route("/guilds/{guild}", get(guilds::one))
        .route("/guilds/{guild}/diff", get(past::guild_diff))
        .route("/guilds/{guild}/settings", patch(guilds::change_settings))
        .route("/guilds/{guild}/held-removals", get(held_removals::list))
        .route("/guilds/{guild}/held-removals/{batch}/confirm", post(held_removals::confirm))
        .route("/guilds/{guild}/license-types", get(license_types::list).post(license_types::define))
        .route(
            "/guilds/{guild}/license-types/{slug}",
            patch(license_types::change).delete(license_types::retire),
        )
        .route("/guilds/{guild}/role-rules", get(role_rules::list).post(role_rules::set))
        .route("/guilds/{guild}/role-rules/{id}", put(role_rules::change).delete(role_rules::remove))
        .route("/guilds/{guild}/members", get(staff::members))
        .route("/guilds/{guild}/members/{user}/unblock", post(staff::unblock))
        .route("/guilds/{guild}/staff", get(staff::list))
        .route("/guilds/{guild}/staff/{user}", put(staff::put).delete(staff::delete))
        .route("/guilds/{guild}/api-keys", get(api_keys::list).post(api_keys::issue))
        .route("/guilds/{guild}/api-keys/{id}", delete(api_keys::revoke))
}

/// What a process answers that does other work than the API: how it is, the operator's command line, and Discord, if it
/// `has_bot`.
pub fn operator_router(state: ApiState, has_bot: bool) -> Framed {
    let mut routes = operator_routes();
    if has_bot {
        routes = routes.route(INTERACTIONS, post(interactions::receive));
    }
    framed(routes.fallback(frame::not_here), state, false)
}

fn operator_routes() -> Router<ApiState> {
    Router::new()
        .route("/", get(operations::about))
        .route("/live", get(operations::live))
        .route("/ready", get(operations::ready))
        .route("/health", get(operations::health))
        // the command line
        .route("/_admin/status", get(admin::status))
        .route("/_admin/sign-in-link", get(admin::sign_in_link))
        .route("/_admin/verify", post(admin::verify))
        .route("/_admin/rebuild", post(admin::rebuild))
        .route("/_admin/jobs/{name}/run", post(admin::run_job))
        .route("/_admin/discord/resume", post(admin::resume_discord))
        .route("/_admin/keys", get(key_ring::list).post(key_ring::add))
        .route("/_admin/keys/rotate", post(key_ring::rotate))
        .route("/_admin/keys/{id}/activate", post(key_ring::activate))
        .route("/_admin/keys/{id}/retire", post(key_ring::retire))
}

fn framed(routes: Router<ApiState>, state: ApiState, validates: bool) -> Framed {
    let routes = routes.method_not_allowed_fallback(frame::no_such_method).with_state(state.clone());
    Framed::new(routes, state, validates)
}
