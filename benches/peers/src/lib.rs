//! Alternatives to tower-models-cache that serve `GET /v1/models`.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` prints all tables. Every
//! contender serves the same list for the same request, in process. Dropping the response
//! is part of the measurement.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a bench: it measures real time, and it stops where something is wrong"
)]

pub mod case;
pub mod contenders;
pub mod gateway;
pub mod herd;
pub mod request;
pub mod tables;
pub mod upstream;
