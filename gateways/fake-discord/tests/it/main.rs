//! The stand-in, asked over its sockets.
