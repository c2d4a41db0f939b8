//! The HTTP API: every address on one screen. Handlers authorise, act through `commands` or `queries`, and answer;
//! this crate knows no engine, keeps no state of its own, and decides no rule of the domain.

mod answer;
mod caller;
pub mod error;
mod extract;
pub mod floor;
mod frame;
pub mod identity;
mod keyed;
mod open;
mod openapi;
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
mod signature;
pub mod state;
mod tls;
pub mod token;
mod version;

use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use error::{ApiError, Code, FieldError};
pub use frame::Framed;
pub use identity::{Account, Authorization, Exchange, Identity, IdentityError};
pub use openapi::text as document;
pub use operator::{Component, Condition, InteractionError, KeyWish, Operator, OperatorError};
pub use proxies::{Cidr, ForwardedBy, Proxies};
pub use rates::{Rate, Rates};
pub use refusals::{keep_refusals, write_refusals};
pub use routes::sign_in::sign_in_link;
pub use serve::{Connections, Peer, ToPeer, serve};
pub use session::SessionRules;
pub use state::{ApiState, Clock, Hosts, Limits, Mode, Parts};
pub use tls::{Certificate, CertificateError, Renewal, Tls};
pub use token::{TokenKeys, mint};

use crate::routes::{
    activate, analytics, api_keys, apply_terms, audit_log, audit_trail, bulk_revoke, certificates, demo,
    devices, documentation, export, feed, generate, guild_roles, guilds, heartbeat, held_removals, history,
    import, interactions, key_ring, license_types, licenses, lifecycle, operations, operator as admin, past,
    redeem, reveal, role_rules, rule_preview, sessions, sign_in, staff, terms, transfer, users, validate,
};

/// The whole API as a service.
pub fn router(state: ApiState) -> Framed {
    let mut routes = public_routes().merge(command_line_routes());
    if state.mode() == Mode::Demo {
        routes = routes
            .route("/_demo/clock", get(demo::clock).post(demo::advance_clock))
            .route("/_demo/members/observe", post(demo::observe));
    }
    framed(routes.fallback(frame::no_such_path), state, true)
}

/// Every address that the document names, each with its handler and what the document says of it.
pub(crate) fn public_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(server_routes())
        // with the license key
        .routes(routes!(validate::validate))
        .routes(routes!(activate::activate))
        .routes(routes!(activate::deactivate))
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(redeem::redeem))
        .routes(routes!(certificates::issue_with_key))
        // one license
        .routes(routes!(licenses::list))
        .routes(routes!(licenses::one))
        .routes(routes!(reveal::key))
        .routes(routes!(history::history))
        .routes(routes!(past::license_diff))
        .routes(routes!(past::replay))
        .routes(routes!(licenses::devices))
        .routes(routes!(devices::rename))
        .routes(routes!(devices::free))
        .routes(routes!(certificates::issue))
        .routes(routes!(certificates::release))
        .routes(routes!(certificates::keys))
        .routes(routes!(lifecycle::assign))
        .routes(routes!(lifecycle::suspend))
        .routes(routes!(lifecycle::resume))
        .routes(routes!(lifecycle::renew))
        .routes(routes!(lifecycle::revoke))
        .routes(routes!(lifecycle::rekey))
        .routes(routes!(terms::terms))
        .routes(routes!(terms::metadata))
        .routes(routes!(transfer::transfer))
        .routes(routes!(transfer::accept))
        // many licenses, users
        .routes(routes!(generate::generate))
        .routes(routes!(bulk_revoke::revoke))
        .routes(routes!(export::export))
        .routes(routes!(import::import))
        .routes(routes!(analytics::numbers))
        .routes(routes!(users::list))
        .routes(routes!(users::one))
        .routes(routes!(users::change_role))
        .routes(routes!(users::erase))
        .routes(routes!(users::ban))
        .routes(routes!(users::unban))
        // the log
        .routes(routes!(audit_trail::list))
        .routes(routes!(audit_log::checkpoint))
        .routes(routes!(audit_log::proof))
        .routes(routes!(audit_log::consistency))
        .routes(routes!(audit_log::export))
        .routes(routes!(audit_log::key))
        // Discord
        .routes(routes!(interactions::receive))
        .merge(people_routes())
        .merge(guild_routes())
        // about all of this
        .routes(routes!(documentation::document))
        .routes(routes!(documentation::page))
        .routes(routes!(documentation::errors))
        .routes(routes!(documentation::asset))
}

/// Who somebody is.
fn people_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(sign_in::browser, sign_in::program))
        .routes(routes!(sign_in::callback))
        .routes(routes!(sign_in::exchange))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::me))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::delete))
        .routes(routes!(sessions::jwks))
}

/// A guild and its parts.
fn guild_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(guilds::one))
        .routes(routes!(past::guild_diff))
        .routes(routes!(history::guild))
        .routes(routes!(feed::feed))
        .routes(routes!(guilds::change_settings))
        .routes(routes!(held_removals::list))
        .routes(routes!(held_removals::confirm))
        .routes(routes!(license_types::list, license_types::define))
        .routes(routes!(license_types::change, license_types::retire))
        .routes(routes!(apply_terms::apply))
        .routes(routes!(guild_roles::list))
        .routes(routes!(role_rules::list, role_rules::set))
        .routes(routes!(rule_preview::preview))
        .routes(routes!(role_rules::change, role_rules::remove))
        .routes(routes!(staff::members))
        .routes(routes!(staff::block))
        .routes(routes!(staff::unblock))
        .routes(routes!(staff::list))
        .routes(routes!(staff::put, staff::delete))
        .routes(routes!(api_keys::list, api_keys::issue))
        .routes(routes!(api_keys::revoke))
}

/// What a process answers that does other work than the API: how it is, the operator's command line, and Discord, if it
/// `has_bot`.
pub fn operator_router(state: ApiState, has_bot: bool) -> Framed {
    let mut routes = server_routes().merge(command_line_routes());
    if has_bot {
        routes = routes.routes(routes!(interactions::receive));
    }
    framed(routes.fallback(frame::not_here), state, false)
}

/// How a process is.
fn server_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(operations::about))
        .routes(routes!(operations::live))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::health))
}

/// What our own command line asks; the document says nothing of it.
fn command_line_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
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

fn framed(routes: OpenApiRouter<ApiState>, state: ApiState, validates: bool) -> Framed {
    let (routes, _) = routes.split_for_parts();
    let routes = routes.method_not_allowed_fallback(frame::no_such_method).with_state(state.clone());
    Framed::new(routes, state, validates)
}
