//! What is known of a request before it is read: where it comes from, of what kind it is, in which version of the API it asks,
//! and whether its answer is to be signed; and, once that is counted, how its sender stands with his limit. Who he is,
//! `extract/principal.rs` finds out.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use crate::error::ApiError;
use crate::proxies::{Address, Origin};
use crate::rates::{Class, Standing, Who};
use crate::serve::Peer;
use crate::signature::Wish;
use crate::state::ApiState;
use crate::version::Version;

/// Where a request comes from, and how its sender stands.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) origin: Origin,
    class: Class,
    standing: OnceLock<Standing>,
    /// The version that the request names; else that of its API key, once that is known.
    version: OnceLock<Version>,
    /// How the answer is to be signed, as it was asked for; or why that cannot be.
    asked: Result<Option<Box<Wish>>, ApiError>,
    /// The same where the guild wishes it.
    unasked: OnceLock<Box<Wish>>,
}

impl Caller {
    /// The sender of a request that came over a connection from `peer`.
    pub(crate) fn of(state: &ApiState, peer: Option<Peer>, request: &Request) -> Self {
        Self {
            origin: state.proxies().origin(peer, request.headers()),
            class: Class::of(request.method(), request.uri().path()),
            standing: OnceLock::new(),
            version: OnceLock::new(),
            asked: Wish::asked(request.method(), request.uri(), request.headers()),
            unasked: OnceLock::new(),
        }
    }

    /// Takes the version that the request names.
    ///
    /// # Errors
    /// 400 if there is none of that name.
    pub(crate) fn hear_version(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if let Some(version) = Version::asked(headers)? {
            self.pin(version);
        }
        Ok(())
    }

    /// Takes the version of the API key, unless the request has named one.
    pub(crate) fn pin(&self, version: Version) {
        // The first one that is heard counts.
        let _ = self.version.set(version);
    }

    /// In which version the request is answered.
    pub(crate) fn version(&self) -> Version {
        self.version.get().copied().unwrap_or(Version::NEWEST)
    }

    /// The sender of a request whose parts have it.
    pub(crate) fn in_parts(extensions: &Extensions) -> Result<&Self, ApiError> {
        // The frame puts it there.
        extensions.get::<Arc<Self>>().map(|caller| &**caller).ok_or_else(ApiError::internal)
    }

    pub(crate) fn address(&self) -> Address {
        self.origin.address
    }

    /// Refuses a wish for a signature that cannot be met.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn admit_wish(&self) -> Result<(), ApiError> {
        self.asked.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// From here on the answer is signed: the guild of the API key wishes so.
    pub(crate) fn sign_unasked(&self, parts: &Parts) {
        // A request has one credential, and is found to be its guild's once.
        let _ = self.unasked.set(Wish::unasked(parts));
    }

    /// How the answer is to be signed, if it is.
    pub(crate) fn wish(&self) -> Option<&Wish> {
        let asked = self.asked.as_ref().ok().and_then(Option::as_deref);
        asked.or_else(|| self.unasked.get().map(|wish| &**wish))
    }

    /// Refuses a body other than the one that the signature of the answer would be bound to.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), ApiError> {
        self.asked.as_ref().ok().and_then(Option::as_deref).map_or(Ok(()), |wish| wish.check_body(body))
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
