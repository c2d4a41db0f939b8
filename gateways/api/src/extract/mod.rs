//! What handlers ask of a request. Asking is checking: whoever holds a value of these types holds one that was
//! looked at. Nothing here answers a request.

pub(crate) mod accept;
pub(crate) mod access;
pub(crate) mod as_of;
pub(crate) mod body;
pub(crate) mod checks;
pub(crate) mod cookies;
pub(crate) mod path;
pub(crate) mod position;
pub(crate) mod principal;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod with_key;
pub(crate) mod write;
