//! What exists, how it is kept, what it looks like on the wire, and what happens to it.

pub(crate) mod actions;
pub(crate) mod file;
pub(crate) mod model;
pub(crate) mod permissions;
pub(crate) mod seed;
pub(crate) mod shapes;
pub(crate) mod state;
