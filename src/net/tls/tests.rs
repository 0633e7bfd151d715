//! TLS against a server on loopback.
