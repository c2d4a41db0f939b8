//! What is known of a request before it is read: where it comes from and of what kind it is; and, once that is counted, how
//! its sender stands with his limit. Who he is, `extract/principal.rs` finds out.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::Extensions;

use crate::error::ApiError;
use crate::proxies::{Address, Origin};
use crate::rates::{Class, Standing, Who};
use crate::serve::Peer;
use crate::state::ApiState;

/// Where a request comes from, and how its sender stands.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) origin: Origin,
    class: Class,
    standing: OnceLock<Standing>,
}

impl Caller {
    /// The sender of a request that came over a connection from `peer`.
    pub(crate) fn of(state: &ApiState, peer: Option<Peer>, request: &Request) -> Self {
        Self {
            origin: state.proxies().origin(peer, request.headers()),
            class: Class::of(request.method(), request.uri().path()),
            standing: OnceLock::new(),
        }
    }

    /// The sender of a request whose parts have it.
    pub(crate) fn in_parts(extensions: &Extensions) -> Result<&Self, ApiError> {
        // The frame puts it there.
        extensions.get::<Arc<Self>>().map(|caller| &**caller).ok_or_else(ApiError::internal)
    }

    pub(crate) fn address(&self) -> Address {
        self.origin.address
    }

    /// Counts a request whose sender is known by his address alone: signing in.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn admit_address(&self, state: &ApiState) -> Result<(), ApiError> {
        match self.class {
            Class::Auth => self.count(state, Who::Address(self.address())),
            _ => Ok(()),
        }
    }

    /// Counts a request whose credential is known.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn admit(&self, state: &ApiState, who: Who) -> Result<(), ApiError> {
        match self.class {
            // It was counted before there was a credential.
            Class::Auth => Ok(()),
            _ => self.count(state, who),
        }
    }

    fn count(&self, state: &ApiState, who: Who) -> Result<(), ApiError> {
        let (outcome, standing) = match state.limiter().admit(self.class, who) {
            Ok(standing) => (Ok(()), standing),
            Err((refused, standing)) => (Err(refused), Some(standing)),
        };
        if let Some(standing) = standing {
            // A request has one credential and is counted once.
            let _ = self.standing.set(standing);
        }
        outcome
    }

    /// How the sender stands, if he was counted.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.standing.get().copied()
    }
}
